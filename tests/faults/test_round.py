"""One round seen from outside while it is held just before its commit: what stands where, and who holds what."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from shared.course_queue.keys import shard_of
from shared.store.ownership import SHARD_NAMESPACE
from tests.e2e.campus import Campus
from tests.e2e.stack import SHARDS, Stack
from tests.e2e.waiting import wait_until
from tests.faults.evidence import ledger_of
from tests.faults.moment import Caught, waiting_for_the_ledger


@contextmanager
def ledger_held(stack: Stack) -> Iterator[None]:
    """Let nobody write to the ledger: rounds get as far as that, and no further."""
    with closing(psycopg2.connect(stack.postgres.url)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE registration_requests IN SHARE MODE")
        yield


def caught(stack: Stack, *, but_not: int = 0) -> Caught:
    """A worker that has decided its round and waits for the ledger, on another session than that one."""

    def somebody() -> Caught | None:
        found = waiting_for_the_ledger(stack)
        return found if found is not None and found.backend_pid != but_not else None

    return wait_until(somebody, "a worker is in the middle of a round", 10)


def submitted(campus: Campus, course_id: str, count: int) -> list[str]:
    """The ids of that many new requests, in the order of their acceptance."""
    return [str(student.register(course_id).json()["request_id"]) for student in campus.students(count)]


def test_until_a_round_is_committed_its_requests_stand_in_their_queue(stack: Stack, campus: Campus) -> None:
    """Rule A: taken off earlier, they would be lost with the worker."""
    course_id = campus.course(seats=3)
    with ledger_held(stack):
        request_ids = submitted(campus, course_id, 3)
        caught(stack)
        assert stack.waiting_in(course_id) == request_ids
    wait_until(lambda: not stack.waiting_in(course_id), "they are applied after all")


def test_after_an_error_the_queue_stands_as_it_stood(stack: Stack, campus: Campus) -> None:
    """P3: a round that fails is tried again in place; nobody who came later gets in front."""
    course_id = campus.course(seats=3)
    with ledger_held(stack):
        request_ids = submitted(campus, course_id, 1)
        victim = caught(stack)
        request_ids += submitted(campus, course_id, 2)
        stack.sql("SELECT pg_terminate_backend(%s)", victim.backend_pid)
        caught(stack, but_not=victim.backend_pid)
        assert stack.waiting_in(course_id) == request_ids
    wait_until(lambda: not stack.waiting_in(course_id), "they are applied after all")
    assert [row["request_id"] for row in ledger_of(stack, [course_id])] == request_ids


def test_the_session_that_commits_is_the_one_that_owns_the_shard(stack: Stack, campus: Campus) -> None:
    """P5: lock and commit live and die together, so that a dead owner cannot commit."""
    course_id = campus.course(seats=1)
    with ledger_held(stack):
        submitted(campus, course_id, 1)
        writer = caught(stack)
        owners = stack.sql(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s",
            *(SHARD_NAMESPACE, shard_of(course_id, SHARDS)),
        )
        assert [row["pid"] for row in owners] == [writer.backend_pid]
