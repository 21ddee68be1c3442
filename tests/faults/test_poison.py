"""Entries that are no requests of ours, pushed straight into a queue: FAILED at their own place, blocking nobody."""

import json
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import DefaultSerializer, JSONSerializer

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.evidence import check_everything, ledger_of
from tests.faults.load import Load
from tests.faults.poison import HOSTILE, POISONS, Poison, push, push_hostile_function


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a hostile entry would leave behind."""
    return tmp_path / "a-hostile-job-was-run"


def check_not_run(marker: Path) -> None:
    """No test of ours may find the marker at its end."""
    assert not marker.exists(), "a hostile job was run"


@pytest.mark.parametrize("poison", HOSTILE)
def test_the_control_an_ordinary_rq_worker_would_run_a_hostile_job(
    poison: Poison, stack: Stack, campus: Campus, tmp_path: Path
) -> None:
    """The poison is real: performed in RQ's own way, such a job leaves the marker."""
    course_id, path = campus.course(), tmp_path / "run"
    serializer = JSONSerializer if poison is push_hostile_function else DefaultSerializer
    with stack.held(course_id), stack.redis() as client:
        poison(client, course_id, path)
        [request_id] = stack.waiting_in(course_id)
        # A pickle has run its command before its function turns out not to exist.
        with suppress(ValueError, ImportError):
            Job.fetch(request_id, connection=client, serializer=serializer).perform()
        assert path.exists()
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")


def failed_jobs(stack: Stack, course_id: str) -> list[str]:
    """What RQ shows as failed for a course."""
    with stack.redis() as client:
        queue = Queue(f"course-{course_id}", connection=client, serializer=JSONSerializer)
        return FailedJobRegistry(queue=queue).get_job_ids()


def test_poison_under_load_fails_at_its_own_place(
    stack: Stack, campus: Campus, seed: int, marker: Path
) -> None:
    """Every kind of poison between real requests: one FAILED row each, in the order of the queue, and all else holds."""
    course_ids = [campus.course(seats=seats, reserve=3) for seats in (2, 6, 10)]
    poisoned = course_ids[0]
    load = Load(stack.api_url, campus.students(24), course_ids, seed)
    with load:
        load.wait_for_finals(40)
        with stack.held(poisoned), stack.redis() as client:
            for poison in POISONS:
                length = client.llen(f"rq:queue:course-{poisoned}")
                poison(client, poisoned, marker)
                bystander = campus.student()
                load.accepted_aside(bystander, poisoned, bystander.register(poisoned).json()["request_id"])
                assert client.llen(f"rq:queue:course-{poisoned}") >= length + 2
            queue = [
                raw.decode(errors="replace") for raw in client.lrange(f"rq:queue:course-{poisoned}", 0, -1)
            ]
        load.wait_for_finals(40, "outcomes after the poison")
    check_everything(stack, load, course_ids)
    accepted = {request_id for one in load.sent for request_id in one.request_ids}
    expected = [request_id if request_id in accepted else "FAILED" for request_id in queue]
    rows = ledger_of(stack, [poisoned])
    start = next(number for number, row in enumerate(rows) if row["request_id"] == queue[0])
    found = [row["request_id"] if row["status"] != "FAILED" else "FAILED" for row in rows[start:]]
    assert found[: len(expected)] == expected
    assert expected.count("FAILED") == found.count("FAILED") == len(POISONS)
    assert len(failed_jobs(stack, poisoned)) == len(POISONS)
    check_not_run(marker)


@pytest.mark.parametrize("poison", POISONS)
def test_poison_alone_at_the_head_blocks_nobody(
    poison: Poison, stack: Stack, campus: Campus, marker: Path
) -> None:
    """A poisoned first entry of a course fails and is never run, and the student behind it is enrolled."""
    course_id, student = campus.course(), campus.student()
    with stack.held(course_id), stack.redis() as client:
        poison(client, course_id, marker)
        answer = student.register(course_id)
    assert student.outcome(answer)["result"] == "ENROLLED"
    check_not_run(marker)
    first, second = ledger_of(stack, [course_id])
    assert (first["status"], first["reason"], first["student_id"]) == ("FAILED", "internal_error", None)
    assert second["request_id"] == answer.json()["request_id"]
    assert len(failed_jobs(stack, course_id)) == 1


@pytest.mark.parametrize(
    ("function", "version"),
    [
        ("os.system", 1),
        ("registration.apply", 0),
        ("registration.apply", 999),
        ("worker.applying.apply_round", 1),
    ],
)
def test_a_forged_job_is_taken_for_no_request_even_with_a_perfect_payload(
    function: str, version: int, stack: Stack, campus: Campus
) -> None:
    """Only our one function name in a version of ours is a request; anything else registers nobody."""
    course_id, student = campus.course(), campus.student()
    campus.student().dropped(course_id)
    payload = {
        "version": version,
        "request_id": str(uuid4()),
        "course_id": course_id,
        "student_id": student.student_id,
        "operation": "REGISTER",
        "sequence": 1000,
        "accepted_at_us": time.time_ns() // 1000,
    }
    with stack.redis() as client:
        payload["generation"] = client.get("cr:generation").decode()
        push(client, course_id, payload["request_id"], json.dumps([function, None, [], payload]).encode())
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    assert failed_jobs(stack, course_id) == [payload["request_id"]]
    assert student.my_courses(campus.semester_id) == []


def test_a_finished_request_delivered_again_changes_nothing(stack: Stack, campus: Campus) -> None:
    """The id of a finished request back in its queue, job or no job: no second row, and its outcome stays."""
    course_id = campus.course(seats=1)
    student, other = campus.students(2)
    outcome = student.registered(course_id)
    with stack.redis() as client:
        for forget in (False, True):
            if forget:
                client.delete(f"rq:job:{outcome['request_id']}")
            push(client, course_id, outcome["request_id"])
            wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
            assert student.get(f"/requests/{outcome['request_id']}").json() == outcome
    assert other.registered(course_id)["reason"] == "course_full"
    assert [row["applied_index"] for row in ledger_of(stack, [course_id])] == [1, 2]
    assert failed_jobs(stack, course_id) == []


@pytest.mark.parametrize("state", ["remembered", "forgotten"])
def test_a_finished_request_of_another_course_fails_there_and_stays_what_it_was(
    state: str, stack: Stack, campus: Campus
) -> None:
    """Its id in a foreign queue cannot change its outcome, nor the foreign roster."""
    own, foreign = campus.course(), campus.course()
    student = campus.student()
    outcome = student.registered(own)
    with stack.redis() as client:
        if state == "forgotten":
            client.delete(f"rq:job:{outcome['request_id']}")
        push(client, foreign, outcome["request_id"])
    wait_until(lambda: not stack.waiting_in(foreign), "the queue drains")
    assert student.get(f"/requests/{outcome['request_id']}").json() == outcome
    assert campus.student().registered(foreign)["result"] == "ENROLLED"
    assert len(ledger_of(stack, [own])) == 1
    [failed] = ledger_of(stack, [foreign])[:-1]
    assert failed["status"] == "FAILED"
    assert "0 differences" in stack.audit()


def test_a_waiting_request_of_another_course_fails_there_and_is_applied_at_its_own_place(
    stack: Stack, campus: Campus
) -> None:
    """A foreign id cannot take a request's row away from it, even when the foreign queue is worked on first."""
    own, foreign = campus.course(), campus.course()
    student, stranger = campus.students(2)
    with stack.held(own):
        answer = student.register(own)
        with stack.redis() as client:
            push(client, foreign, answer.json()["request_id"])
        assert stranger.registered(foreign)["result"] == "ENROLLED"
        assert student.get(answer.headers["Location"]).json()["status"] == "QUEUED"
    assert student.outcome(answer)["result"] == "ENROLLED"
    assert [row["status"] for row in ledger_of(stack, [foreign])] == ["FAILED", "APPLIED"]
    assert "0 differences" in stack.audit()


def lose_the_job_of_a_waiting_request(stack: Stack, student: Student, course_id: str) -> str:
    """Have a request accepted, delete its job as somebody might by hand, let the worker come to it; its Location."""
    # A worker that runs might have read the job already.
    stack.stop_workers()
    location = student.register(course_id).headers["Location"]
    with stack.redis() as client:
        client.delete(location.replace("/requests/", "rq:job:"))
    stack.start_workers()
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    assert [row["status"] for row in ledger_of(stack, [course_id])] == ["FAILED"]
    return location


def test_a_request_whose_job_was_deleted_is_shown_to_its_student_as_failed(
    stack: Stack, campus: Campus
) -> None:
    """A 202 is never 404 afterwards, even when somebody deleted the job by hand."""
    course_id, student = campus.course(), campus.student()
    location = lose_the_job_of_a_waiting_request(stack, student, course_id)
    assert student.get(location).json()["status"] == "FAILED"


def test_a_student_whose_job_was_deleted_is_not_locked_out_of_the_course(
    stack: Stack, campus: Campus
) -> None:
    """Asking again is a new request, not a repetition of one that is gone."""
    course_id, student = campus.course(), campus.student()
    lose_the_job_of_a_waiting_request(stack, student, course_id)
    assert student.registered(course_id)["result"] == "ENROLLED"


def test_a_ready_course_that_does_not_exist_ends_as_failed(stack: Stack, campus: Campus) -> None:
    """An entry in the queue of a course without a row is recorded as FAILED and removed."""
    course_id = str(uuid4())
    with stack.redis() as client:
        push(client, course_id, str(uuid4()))
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    assert [row["status"] for row in ledger_of(stack, [course_id])] == ["FAILED"]


def test_an_overwritten_key_is_named_in_the_log_and_stops_nobody(stack: Stack, campus: Campus) -> None:
    """P9: whose own key it is gets the outcome as well, and so does everybody else of the round."""
    course_id = campus.course(seats=5)
    students = campus.students(3)
    key = f"cr:student:{students[0].student_id}"
    with stack.held(course_id), stack.redis() as client:
        answers = [student.register(course_id) for student in students]
        client.delete(key)
        client.set(key, "by hand")
    for student, answer in zip(students, answers, strict=True):
        assert student.outcome(answer)["result"] == "ENROLLED"
    with stack.redis() as client:
        jobs = [f"rq:job:{answer.json()['request_id']}" for answer in answers]
        wait_until(
            lambda: {client.hget(job, "status") for job in jobs} == {b"finished"}, "RQ shows them ended"
        )
        client.delete(key)
    log = stack.workers.log_path.read_text(encoding="utf-8")
    assert log.count(f"{key}: WRONGTYPE") == 1
