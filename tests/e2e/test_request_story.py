"""`manage request`: the whole story of a request, and what of it is unknown."""

import re
from uuid import uuid4

from tests.e2e.campus import Campus, Student
from tests.e2e.operators import UNAVAILABLE, UNKNOWN, Operator
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


def test_a_request_is_told_with_the_counts_it_was_decided_by(campus: Campus, operator: Operator) -> None:
    """Why did I not get in: who was before, what was taken, when, by which worker."""
    course_id = campus.course(seats=1, reserve=1, code="STORY 1")
    first, second, third = campus.students(3)
    first.registered(course_id)
    reserved = second.registered(course_id)
    refused = third.registered(course_id)
    told = operator.run("request", refused["request_id"])
    assert "STORY 1 A" in told
    assert third.number in told
    assert "1 of 1 seats and 1 of 1 reserve positions were taken" in told
    assert "REJECTED course_full" in told
    assert "as number 3 of its course" in told
    before = operator.json("request", reserved["request_id"])["counts_before"]
    assert (before["enrolled"], before["reserved"]) == (1, 0)


def test_a_request_is_told_with_what_became_of_its_place_later(campus: Campus, operator: Operator) -> None:
    """A promotion by somebody else's drop belongs to the story of who waited."""
    course_id = campus.course(seats=1, reserve=1)
    first, second = campus.students(2)
    first.registered(course_id)
    reserved = second.registered(course_id)
    dropped = first.dropped(course_id)
    told = operator.run("request", reserved["request_id"])
    assert "APPLIED RESERVED 1" in told
    assert "promoted to a seat by another student's drop" in told
    assert dropped["request_id"] in told
    assert "ENROLLED" in told.splitlines()[-1]
    assert second.number in operator.run("request", dropped["request_id"])


def test_a_waiting_request_is_told_with_its_place(
    stack: Stack, campus: Campus, course_id: str, operator: Operator
) -> None:
    """How many are before it, and who is to come to it."""
    with stack.held(course_id):
        answers = [student.register(course_id) for student in campus.students(3)]
        told = operator.run("request", answers[2].json()["request_id"])
    assert "behind 2 others; 3 wait in its queue" in told
    assert "due in" in told
    assert f".{stack.worker_pids()[0]}." in told


def test_a_window_that_was_moved_later_is_told_as_such(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """What is shown is the window as it is now, which need not be the one that a request was judged by."""
    semester_id = campus.semester()
    course_id = campus.course(semester_id=semester_id)
    enrolled = campus.student().registered(course_id)["request_id"]
    told = operator.run("request", enrolled)
    assert "window now" in told
    assert "moved" not in told
    stack.sql(
        "UPDATE semesters SET registration_end = now() - interval '1 hour', updated_at = now() WHERE id = %s",
        semester_id,
    )
    assert "moved since the request was decided" in operator.run("request", enrolled)
    assert operator.json("request", enrolled)["window_moved"] is True
    # An audit goes by the window as it is, too.
    stack.sql("UPDATE semesters SET registration_end = now() + interval '1 hour' WHERE id = %s", semester_id)


def test_a_refusal_for_a_window_that_was_moved_later_is_told_as_such(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """Also the other way round: the request was too late, and the semester has been prolonged since."""
    semester_id = campus.semester()
    course_id = campus.course(semester_id=semester_id)
    with stack.held(course_id):
        answer = campus.student().register(course_id)
        stack.sql(
            "UPDATE semesters SET registration_end = now() - interval '1 hour' WHERE id = %s", semester_id
        )
    request_id = answer.json()["request_id"]
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    told = operator.run("request", request_id)
    assert "registration_closed" in told
    assert "moved" not in told
    stack.sql("UPDATE semesters SET registration_end = now() + interval '1 hour' WHERE id = %s", semester_id)
    assert "moved since the request was decided" in operator.run("request", request_id)
    stack.sql("UPDATE semesters SET registration_end = now() - interval '1 hour' WHERE id = %s", semester_id)


def test_what_postgresql_would_tell_of_a_request_is_unknown_while_it_is_away(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """Neither "nobody" nor a time to wait for; what Redis knows is told, and the exit code says that it is not all."""
    student.registered(course_id)
    dropped = student.dropped(course_id)["request_id"]
    with stack.held(course_id):
        waiting = student.register(course_id).json()["request_id"]
        stack.postgres.stop_immediately()
        told = operator.run("request", waiting, code=UNAVAILABLE)
        assert operator.json("request", waiting, code=UNAVAILABLE)["owner"] is None
    assert re.search(r"^worker +unknown$", told, re.MULTILINE)
    assert "behind 0 others" in told
    assert "due in" not in told
    told = operator.run("request", dropped, code=UNAVAILABLE)
    assert re.search(r"^outcome +APPLIED DROPPED$", told, re.MULTILINE)
    assert f".{stack.worker_pids()[0]}." in told


def test_a_failed_request_is_told_with_its_problem(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """The text that RQ's failed registry keeps; from the ledger alone, where to look for it."""
    with stack.held(course_id):
        request_id = student.register(course_id).json()["request_id"]
        with stack.redis() as client:
            client.hset(f"rq:job:{request_id}", "data", b"broken")
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    told = operator.run("request", request_id)
    assert "FAILED internal_error" in told
    assert "its payload is not ours" in told
    with stack.redis() as client:
        client.delete(f"rq:job:{request_id}", f"rq:results:{request_id}")
    assert "look for the request id in the workers' logs" in operator.run("request", request_id)


def test_a_request_that_never_was_is_told_as_such(stack: Stack, operator: Operator) -> None:
    """Exit code 2; and 3 while a part that might know it does not answer."""
    assert "There is no request" in operator.run("request", str(uuid4()), code=UNKNOWN)
    operator.run("request", "not-an-id", code=UNKNOWN)
    stack.postgres.stop_immediately()
    assert "as far as can be told" in operator.run("request", str(uuid4()), code=UNAVAILABLE)
