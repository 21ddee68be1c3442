"""The runbook of backup and restore, its commands as they stand there: copies of a running system lose no applied request.

Under the roles of production, restored on fresh servers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.campus import Campus
from tests.e2e.production import ProductionStack
from tests.faults.conftest import WORKERS
from tests.faults.load import Load
from tests.runbooks.page import Runbook

PAGE = "backup-and-restore.md"
STUDENTS = 24
OUTCOMES = 60


@pytest.fixture(scope="module")
def lasting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionStack]:
    """The system that is backed up."""
    with ProductionStack(tmp_path_factory.mktemp("backed-up"), worker_processes=WORKERS) as stack:
        yield stack


@pytest.fixture
def stack(lasting_stack: ProductionStack) -> ProductionStack:
    """The system with every part running."""
    lasting_stack.mend()
    return lasting_stack


@pytest.fixture
def course_ids(campus: Campus) -> list[str]:
    """Courses with fewer places than students who want them."""
    return [campus.course(seats=seats, reserve=3) for seats in (1, 4, 8, 12)]


@pytest.fixture
def load(stack: ProductionStack, campus: Campus, course_ids: list[str], seed: int) -> Load:
    """Clients that are about to start."""
    return Load(stack.api_url, campus.students(STUDENTS), course_ids, seed)


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[ProductionStack]:
    """A system on fresh servers with passwords of their own, not yet started."""
    stack = ProductionStack(tmp_path / "restored")
    stack.directory.mkdir()
    yield stack
    stack.close()


@dataclass
class Operator:
    """Somebody who goes by the page, with a folder for the backup."""

    directory: Path

    def back_up_redis(self, stack: ProductionStack) -> None:
        """Step 1."""
        self._page(stack, "back-up-redis").run("Backup", 1)

    def back_up_postgresql(self, stack: ProductionStack) -> None:
        """Step 2."""
        self._page(stack, "back-up-postgresql").run("Backup", 2)

    def restore(self, stack: ProductionStack) -> str:
        """All steps, in their order; what the page only says in words is done here. Returns what the audit says."""
        stack.postgres.start()
        stack.make_passwords()
        page = self._page(stack, "restore")
        page.run("Restore", 1)
        page.run("Restore", 2)
        stack.valkey.data_dir.mkdir(parents=True)
        page.run("Restore", 3)
        stack.valkey.start()
        page.run("Restore", 4)
        stack.start_workers()
        assert "Nothing waits" in page.run("Restore", 5)
        audit = page.run("Restore", 6, may_fail=True)
        stack.start_api()
        return audit

    def _page(self, stack: ProductionStack, name: str) -> Runbook:
        backup = self.directory / "backup"
        backup.mkdir(exist_ok=True)
        environment = stack.environment(
            DATABASE_URL=stack.database_url("worker"),
            OWNER_URL=stack.postgres.url,
            REDIS_DATA=str(stack.valkey.data_dir),
            BACKUP=str(backup),
            SECRETS_DIR=str(stack.secrets_dir),
        )
        environment["PATH"] = f"{stack.postgres_programs}:{environment['PATH']}"
        return Runbook(PAGE, self.directory / name, environment)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Somebody with an empty folder."""
    return Operator(tmp_path)


def lost(restored: ProductionStack, accepted: set[str]) -> set[str]:
    """Those of the requests that the restored ledger does not have."""
    rows = restored.sql("SELECT request_id::text FROM registration_requests")
    return accepted - {row["request_id"] for row in rows}


def test_redis_first_then_postgresql_loses_nothing_that_was_accepted_before(
    load: Load, stack: ProductionStack, restored: ProductionStack, operator: Operator, course_ids: list[str]
) -> None:
    """Under load, nothing stopped: what the queues' copy still holds and the dump has applied already is recognised."""
    with load:
        load.wait_for_finals(OUTCOMES)
        accepted = load.request_ids
        operator.back_up_redis(stack)
        load.wait_for_finals(OUTCOMES, "the system goes on between the copies")
        operator.back_up_postgresql(stack)
        load.wait_for_finals(1, "and after them")
    audit = operator.restore(restored)
    assert "0 differences" in audit
    assert lost(restored, accepted) == set()
    assert restored.sql("SELECT 1 FROM registration_requests WHERE status = 'FAILED'") == []
    check_new_requests_are_applied(restored, course_ids)


def test_the_other_order_loses_requests(
    load: Load, stack: ProductionStack, restored: ProductionStack, operator: Operator
) -> None:
    """The control: applied after the dump and gone from the queues before their copy, they are in neither.

    The audit shows them as skipped sequences once a later request of their course is applied, not before.
    """
    with load:
        load.wait_for_finals(OUTCOMES)
        operator.back_up_postgresql(stack)
        load.wait_for_finals(OUTCOMES)
        accepted = load.request_ids
        operator.back_up_redis(stack)
    operator.restore(restored)
    assert len(lost(restored, accepted)) >= OUTCOMES // 2


def check_new_requests_are_applied(restored: ProductionStack, course_ids: list[str]) -> None:
    """The restored system accepts and applies in every course: no sequence collides with the ledger's."""
    campus = Campus(restored)
    for course_id in course_ids:
        outcome = campus.student(restored.http).registered(course_id)
        assert outcome["status"] in ("APPLIED", "REJECTED"), outcome
    assert "0 differences" in restored.audit()
