"""Submitting a register or a drop, and finding out what became of it."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from tests.e2e.campus import DAY, PASSWORD, Campus, Document, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


def test_an_accepted_request_says_where_and_when_to_poll(
    stack: Stack, student: Student, course_id: str
) -> None:
    """202 with the waiting request, a Location that answers at once, and Retry-After."""
    with stack.held(course_id):
        answer = student.register(course_id)
        assert answer.status_code == 202
        document = answer.json()
        assert UUID(document["request_id"])
        assert answer.headers["Location"] == f"/requests/{document['request_id']}"
        assert int(answer.headers["Retry-After"]) >= 1
        assert "Preference-Applied" not in answer.headers
        assert (document["course_id"], document["operation"]) == (course_id, "REGISTER")
        assert (document["status"], document["sequence"], document["ahead"]) == ("QUEUED", 1, 0)
        assert document["estimated_wait_ms"] >= 0
        assert document["result"] is document["reason"] is document["applied_at"] is None
        polled = student.get(answer.headers["Location"])
        assert polled.status_code == 200
        assert int(polled.headers["Retry-After"]) >= 1
        assert polled.json() == document
        assert stack.waiting_in(course_id) == [document["request_id"]]
    assert student.outcome(answer)["result"] == "ENROLLED"


def test_ahead_counts_the_requests_still_before_it(stack: Stack, campus: Campus, course_id: str) -> None:
    """The n-th waiting request of a course has n-1 ahead."""
    students = campus.students(4)
    with stack.held(course_id):
        answers = [student.register(course_id) for student in students]
        assert [answer.json()["ahead"] for answer in answers] == [0, 1, 2, 3]
        assert [answer.json()["sequence"] for answer in answers] == [1, 2, 3, 4]


def test_prefer_wait_answers_200_with_the_final_outcome(student: Student, course_id: str) -> None:
    """`Prefer: wait=10` gives the outcome at once, says that it did, and the Location to read it again."""
    answer = student.register(course_id, wait=10)
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.headers["Location"] == f"/requests/{answer.json()['request_id']}"
    assert "Retry-After" not in answer.headers
    document = answer.json()
    assert (document["status"], document["result"], document["ahead"]) == ("APPLIED", "ENROLLED", None)
    assert datetime.fromisoformat(document["accepted_at"]) <= datetime.fromisoformat(document["applied_at"])
    assert document["accepted_at"].endswith("Z")


def test_prefer_wait_answers_202_when_the_outcome_takes_longer(
    stack: Stack, student: Student, course_id: str
) -> None:
    """When the time is up the client gets its place, as without the preference."""
    with stack.held(course_id):
        started = time.monotonic()
        answer = student.register(course_id, wait=1)
        assert time.monotonic() - started >= 1
        assert answer.status_code == 202
        assert answer.json()["status"] == "QUEUED"
        assert "Preference-Applied" not in answer.headers
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "preference", ["wait=10", "WAIT = 10", 'wait="10"', "respond-async, wait=10", "wait=10; x=y"]
)
def test_prefer_is_read_as_its_rfc_says(
    preference: str, http: httpx.Client, student: Student, course_id: str
) -> None:
    """RFC 7240: case does not matter, spaces, quotes and other preferences may surround it."""
    answer = http.post(f"/courses/{course_id}/register", headers={**student.headers, "Prefer": preference})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=10")


@pytest.mark.parametrize("wait", ["31", "-1", "x", "1.5", "", "99999999999999999999", "\uff11"])
def test_a_wait_outside_0_to_30_is_invalid_and_nothing_is_accepted(
    wait: str, stack: Stack, http: httpx.Client, student: Student, course_id: str
) -> None:
    """A wait that the server would not keep is refused, in the header and in the query."""
    headers = {**student.headers, "Prefer": f"wait={wait}".encode()}
    posted = http.post(f"/courses/{course_id}/register", headers=headers)
    assert (posted.status_code, posted.json()["code"]) == (422, "invalid_input")
    assert student.get("/requests").json()["requests"] == []
    polled = student.get(f"/requests/{uuid4()}", wait=wait)
    assert (polled.status_code, polled.json()["code"]) == (422, "invalid_input")


def test_prefer_wait_wakes_as_soon_as_the_outcome_is_there(
    stack: Stack, student: Student, course_id: str
) -> None:
    """Who waits is woken by the outcome, not by a timer."""
    with ThreadPoolExecutor(1) as device:
        with stack.held(course_id):
            pending = device.submit(student.register, course_id, wait=25)
            wait_until(lambda: stack.waiting_in(course_id), "the request waits")
            assert not pending.done()
        released = time.monotonic()
        assert pending.result().status_code == 200
        assert time.monotonic() - released < 2


def test_a_long_poll_wakes_as_soon_as_the_outcome_is_there(
    stack: Stack, student: Student, course_id: str
) -> None:
    """The same for `GET /requests/{id}?wait=`."""
    with ThreadPoolExecutor(1) as device:
        with stack.held(course_id):
            location = student.register(course_id).headers["Location"]
            pending = device.submit(student.get, location, wait=25)
            # Answered only after the time is up, by when the other poll has long been waiting.
            assert student.get(location, wait=1).json()["status"] == "QUEUED"
            assert not pending.done()
        released = time.monotonic()
        assert pending.result().json()["status"] == "APPLIED"
        assert time.monotonic() - released < 2


def test_the_final_outcome_reads_the_same_everywhere_and_for_good(
    stack: Stack, student: Student, course_id: str
) -> None:
    """Prefer, poll and list show one body; so do they after Redis has forgotten it and everything was restarted."""
    stack.stop_workers()
    stack.start_workers(FINISHED_TTL_S="1")
    answer = student.register(course_id, wait=20)
    outcome = answer.json()
    location = answer.headers["Location"]
    assert outcome["status"] == "APPLIED"

    def readings() -> list[Document]:
        return [student.get(location).json(), *student.get("/requests").json()["requests"]]

    assert all(reading == outcome for reading in readings())

    def forgotten() -> bool:
        with stack.redis() as client:
            return not client.exists(f"rq:job:{outcome['request_id']}")

    wait_until(forgotten, "Redis forgets the finished request")
    assert all(reading == outcome for reading in readings())
    stack.restart_api()
    assert all(reading == outcome for reading in readings())


def test_registering_twice_is_refused_as_already_registered(student: Student, course_id: str) -> None:
    """A second register of an enrolled or a reserved student changes nothing."""
    assert student.registered(course_id)["result"] == "ENROLLED"
    again = student.registered(course_id)
    assert (again["status"], again["result"], again["reason"]) == ("REJECTED", None, "already_registered")


def test_dropping_what_one_does_not_have_is_refused_as_not_registered(
    student: Student, course_id: str
) -> None:
    """A drop without a registration is an outcome with a reason, not an error."""
    refused = student.dropped(course_id)
    assert (refused["operation"], refused["status"], refused["reason"]) == (
        "DROP",
        "REJECTED",
        "not_registered",
    )


def test_seats_then_reserve_positions_then_course_full(
    campus: Campus, course_id: str, http: httpx.Client
) -> None:
    """One seat and two reserve positions: enrolled, reserved at 1 and 2, and then no more."""
    outcomes = [student.registered(course_id) for student in campus.students(4)]
    assert [(one["result"], one["reserve_position"], one["reason"]) for one in outcomes] == [
        ("ENROLLED", None, None),
        ("RESERVED", 1, None),
        ("RESERVED", 2, None),
        (None, None, "course_full"),
    ]
    assert [one["sequence"] for one in outcomes] == [1, 2, 3, 4]
    course = http.get(f"/courses/{course_id}").json()
    assert (course["enrolled_count"], course["reserved_count"]) == (1, 2)


def test_a_drop_gives_the_seat_to_the_head_of_the_reserve_list(
    campus: Campus, course_id: str, semester_id: str
) -> None:
    """The head is enrolled with the very drop, the next moves up to 1, and a newcomer queues behind."""
    enrolled, head, second, newcomer = campus.students(4)
    for student in (enrolled, head, second):
        student.registered(course_id)
    assert enrolled.dropped(course_id)["result"] == "DROPPED"
    assert enrolled.my_courses(semester_id) == []
    [heads] = head.my_courses(semester_id)
    assert (heads["status"], heads["reserve_position"]) == ("ENROLLED", None)
    [seconds] = second.my_courses(semester_id)
    assert (seconds["status"], seconds["reserve_position"]) == ("RESERVED", 1)
    assert newcomer.registered(course_id)["reserve_position"] == 2


def test_leaving_the_reserve_list_moves_everybody_behind_up(campus: Campus, semester_id: str) -> None:
    """Dropping a reserve position closes the gap and promotes nobody."""
    course_id = campus.course(seats=1, reserve=3, semester_id=semester_id)
    students = campus.students(4)
    for student in students:
        student.registered(course_id)
    assert students[1].dropped(course_id)["result"] == "DROPPED"
    places = [student.my_courses(semester_id) for student in students]
    assert [[(one["status"], one["reserve_position"]) for one in place] for place in places] == [
        [("ENROLLED", None)],
        [],
        [("RESERVED", 1)],
        [("RESERVED", 2)],
    ]


def test_a_dropped_student_may_register_again_at_the_end(campus: Campus, course_id: str) -> None:
    """Dropping and registering again loses one's place, and works."""
    first, second = campus.students(2)
    first.registered(course_id)
    second.registered(course_id)
    first.dropped(course_id)
    again = first.registered(course_id)
    assert (again["result"], again["reserve_position"]) == ("RESERVED", 1)


def test_the_same_operation_while_it_still_waits_is_the_same_request(
    stack: Stack, student: Student, course_id: str
) -> None:
    """Pressing the button again, from any device, neither adds a request nor loses one's place."""
    with stack.held(course_id):
        first, again = student.register(course_id), student.register(course_id)
        assert first.json() == again.json()
        drop = student.drop(course_id)
        assert drop.json()["request_id"] != first.json()["request_id"]
        after_drop = student.register(course_id)
        assert after_drop.json()["sequence"] == 3
    assert [student.outcome(answer)["result"] for answer in (first, drop, after_drop)] == [
        "ENROLLED",
        "DROPPED",
        "ENROLLED",
    ]


@pytest.mark.parametrize(
    ("opens_in", "closes_in", "code"),
    [(DAY, 2 * DAY, "registration_not_open"), (-2 * DAY, -DAY, "registration_closed")],
)
@pytest.mark.parametrize("operation", ["register", "drop"])
def test_plainly_outside_the_window_is_refused_at_once(
    opens_in: timedelta, closes_in: timedelta, code: str, *, operation: str, campus: Campus, student: Student
) -> None:
    """409 with the reason as its code, and nothing is queued."""
    course_id = campus.course(semester_id=campus.semester(opens_in, closes_in))
    answer = student.submit(course_id, operation)
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert student.get("/requests").json()["requests"] == []


@pytest.mark.parametrize(
    ("opens_in", "closes_in", "reason"),
    [
        (timedelta(seconds=4), DAY, "registration_not_open"),
        (-DAY, timedelta(seconds=-1), "registration_closed"),
    ],
)
def test_seconds_outside_the_window_the_order_decides(
    opens_in: timedelta, closes_in: timedelta, reason: str, campus: Campus, student: Student
) -> None:
    """A close call is accepted and judged by the time at which it was, as an outcome."""
    course_id = campus.course(semester_id=campus.semester(opens_in, closes_in))
    outcome = student.registered(course_id)
    assert (outcome["status"], outcome["reason"]) == ("REJECTED", reason)


@pytest.mark.parametrize("operation", ["register", "drop"])
def test_an_unknown_course_is_not_found_and_a_malformed_id_invalid(operation: str, student: Student) -> None:
    """404 for a course that is not there, 422 for what is no UUID."""
    unknown = student.submit(str(uuid4()), operation)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert student.submit("nonsense", operation).status_code == 422


def test_a_course_added_a_moment_ago_can_be_registered_for(campus: Campus, student: Student) -> None:
    """No waiting for a cache: a new course is open at once, also after it was asked for in vain."""
    assert student.registered(campus.course())["result"] == "ENROLLED"


def test_a_student_who_is_gone_ends_as_failed_and_can_still_see_it(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """Accepting never asks PostgreSQL; what only it can know, the worker finds, and blocks nobody."""
    ghost, student = campus.students(2)
    stack.sql("DELETE FROM students WHERE id = %s", ghost.student_id)
    failed = ghost.registered(course_id)
    assert (failed["status"], failed["reason"]) == ("FAILED", "internal_error")
    assert student.registered(course_id)["result"] == "ENROLLED"


def test_a_registration_works_with_nothing_but_what_the_documentation_says(
    http: httpx.Client, student: Student, course_id: str
) -> None:
    """Log in, register, follow the Location until it is final: the whole way with plain HTTP."""
    credentials = {"student_number": student.number, "password": PASSWORD}
    token = http.post("/auth/login", json=credentials).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    location = http.post(f"/courses/{course_id}/register", headers=headers).headers["Location"]

    def final() -> Document | None:
        document = http.get(location, headers=headers).json()
        return document if document["status"] != "QUEUED" else None

    assert wait_until(final, "a final status")["result"] == "ENROLLED"
