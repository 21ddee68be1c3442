"""Valkey's primary is lost and a replica promoted, by the runbook's own commands: every 202 gets its outcome."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.conftest import WORKERS
from tests.faults.evidence import check_roster, check_what_clients_saw, ledger_of
from tests.faults.load import Load
from tests.faults.moment import ledger_rows
from tests.faults.proxy import Direction, Proxy
from tests.replicas import ReplicaValkey
from tests.runbooks.page import Runbook

PAGE, SECTION = "redis-full-or-lost.md", "Fails over to a replica"
STUDENTS = 24
OUTCOMES = 40
KEY = "register"
REPLICAS_TIMEOUT_MS = "500"

ReplicaMaker = Callable[[int], ReplicaValkey]


@pytest.fixture(scope="module")
def lasting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system whose 202s say that a replica has the request on disk. What one test promotes is the next one's primary."""
    settings = {"ACCEPT_REPLICAS": "1", "ACCEPT_REPLICAS_TIMEOUT_MS": REPLICAS_TIMEOUT_MS}
    with Stack(tmp_path_factory.mktemp("replicas"), worker_processes=WORKERS, **settings) as stack:
        yield stack


@pytest.fixture
def replica_of(stack: Stack, tmp_path: Path) -> Iterator[ReplicaMaker]:
    """Makes replicas of the server on a port."""
    made: list[ReplicaValkey] = []

    def make(port: int) -> ReplicaValkey:
        made.append(ReplicaValkey(tmp_path / f"replica-{len(made)}" / "data", stack.valkey))
        return made[-1].follow(port)

    yield make
    for replica in made:
        replica.kill()


@pytest.fixture
def page(stack: Stack, tmp_path: Path) -> Runbook:
    """What the operator goes by."""
    return Runbook(PAGE, tmp_path / "operator", stack.environment())


def promote(page: Runbook, stack: Stack, replica: ReplicaValkey, successor: ReplicaMaker) -> None:
    """The steps of the page after the primary has gone, up to the new primary at work with a replica of its own."""
    assert "slave_repl_offset" in page.run(SECTION, 2, REPLICA_URL=replica.url)
    page.run(SECTION, 3, REPLICA_URL=replica.url)
    successor(replica.port)
    stack.valkey = replica
    stack.stop_workers()
    stack.start_workers()
    stack.restart_api()


def check_afterwards(page: Runbook, replica: ReplicaValkey) -> None:
    """The page's last step."""
    output = page.run(SECTION, 6, REDIS_URL=replica.url)
    assert "Nothing waits" in output
    assert "0 differences" in output


def role_of(replica: ReplicaValkey) -> Any:
    """Whether it is a `master` or a `slave`."""
    with redis.Redis.from_url(replica.url) as client:
        return client.info("replication")["role"]


def test_a_promoted_replica_has_every_request_that_was_answered_202(
    stack: Stack, campus: Campus, replica_of: ReplicaMaker, page: Runbook, seed: int
) -> None:
    """The primary is killed in the middle of a rush; nothing that a client was told is lost or told otherwise later."""
    course_ids = [campus.course(seats=seats, reserve=3) for seats in (1, 4, 8, 12)]
    load = Load(stack.api_url, campus.students(STUDENTS), course_ids, seed)
    replica = replica_of(stack.valkey.port)
    with load:
        load.wait_for_finals(OUTCOMES)
        with stack.held(*course_ids):
            load.wait_for_accepted(10)
            stack.valkey.kill()
        promote(page, stack, replica, replica_of)
        load.wait_for_finals(OUTCOMES, "outcomes from the promoted replica")
    check_afterwards(page, replica)
    check_what_clients_saw(load)
    ledger = ledger_of(stack, course_ids)
    assert load.request_ids <= {row["request_id"] for row in ledger}
    assert {row["status"] for row in ledger} <= {"APPLIED", "REJECTED"}
    for course_id in course_ids:
        check_roster(stack, course_id)


def test_a_promotion_outlives_a_restart(
    stack: Stack, campus: Campus, replica_of: ReplicaMaker, page: Runbook
) -> None:
    """Else the first restart would make it a replica again, of a server that is gone or, worse, of an empty one."""
    course_id, student = campus.course(), campus.student()
    replica = replica_of(stack.valkey.port)
    stack.valkey.kill()
    promote(page, stack, replica, replica_of)
    replica.kill()
    replica.start()
    assert role_of(replica) == "master"
    assert student.outcome(accepted_by(student, course_id))["result"] == "ENROLLED"


def test_a_replica_that_was_behind_gives_no_sequence_twice(
    stack: Stack, campus: Campus, replica_of: ReplicaMaker, page: Runbook
) -> None:
    """A request that only the old primary had was applied, though nobody was told 202: the next one is not mistaken for it."""
    course_id = campus.course(seats=1, reserve=1)
    first, second, third = campus.students(3)
    with Proxy(stack.valkey.port) as wire:
        replica = replica_of(wire.port)
        assert first.outcome(accepted_by(first, course_id))["result"] == "ENROLLED"
        before = ledger_rows(stack)
        wire.blackhole(Direction.DOWN)
        for _ in range(2):
            assert second.register(course_id, key=KEY).status_code == 503
        wait_until(lambda: ledger_rows(stack) > before, "it is applied all the same")
        stack.valkey.kill()
        wire.reset()
        promote(page, stack, replica, replica_of)
    assert second.outcome(accepted_by(second, course_id))["reason"] == "already_registered"
    assert third.registered(course_id)["reason"] == "course_full"
    assert first.registered(course_id)["reason"] == "already_registered"
    check_afterwards(page, replica)


def accepted_by(student: Student, course_id: str) -> httpx.Response:
    """The answer that accepts, after as many repeats as a client needs while a replica is new."""

    def answer() -> httpx.Response | None:
        answer = student.register(course_id, key=KEY)
        return answer if answer.is_success else None

    return wait_until(answer, "a request is accepted")
