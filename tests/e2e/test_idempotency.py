"""The Idempotency-Key: a call may be repeated for a day, from anywhere, and means the same request."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


def test_the_same_key_and_request_give_the_same_answer(
    stack: Stack, student: Student, course_id: str
) -> None:
    """While it waits the repetition shows the same waiting request, afterwards the same outcome."""
    with stack.held(course_id):
        first, again = (student.register(course_id, key="one") for _ in range(2))
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json() == again.json()
        assert first.headers["Location"] == again.headers["Location"]
        assert len(stack.waiting_in(course_id)) == 1
    outcome = student.outcome(first)
    repeated = student.register(course_id, key="one", wait=5)
    assert (repeated.status_code, repeated.json()) == (200, outcome)
    assert student.register(course_id, key="one").json() == outcome


def test_a_key_reaches_its_outcome_after_redis_forgot_the_request(
    stack: Stack, student: Student, course_id: str
) -> None:
    """The key outlives the dashboard's copy of the request."""
    outcome = student.register(course_id, key="one", wait=20).json()
    with stack.redis() as client:
        client.delete(f"rq:job:{outcome['request_id']}")
    assert student.register(course_id, key="one", wait=5).json() == outcome


def test_a_key_holds_even_after_the_student_dropped_again(student: Student, course_id: str) -> None:
    """A late retry of the register does not register anew."""
    registered = student.register(course_id, key="one", wait=20).json()
    student.dropped(course_id)
    assert student.register(course_id, key="one", wait=20).json() == registered
    assert student.dropped(course_id)["reason"] == "not_registered"


def test_a_key_holds_after_registration_has_closed(stack: Stack, campus: Campus, student: Student) -> None:
    """Who missed the answer at closing time still learns it by repeating; without the key it is 409."""
    semester_id = campus.semester()
    course_id, other_course = (campus.course(semester_id=semester_id) for _ in range(2))
    outcome = student.register(course_id, key="one", wait=20).json()
    stack.sql(
        "UPDATE semesters SET registration_end = now() - interval '1 minute', updated_at = now() WHERE id = %s",
        semester_id,
    )
    wait_until(lambda: student.register(course_id).status_code == 409, "the API knows that it is closed")
    assert student.register(course_id, key="one", wait=5).json() == outcome
    assert student.register(other_course, key="one").json()["code"] == "idempotency_key_reused"
    assert student.register(course_id, key="two").json()["code"] == "registration_closed"


def test_a_key_used_for_another_request_is_refused(campus: Campus, student: Student, course_id: str) -> None:
    """The same key on another course, or the other operation, is 422 and changes nothing."""
    student.register(course_id, key="one", wait=20)
    other_course = campus.course()
    for answer in (student.register(other_course, key="one"), student.drop(course_id, key="one")):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(student.get("/requests").json()["requests"]) == 1


def test_a_key_merged_into_a_waiting_request_belongs_to_it(
    stack: Stack, student: Student, course_id: str
) -> None:
    """A second key for the same still waiting operation names the same request from then on."""
    with stack.held(course_id):
        first, second = student.register(course_id, key="one"), student.register(course_id, key="two")
        assert first.json()["request_id"] == second.json()["request_id"]
    outcome = student.outcome(first)
    assert student.register(course_id, key="two", wait=5).json() == outcome


def test_twenty_calls_at_once_with_one_key_are_one_request(
    stack: Stack, student: Student, course_id: str
) -> None:
    """However many devices press at the same moment, one request is made."""
    with ThreadPoolExecutor(20) as devices:
        answers = list(devices.map(lambda _: student.register(course_id, key="one"), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["request_id"] for answer in answers}) == 1
    assert len(student.get("/requests").json()["requests"]) == 1


def test_a_key_works_across_a_restart_of_the_api(stack: Stack, student: Student, course_id: str) -> None:
    """Keys live with the order, not with the process."""
    with stack.held(course_id):
        first = student.register(course_id, key="one")
        stack.restart_api()
        again = student.register(course_id, key="one")
        assert again.status_code == 202
        assert again.json() == first.json()


@pytest.mark.parametrize("value", [b"", b"x" * 256, b"a b", b"a\tb", "ключ".encode(), b"\xe9"], ids=repr)
def test_a_malformed_key_is_invalid_and_nothing_is_accepted(
    value: bytes, http: httpx.Client, student: Student, course_id: str
) -> None:
    """Only 1 to 255 visible ASCII characters are a key."""
    answer = http.post(
        f"/courses/{course_id}/register", headers={**student.headers, "Idempotency-Key": value}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert student.get("/requests").json()["requests"] == []


def test_a_key_given_twice_is_invalid(http: httpx.Client, student: Student, course_id: str) -> None:
    """Two keys would be two answers to one question."""
    headers = [*student.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert http.post(f"/courses/{course_id}/register", headers=headers).status_code == 422
    assert student.get("/requests").json()["requests"] == []


def test_a_key_of_255_characters_is_taken(student: Student, course_id: str) -> None:
    """The longest key works, and differs from one that shares all but its last character."""
    first = student.register(course_id, key="x" * 255, wait=20).json()
    assert student.register(course_id, key="x" * 255, wait=20).json() == first
    assert student.register(course_id, key="x" * 254 + "y", wait=20).json()["reason"] == "already_registered"
