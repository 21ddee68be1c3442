"""Backup and restore as the runbook says: copies of a running system, restored on fresh servers, lose no applied request."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.postgres_home import find_home
from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.load import Load

STUDENTS = 24
OUTCOMES = 60
DUMP_LIMIT_S = 60


@pytest.fixture
def course_ids(campus: Campus) -> list[str]:
    """Courses with fewer places than students who want them."""
    return [campus.course(seats=seats, reserve=3) for seats in (1, 4, 8, 12)]


@pytest.fixture
def load(stack: Stack, campus: Campus, course_ids: list[str], seed: int) -> Load:
    """Clients that are about to start."""
    return Load(stack.api_url, campus.students(STUDENTS), course_ids, seed)


@dataclass
class Copies:
    """What a backup consists of, and the requests that had been accepted before it began."""

    redis: Path
    dump: Path
    accepted: set[str]


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Stack]:
    """A system on fresh servers, not yet started."""
    stack = Stack(tmp_path / "restored")
    stack.directory.mkdir()
    yield stack
    stack.close()


def copy_redis(stack: Stack, target: Path) -> Path:
    """The append-only files of a running Redis: with rewriting off they only grow, and a torn tail is cut on loading."""
    with stack.redis() as client:
        client.config_set("auto-aof-rewrite-percentage", 0)
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "no rewrite runs")
        shutil.copytree(stack.valkey.data_dir / "appendonlydir", target)
        client.config_set("auto-aof-rewrite-percentage", 100)
    return target


def postgres_program(stack: Stack, name: str) -> str:
    """A program of the server's own version."""
    return str(find_home(stack.postgres.data_dir).programs / name)


def dump_postgres(stack: Stack, target: Path) -> Path:
    """One consistent moment of the database."""
    command = [postgres_program(stack, "pg_dump"), "--format=custom", f"--file={target}", stack.postgres.url]
    subprocess.run(command, check=True, timeout=DUMP_LIMIT_S)
    return target


def accepted_so_far(load: Load) -> set[str]:
    """The ids that clients have been told by now."""
    return {request_id for one in list(load.sent) for request_id in list(one.request_ids)}


def restore(restored: Stack, copies: Copies) -> None:
    """Redis' copy without its generation, the dump, then the API and a worker; waits until the queues are empty."""
    restored.valkey.data_dir.mkdir(parents=True)
    shutil.copytree(copies.redis, restored.valkey.data_dir / "appendonlydir")
    restored.valkey.start()
    with restored.redis() as client:
        client.delete("cr:generation")
    restored.postgres.start()
    command = [
        *(postgres_program(restored, "pg_restore"), "--no-owner", "--exit-on-error"),
        *(f"--dbname={restored.postgres.url}", str(copies.dump)),
    ]
    subprocess.run(command, check=True, timeout=DUMP_LIMIT_S)
    restored.start_workers()
    restored.start_api()
    restored.run("shared.manage", "drain", "--timeout", "30")


def lost(restored: Stack, copies: Copies) -> set[str]:
    """Requests accepted before the backup began that the restored ledger does not have."""
    rows = restored.sql("SELECT request_id::text FROM registration_requests")
    return copies.accepted - {row["request_id"] for row in rows}


def test_redis_first_then_postgresql_loses_nothing_that_was_accepted_before(
    load: Load, stack: Stack, restored: Stack, course_ids: list[str]
) -> None:
    """Under load, nothing stopped: what the queues' copy still holds and the dump has applied already is recognised."""
    with tempfile.TemporaryDirectory() as directory, load:
        load.wait_for_finals(OUTCOMES)
        accepted = accepted_so_far(load)
        redis_copy = copy_redis(stack, Path(directory) / "redis")
        load.wait_for_finals(OUTCOMES, "the system goes on between the copies")
        copies = Copies(redis_copy, dump_postgres(stack, Path(directory) / "dump"), accepted)
        load.wait_for_finals(1, "and after them")
        restore(restored, copies)
    assert lost(restored, copies) == set()
    assert "0 differences" in restored.audit()
    assert restored.sql("SELECT 1 FROM registration_requests WHERE status = 'FAILED'") == []
    check_new_requests_are_applied(restored, course_ids)


def test_the_other_order_loses_requests(load: Load, stack: Stack, restored: Stack) -> None:
    """The control: applied after the dump and gone from the queues before their copy, they are in neither."""
    with tempfile.TemporaryDirectory() as directory, load:
        load.wait_for_finals(OUTCOMES)
        dump = dump_postgres(stack, Path(directory) / "dump")
        load.wait_for_finals(OUTCOMES)
        accepted = accepted_so_far(load)
        redis_copy = copy_redis(stack, Path(directory) / "redis")
        copies = Copies(redis_copy, dump, accepted)
        restore(restored, copies)
    assert len(lost(restored, copies)) >= OUTCOMES // 2


def check_new_requests_are_applied(restored: Stack, course_ids: list[str]) -> None:
    """The restored system accepts and applies in every course: no sequence collides with the ledger's."""
    campus = Campus(restored)
    for course_id in course_ids:
        outcome = campus.student(restored.http).registered(course_id)
        assert outcome["status"] in ("APPLIED", "REJECTED"), outcome
    assert "0 differences" in restored.audit()
