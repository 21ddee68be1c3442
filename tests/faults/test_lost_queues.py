"""Queue data lost by accident or by hand: what was waiting is gone with it, but everything new goes its way.

The order of the tests matters: the audit would rightly report what the last one loses.
"""

import shutil
from functools import partial

import httpx
from rq import Queue
from rq.serializers import JSONSerializer

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.evidence import ledger_of


def wipe(stack: Stack) -> None:
    """Kill Valkey, delete its data, start it again."""
    stack.valkey.kill()
    shutil.rmtree(stack.valkey.data_dir)
    stack.valkey.start()


def accepted(student: Student, course_id: str) -> httpx.Response | None:
    """The answer to a register, once it is accepted."""
    answer = student.register(course_id, key="again")
    return answer if answer.status_code == 202 else None


def test_after_redis_lost_its_data_sequences_begin_anew_without_a_collision(
    stack: Stack, campus: Campus
) -> None:
    """Every life of the data has a generation of its own, also when API and workers have outlived several of them."""
    course_id = campus.course(seats=3)
    outcomes = []
    for student in campus.students(3):
        wipe(stack)
        answer = wait_until(partial(accepted, student, course_id), "accepting works again")
        outcomes.append(student.outcome(answer))
    assert [one["result"] for one in outcomes] == ["ENROLLED"] * 3
    rows = ledger_of(stack, [course_id])
    assert [(row["applied_index"], row["sequence"]) for row in rows] == [(1, 1), (2, 1), (3, 1)]
    assert "0 differences" in stack.audit()


def test_a_student_is_not_locked_out_by_a_queue_that_was_emptied_by_hand(
    stack: Stack, campus: Campus
) -> None:
    """After `rq empty` on a course's queue, a student who had waited there can ask anew."""
    course_id, student = campus.course(), campus.student()
    with stack.held(course_id), stack.redis() as client:
        student.register(course_id)
        Queue(f"course-{course_id}", connection=client, serializer=JSONSerializer).empty()
        assert stack.waiting_in(course_id) == []
    assert student.registered(course_id)["result"] == "ENROLLED"
