"""Two releases side by side, with different forms of jobs: nothing is lost, reordered or failed, whichever comes first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from scripts.local_servers import free_port
from tests.e2e.campus import Campus
from tests.e2e.program import Program
from tests.e2e.stack import READY_LIMIT_S, SHARDS, Stack, api
from tests.e2e.waiting import wait_until
from tests.faults.evidence import check_everything
from tests.faults.load import Load
from tests.faults.moment import ledger_rows

OLD, NEW = 1, 2
STUDENTS = 24
OUTCOMES = 40


@pytest.fixture(scope="module")
def lasting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of today's release with one worker."""
    with Stack(tmp_path_factory.mktemp("upgrades")) as stack:
        yield stack


@pytest.fixture
def course_ids(campus: Campus) -> list[str]:
    """Courses of many shards, so that both workers have some."""
    return [campus.course(seats=seats, reserve=3) for seats in (1, 2, 4, 6, 8, 12)]


@pytest.fixture
def load(stack: Stack, campus: Campus, course_ids: list[str], seed: int) -> Load:
    """Clients that are about to start."""
    return Load(stack.api_url, campus.students(STUDENTS), course_ids, seed)


def start_worker(stack: Stack, version: int) -> Program:
    """One more worker, of the release with that job version."""
    worker = stack.launch(["tests.runbooks.other_release", str(version), "worker"])
    stack._extra.append(worker)
    return worker


def wait_for_shards(stack: Stack, *workers: Program) -> None:
    """Wait until exactly these workers share all shards."""
    pids = {worker.pid for worker in workers}

    def shared() -> bool:
        owned = stack.shards_owned_by()
        return (
            set(owned) == pids
            and sum(owned.values()) == SHARDS
            and max(owned.values()) <= -(-SHARDS // len(pids))
        )

    wait_until(shared, f"{len(pids)} workers share every shard", READY_LIMIT_S)


def waiting_requests(stack: Stack, course_ids: list[str]) -> int:
    """How many requests wait."""
    return sum(len(stack.waiting_in(course_id)) for course_id in course_ids)


def test_a_rolling_upgrade_workers_first_loses_nothing(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """A new worker beside the old one, then alone, then the new API: under load, in the order the runbook gives."""
    old = stack.workers
    with load:
        load.wait_for_finals(OUTCOMES)
        new = start_worker(stack, NEW)
        wait_for_shards(stack, old, new)
        load.wait_for_finals(OUTCOMES, "both releases apply the old form")
        assert old.stop() == 0
        wait_for_shards(stack, new)
        restart_api(stack, NEW)
        load.wait_for_finals(OUTCOMES, "the new release alone applies the new form")
    check_everything(stack, load, course_ids)


def test_old_and_new_api_serve_side_by_side_and_know_each_others_requests(
    stack: Stack, campus: Campus, course_ids: list[str], seed: int
) -> None:
    """As in the middle of the runbook's last step: whoever submits to the one polls at the other, under load."""
    old, new = stack.workers, start_worker(stack, NEW)
    wait_for_shards(stack, old, new)
    assert old.stop() == 0
    wait_for_shards(stack, new)
    with another_release(stack, NEW) as other_url:
        load = Load(stack.api_url, campus.students(STUDENTS), course_ids, seed, other_url=other_url)
        with load:
            load.wait_for_finals(2 * OUTCOMES)
        check_everything(stack, load, course_ids)
        for url in (stack.api_url, other_url):
            assert sum(one.url == url for one in load.sent) >= OUTCOMES // 2
        with httpx.Client(base_url=other_url) as http:
            check_other_tells_the_same(http, load)


def check_other_tells_the_same(http: httpx.Client, load: Load) -> None:
    """Every final outcome, read once more from the API that `check_everything` did not ask."""
    for one in load.sent:
        [request_id] = one.request_ids
        answer = http.get(f"/requests/{request_id}", headers=one.student.headers)
        assert answer.json() == one.finals[-1]


@contextmanager
def another_release(stack: Stack, version: int) -> Iterator[str]:
    """One more API, of the release with that job version; the block gets its address."""
    port = free_port()
    program = stack.launch(["tests.runbooks.other_release", str(version), *api(port)])
    try:
        url = f"http://127.0.0.1:{port}"
        stack._wait_for_api(program, url)
        yield url
        # uvicorn ends with the signal it was sent, after it has finished.
        assert program.stop() in (0, -signal.SIGTERM), f"the API did not end well:\n{program.log()}"
    finally:
        program.kill()


def test_requests_of_a_newer_release_wait_for_a_worker_that_reads_them(
    load: Load, stack: Stack, course_ids: list[str]
) -> None:
    """The wrong way round, or a rollback: the old worker neither applies nor fails them, and a new one does it all in order."""
    old = stack.workers
    with load:
        load.wait_for_finals(OUTCOMES)
        restart_api(stack, NEW)
        load.wait_for_accepted(10)
        wait_until(lambda: "another release" in old.log(), "the old worker says why it does not go on")
        before = ledger_rows(stack)
        load.wait_for_accepted(1)
        assert stack.sql("SELECT 1 FROM registration_requests WHERE status = 'FAILED'") == []
        assert waiting_requests(stack, course_ids) > 0
        new = start_worker(stack, NEW)
        wait_for_shards(stack, old, new)
        assert old.stop() == 0
        wait_for_shards(stack, new)
        load.wait_for_finals(OUTCOMES, "the new worker applies what waited")
        assert ledger_rows(stack) > before
    check_everything(stack, load, course_ids)


def test_after_the_upgrade_the_old_form_that_still_waits_is_applied(stack: Stack, campus: Campus) -> None:
    """A queue that was filled before the upgrade is read by the new workers alone, its order kept across the change."""
    course_id = campus.course(seats=2, reserve=5)
    first, second, third = campus.students(3)
    assert stack.stop_workers() == 0
    earlier = [first.register(course_id), second.register(course_id)]
    restart_api(stack, NEW)
    later = third.register(course_id)
    start_worker(stack, NEW)
    outcomes = [
        student.outcome(answer)["result"]
        for student, answer in zip((first, second, third), [*earlier, later], strict=True)
    ]
    assert outcomes == ["ENROLLED", "ENROLLED", "RESERVED"]


def restart_api(stack: Stack, version: int) -> None:
    """End the API as a deployment would, and start it as the release with that job version."""
    stack.api.stop()
    arguments = stack.api.arguments
    stack._api = stack.launch(["tests.runbooks.other_release", str(version), *arguments])
    stack._wait_for_api(stack._api, stack.api_url)
