"""`GET /requests`, `GET /semesters/{id}/my-courses`, and that nobody sees anybody else's."""

import json
from uuid import uuid4

import pytest

from tests.e2e.campus import Campus, Document, Student
from tests.e2e.stack import Stack


def pages(student: Student, limit: int) -> list[Document]:
    """All pages of a student's requests, one after the other."""
    after, gathered = None, []
    while True:
        parameters = {"limit": limit} | ({"after": after} if after else {})
        answer = student.get("/requests", **parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["requests"]) <= limit
        gathered += page["requests"]
        after = page["next"]
        if after is None:
            return gathered
        assert after == page["requests"][-1]["request_id"]


def test_own_requests_are_newest_first_waiting_and_finished_together(
    stack: Stack, campus: Campus, student: Student
) -> None:
    """Pages of any size cover waiting and finished requests once each, in one order."""
    finished, waiting = campus.course(), campus.course()
    for _ in range(3):
        student.registered(finished)
        student.dropped(finished)
    with stack.held(waiting):
        for operation in ("register", "drop", "register"):
            student.submit(waiting, operation)
        whole = pages(student, 200)
        assert [one["status"] for one in whole] == ["QUEUED"] * 3 + ["APPLIED"] * 6
        assert [one["accepted_at"] for one in whole] == sorted(
            (one["accepted_at"] for one in whole), reverse=True
        )
        for limit in (1, 2, 3, 4, 8, 9):
            assert pages(student, limit) == whole
        assert [student.get(f"/requests/{one['request_id']}").json() for one in whole] == whole


def test_a_request_reads_the_same_alone_and_in_the_list(
    stack: Stack, student: Student, course_id: str
) -> None:
    """P7: to the letter, also where a time falls on a whole second."""
    with stack.held(course_id), stack.redis() as client:
        answer = student.register(course_id)
        job = f"rq:job:{answer.json()['request_id']}"
        *call, payload = json.loads(client.hget(job, "data"))
        payload["accepted_at_us"] -= payload["accepted_at_us"] % 1_000_000
        client.hset(job, "data", json.dumps([*call, payload]))
    assert student.outcome(answer)["accepted_at"].endswith(".000000Z")
    with stack.redis() as client:
        client.delete(job)
    alone = student.get(f"/requests/{answer.json()['request_id']}").json()
    assert student.get("/requests").json()["requests"] == [alone]


@pytest.mark.parametrize("limit", ["0", "201", "x"])
def test_a_page_of_own_requests_is_bounded(limit: str, student: Student) -> None:
    """A limit outside 1 to 200 is invalid input."""
    assert student.get("/requests", limit=limit).status_code == 422


def test_a_page_after_an_unknown_request_is_not_found(student: Student) -> None:
    """`after` must be a request of one's own; what is no UUID is invalid."""
    assert student.get("/requests", after=str(uuid4())).status_code == 404
    assert student.get("/requests", after="x").status_code == 422


def test_my_courses_lists_only_the_semester_that_was_asked_for(campus: Campus, student: Student) -> None:
    """Registrations of another semester are not mixed in; an empty semester is an empty list."""
    here, elsewhere = campus.semester(), campus.semester()
    course_id = campus.course(semester_id=here)
    student.registered(course_id)
    [mine] = student.my_courses(here)
    assert (mine["course_id"], mine["status"]) == (course_id, "ENROLLED")
    assert student.my_courses(elsewhere) == []
    assert student.get(f"/semesters/{uuid4()}/my-courses").status_code == 404
    assert student.get("/semesters/x/my-courses").status_code == 422


@pytest.mark.parametrize("state", ["waiting", "finished", "forgotten"])
def test_nothing_of_one_student_shows_with_anothers_token(
    state: str, stack: Stack, campus: Campus, semester_id: str
) -> None:
    """Every route with another's token: their request does not exist, in whatever state it is, and lists are empty."""
    owner, stranger = campus.students(2)
    course_id = campus.course(semester_id=semester_id)
    if state == "waiting":
        with stack.held(course_id):
            request_id = owner.register(course_id).json()["request_id"]
            assert_hidden(owner, stranger, request_id, semester_id)
        return
    request_id = owner.registered(course_id)["request_id"]
    if state == "forgotten":
        with stack.redis() as client:
            client.delete(f"rq:job:{request_id}")
    assert_hidden(owner, stranger, request_id, semester_id)


def assert_hidden(owner: Student, stranger: Student, request_id: str, semester_id: str) -> None:
    """The owner sees the request; the stranger finds nothing, and no more than for an id that never was."""
    assert owner.get(f"/requests/{request_id}").status_code == 200
    never = stranger.get(f"/requests/{uuid4()}")
    for answer in (stranger.get(f"/requests/{request_id}"), stranger.get("/requests", after=request_id)):
        assert answer.status_code == 404
        assert answer.json() == never.json()
    assert stranger.get(f"/requests/{request_id}", wait=0).status_code == 404
    assert stranger.get("/requests").json() == {"requests": [], "next": None}
    assert stranger.my_courses(semester_id) == []


def test_waiting_for_anothers_request_is_refused_at_once(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """A long poll tells a stranger nothing, not even by how long it takes."""
    owner, stranger = campus.students(2)
    with stack.held(course_id):
        request_id = owner.register(course_id).json()["request_id"]
        answer = stranger.get(f"/requests/{request_id}", wait=30)
        assert answer.status_code == 404
        assert answer.elapsed.total_seconds() < 5


def test_the_same_idempotency_key_of_two_students_names_two_requests(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """Keys belong to the student: nobody can find or block another's request with one."""
    first, second = campus.students(2)
    with stack.held(course_id):
        one, other = first.register(course_id, key="k"), second.register(course_id, key="k")
        assert one.status_code == other.status_code == 202
        assert one.json()["request_id"] != other.json()["request_id"]
