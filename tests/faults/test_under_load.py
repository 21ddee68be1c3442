"""One fault each while clients register and drop: nothing accepted is lost, reordered, applied twice or oversold."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.evidence import check_everything, ledger_of
from tests.faults.load import Load
from tests.faults.moment import caught_before_commit, caught_in_commit, gone, ledger_rows

STUDENTS = 32
OUTCOMES = 40
# Whether the server's parting word still arrives depends on the moment.
ENDED_BY_THE_SERVER = (
    "server closed the connection unexpectedly",
    "terminating connection due to administrator command",
)


@pytest.fixture
def course_ids(campus: Campus) -> list[str]:
    """Four new courses with fewer places than students who want them."""
    return [campus.course(seats=seats, reserve=3) for seats in (1, 4, 8, 12)]


@pytest.fixture
def load(stack: Stack, campus: Campus, course_ids: list[str], seed: int) -> Load:
    """Clients that are about to start; checked against everything that must hold when the test is through."""
    return Load(stack.api_url, campus.students(STUDENTS), course_ids, seed)


@contextmanager
def running(load: Load, stack: Stack, course_ids: list[str]) -> Iterator[None]:
    """The load runs before, during and after the block; then everything is checked."""
    with load:
        load.wait_for_finals(OUTCOMES)
        yield
        load.wait_for_finals(OUTCOMES, "outcomes after the fault")
    check_everything(stack, load, course_ids)


def test_without_a_fault_everything_holds(load: Load, stack: Stack, course_ids: list[str]) -> None:
    """The control: the same load and the same checks on a system that nobody disturbs."""
    with running(load, stack, course_ids):
        pass


def test_a_worker_killed_in_the_middle_of_a_round(load: Load, stack: Stack, course_ids: list[str]) -> None:
    """SIGKILL with a round decided and not committed: the round is undone, and done again by whoever comes next."""
    with running(load, stack, course_ids):
        with caught_before_commit(stack) as victim:
            assert load.in_flight > 0
            os.kill(victim.worker_pid, signal.SIGKILL)
            wait_until(lambda: gone(victim.worker_pid), "the worker is gone")
            assert any(map(stack.waiting_in, course_ids)), "nothing was left to do"
        load.wait_for_finals(OUTCOMES)
        wait_until(lambda: victim.backend_pid not in backends(stack), "its session is gone")
        stack.wait_for_owners(2)
        assert victim.worker_pid not in stack.worker_pids()


def test_a_worker_frozen_in_the_middle_of_a_round(load: Load, stack: Stack, course_ids: list[str]) -> None:
    """SIGSTOP beyond the session timeout: its session is ended, others do its work, and thawed it does no harm."""
    with running(load, stack, course_ids):
        with caught_before_commit(stack) as victim:
            assert load.in_flight > 0
            os.kill(victim.worker_pid, signal.SIGSTOP)
            frozen_at = time.monotonic()
        try:
            wait_until(lambda: stack.sessions_of(victim.worker_pid) == [], "the frozen session is ended", 5)
            stack.wait_for_owners(1)
            print(f"taken over after {time.monotonic() - frozen_at:.2f} s")  # noqa: T201 - pytest shows it when the test fails
            assert victim.worker_pid not in stack.shards_owned_by()
            load.wait_for_finals(OUTCOMES, "the other worker does all the work")
        finally:
            os.kill(victim.worker_pid, signal.SIGCONT)
        stack.wait_for_owners(2)
        assert victim.worker_pid in stack.shards_owned_by(), "the same process is back"


def test_a_worker_killed_between_its_commit_and_the_removal_from_the_queue(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """SIGKILL when the ledger has the round and the queue still does: the next owner takes it off, and applies nothing twice."""
    with running(load, stack, course_ids):
        before = ledger_rows(stack)
        with caught_in_commit(stack) as victim:
            os.kill(victim.worker_pid, signal.SIGKILL)
            wait_until(lambda: gone(victim.worker_pid), "the worker is gone")
            waiting = {request_id for course_id in course_ids for request_id in stack.waiting_in(course_id)}
        wait_until(lambda: ledger_rows(stack) > before, "the round is committed")
        recorded = {row["request_id"] for row in ledger_of(stack, course_ids)}
        assert recorded & waiting, "nothing was committed that still stood in a queue"
        stack.wait_for_owners(2)


def test_a_worker_frozen_between_its_commit_and_the_removal_from_the_queue(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """SIGSTOP at the same moment: when it thaws, others have long gone on, and its late removal takes nothing of theirs."""
    with running(load, stack, course_ids):
        with caught_in_commit(stack) as victim:
            os.kill(victim.worker_pid, signal.SIGSTOP)
        try:
            wait_until(lambda: stack.sessions_of(victim.worker_pid) == [], "the frozen session is ended", 5)
            stack.wait_for_owners(1)
            load.wait_for_finals(OUTCOMES, "the other worker does all the work")
            with stack.held(*course_ids):
                load.wait_for_accepted(5)
                waiting = {course_id: stack.waiting_in(course_id) for course_id in course_ids}
                os.kill(victim.worker_pid, signal.SIGCONT)
                stack.wait_for_owners(2)
                for course_id in course_ids:
                    assert stack.waiting_in(course_id)[: len(waiting[course_id])] == waiting[course_id]
        finally:
            os.kill(victim.worker_pid, signal.SIGCONT)
        assert victim.worker_pid in stack.shards_owned_by(), "the same process is back"


def test_the_api_killed_with_clients_waiting(load: Load, stack: Stack, course_ids: list[str]) -> None:
    """SIGKILL of the API: clients repeat what they do not know with the same key, and find what was accepted."""
    with running(load, stack, course_ids):
        with stack.held(*course_ids):
            load.wait_for_accepted(5)
            assert load.in_flight > 0
            failed_before, pid = load.failed_calls, stack.api.pid
            stack.api.kill()
            assert gone(pid)
            wait_until(lambda: load.failed_calls > failed_before, "clients notice")
            waiting = sum(len(stack.waiting_in(course_id)) for course_id in course_ids)
            assert waiting > 0, "nothing was waiting"
        stack.start_api()
        assert stack.api.pid != pid


def test_redis_killed_between_a_commit_and_the_removal_from_the_queue(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """SIGKILL of Redis at the worst moment: what the ledger has is not applied again, what waited still waits."""
    with running(load, stack, course_ids):
        pid = stack.valkey.pid
        with caught_before_commit(stack):
            assert load.in_flight > 0
            os.kill(pid, signal.SIGSTOP)
            before = ledger_rows(stack)
        wait_until(lambda: ledger_rows(stack) > before, "the round is committed while Redis stands still")
        stack.valkey.kill()
        assert gone(pid)
        stack.valkey.start()
        assert stack.valkey.pid != pid


def test_redis_away_for_a_while(load: Load, stack: Stack, course_ids: list[str]) -> None:
    """SIGKILL of Redis and a start on the same data some time later, with clients trying all the while."""
    with running(load, stack, course_ids):
        failed_before = load.failed_calls
        assert load.in_flight > 0
        stack.valkey.kill()
        wait_until(lambda: load.failed_calls > failed_before + 2 * STUDENTS, "every client was refused")
        stack.valkey.start()


def test_postgresql_stopped_immediately_and_started_again(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """No checkpoint, no goodbye: accepting goes on meanwhile, and every round in doubt is looked up, not guessed."""
    with running(load, stack, course_ids):
        with caught_before_commit(stack) as victim:
            assert load.in_flight > 0
            stack.postgres.stop_immediately()
        # Who has an outcome goes on to the next call, so this ends with every device waiting for PostgreSQL.
        load.wait_for_accepted(5)
        assert stack.workers.running
        stack.postgres.start()
        stack.wait_for_owners(2)
        assert victim.worker_pid in stack.worker_pids(), "no worker had to be restarted"
        assert victim.backend_pid not in backends(stack)


def test_an_owners_session_terminated_in_the_middle_of_a_round(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """pg_terminate_backend of a worker with a round in hand: its locks go, the round is undone and done again."""
    with running(load, stack, course_ids):
        with caught_before_commit(stack) as victim:
            assert load.in_flight > 0
            before = terminated(stack)
            stack.sql("SELECT pg_terminate_backend(%s)", victim.backend_pid)
            wait_until(lambda: victim.backend_pid not in backends(stack), "the session is gone")
            wait_until(lambda: terminated(stack) > before, "the worker noticed")
        stack.wait_for_owners(2)
        assert victim.worker_pid in stack.worker_pids(), "the process lives on"
        assert stack.sessions_of(victim.worker_pid) != [victim.backend_pid]


def terminated(stack: Stack) -> int:
    """How often the server ended a worker's session: the worker itself would soon end it after a lock timeout."""
    log = stack.workers.log_path.read_text(encoding="utf-8")
    return sum(map(log.count, ENDED_BY_THE_SERVER))


def backends(stack: Stack) -> set[int]:
    """The process ids of PostgreSQL's sessions."""
    return {row["pid"] for row in stack.sql("SELECT pid FROM pg_stat_activity")}
