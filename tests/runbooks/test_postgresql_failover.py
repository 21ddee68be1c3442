"""PostgreSQL's primary is lost and a standby promoted, by the runbook's own commands: no outcome that was told is lost."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local_servers import LocalPostgres
from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.conftest import WORKERS
from tests.faults.evidence import check_everything, ledger_of
from tests.faults.load import Document, Load
from tests.replicas import alter_system, standby_of
from tests.runbooks.page import Runbook

PAGE, SECTION = "postgresql-failover.md", "Failover to a standby"
STUDENTS = 24
OUTCOMES = 40


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A system on a server of its own, which will not come back."""
    directory = tmp_path / "stack"
    directory.mkdir()
    with Stack(directory, worker_processes=WORKERS) as stack:
        primary = stack.postgres
        yield stack
        primary.kill()
        primary.discard_data()


@pytest.fixture
def standby(stack: Stack, tmp_path: Path) -> Iterator[LocalPostgres]:
    """A copy that streams from the primary."""
    standby = standby_of(stack.postgres, tmp_path / "standby" / "data")
    yield standby
    standby.kill()
    standby.discard_data()


@pytest.fixture
def course_ids(stack: Stack) -> list[str]:
    """Courses with fewer places than students who want them."""
    campus = Campus(stack)
    return [campus.course(seats=seats, reserve=3) for seats in (1, 4, 8, 12)]


@pytest.fixture
def load(stack: Stack, course_ids: list[str], seed: int) -> Load:
    """Clients that are about to start."""
    return Load(stack.api_url, Campus(stack).students(STUDENTS), course_ids, seed)


@pytest.fixture
def page(stack: Stack, tmp_path: Path) -> Runbook:
    """What the operator goes by."""
    return Runbook(PAGE, tmp_path / "operator", stack.environment())


def fail_over(page: Runbook, stack: Stack, standby: LocalPostgres) -> None:
    """The steps of the page after the primary has gone, up to the standby at work."""
    assert "Paused" in page.run(SECTION, 1)
    page.run(SECTION, 3, STANDBY_URL=standby.url)
    stack.postgres = standby
    stack.stop_workers()
    stack.start_workers()
    stack.restart_api()
    page.run(SECTION, 5)


def told_by(load: Load) -> dict[str, Document]:
    """Every outcome that a client has been told by now."""
    return {final["request_id"]: final for one in list(load.sent) for final in list(one.finals)}


def test_a_synchronous_standby_has_every_outcome_that_was_told(
    stack: Stack, standby: LocalPostgres, load: Load, course_ids: list[str], page: Runbook
) -> None:
    """The primary is killed in the middle of a rush; the standby takes over, and all that was accepted gets its outcome."""
    alter_system(stack.postgres, "synchronous_standby_names", "*")
    with load:
        load.wait_for_finals(OUTCOMES)
        stack.postgres.kill()
        told = told_by(load)
        fail_over(page, stack, standby)
        load.wait_for_finals(OUTCOMES, "outcomes from the standby")
    page.run(SECTION, 6, DATABASE_URL=standby.url)
    check_everything(stack, load, course_ids)
    ledger = {row["request_id"]: row for row in ledger_of(stack, course_ids)}
    for request_id, final in told.items():
        row = ledger[request_id]
        assert (row["status"], row["result"], row["reason"]) == (
            final["status"],
            final["result"],
            final["reason"],
        )


def test_an_asynchronous_standby_loses_outcomes_and_the_audit_names_them(
    stack: Stack, standby: LocalPostgres, load: Load, course_ids: list[str], page: Runbook
) -> None:
    """The control, and what the page says of it: told outcomes are gone, their ids are in the logs, everything goes on."""
    with load:
        load.wait_for_finals(OUTCOMES)
        alter_system(standby, "primary_conninfo", "")
        wait_until(lambda: not stack.sql("SELECT 1 FROM pg_stat_replication"), "the standby hears no more")
        load.wait_for_finals(OUTCOMES, "outcomes that the standby never gets")
        stack.postgres.kill()
        told, log = told_by(load), stack.workers.log_path
        fail_over(page, stack, standby)
        load.wait_for_finals(OUTCOMES, "outcomes from the standby")
    lost = told.keys() - {row["request_id"] for row in ledger_of(stack, course_ids)}
    assert lost
    assert all(f"{request_id} " in log.read_text() for request_id in lost)
    audit = page.run(SECTION, 6, DATABASE_URL=standby.url, may_fail=True)
    named = re.findall(r"sequences skipped", audit)
    assert 1 <= len(named) <= len(course_ids)
    assert "differences" in audit.splitlines()[-1]
    assert f" {len(named)} differences" in audit
