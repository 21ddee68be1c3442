"""SIGTERM: what is in hand is brought to its end, and nothing is lost."""

import signal
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.e2e.campus import Campus, Student
from tests.e2e.scraping import Scrape
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

REQUESTS = 300


def applied_in(stack: Stack, course_id: str) -> int:
    """How many of a course's requests are in the ledger."""
    query = "SELECT count(*) AS rows FROM registration_requests WHERE course_id = %s"
    return int(stack.sql(query, course_id)[0]["rows"])


def look_ups(stack: Stack) -> float:
    """How many requests the API has looked up in Redis."""
    return Scrape(stack.api_url).total("registration_redis_seconds_count", operation="look_up")


def test_a_worker_told_to_stop_in_the_middle_ends_its_round_and_loses_nothing(
    stack: Stack, campus: Campus
) -> None:
    """Exit code 0 while most requests still wait; each of them is applied once by the next worker, in order."""
    course_id = campus.course(seats=10, reserve=5)
    stack.stop_workers()
    students = campus.students(REQUESTS)
    answers = [student.register(course_id) for student in students]
    stack.start_workers(ROUND_SIZE_MAX="1")
    wait_until(lambda: applied_in(stack, course_id) > 3, "some requests are applied")
    assert stack.stop_workers() == 0
    applied, waiting = applied_in(stack, course_id), stack.waiting_in(course_id)
    assert waiting, "the signal came too late to prove anything"
    assert applied + len(waiting) == REQUESTS
    stack.start_workers()
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    outcomes = [student.outcome(answer) for student, answer in zip(students, answers, strict=True)]
    assert [one["sequence"] for one in outcomes] == list(range(1, REQUESTS + 1))
    assert [one["result"] for one in outcomes] == ["ENROLLED"] * 10 + ["RESERVED"] * 5 + [None] * (
        REQUESTS - 15
    )
    assert "0 differences" in stack.audit()


def test_several_workers_told_to_stop_all_end(stack: Stack) -> None:
    """SIGTERM to the supervisor ends every worker process, with exit code 0, and hands back every shard."""
    stack.stop_workers()
    stack.start_workers(2)
    children = stack.workers.children()
    assert len(children) == 2
    assert stack.stop_workers() == 0
    assert not any(psutil.pid_exists(child.pid) and child.is_running() for child in children)
    assert stack.shards_owned_by() == {}


def test_what_was_accepted_before_a_restart_of_the_api_is_found_after_it(
    stack: Stack, student: Student, course_id: str
) -> None:
    """The same Location shows the same waiting request, in the same place."""
    with stack.held(course_id):
        answer = student.register(course_id)
        stack.restart_api()
        assert student.get(answer.headers["Location"]).json() == answer.json()
    assert student.outcome(answer)["result"] == "ENROLLED"


def test_an_api_told_to_stop_tells_who_is_waiting_where_to_go_on(
    stack: Stack, student: Student, course_id: str
) -> None:
    """SIGTERM answers clients that wait, new ones and those who poll, with what is known now, and ends the process."""
    with ThreadPoolExecutor(2) as devices, stack.held(course_id):
        submitting = devices.submit(student.register, course_id, wait=25)
        wait_until(lambda: stack.waiting_in(course_id), "the request waits")
        [request_id] = stack.waiting_in(course_id)
        looked_up = look_ups(stack)
        polling = devices.submit(student.get, f"/requests/{request_id}?wait=25")
        wait_until(lambda: look_ups(stack) > looked_up, "the other device waits, too")
        stack.api.send(signal.SIGTERM)
        assert stack.api.wait() in (0, -signal.SIGTERM)
        assert (submitting.result().status_code, polling.result().status_code) == (202, 200)
        assert submitting.result().json()["request_id"] == request_id == polling.result().json()["request_id"]
    stack.start_api()
    assert student.outcome(submitting.result())["result"] == "ENROLLED"
