"""A course whose own rows were damaged beside the system: it waits, in order and said aloud, and stops no other course."""

from collections.abc import Iterator

import pytest

from scripts.local_servers import free_port
from tests.e2e.campus import Campus
from tests.e2e.scraping import Scrape
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.evidence import ledger_of

METRICS_PORT = free_port()
TOLD = '"a course cannot be applied"'
MEND = """
    UPDATE courses SET applied_count =
           (SELECT coalesce(max(applied_index), 0) FROM registration_requests WHERE course_id = courses.id)
     WHERE id = %s
"""


@pytest.fixture(scope="module")
def lasting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system with one worker, which applies all courses of a test in the same rounds."""
    with Stack(tmp_path_factory.mktemp("damaged"), METRICS_PORT=str(METRICS_PORT)) as stack:
        yield stack


def held_courses() -> float:
    """How many damaged courses the worker says it holds."""
    return Scrape(f"http://127.0.0.1:{METRICS_PORT}").total("registration_held_courses", reason="damaged")


def test_a_damaged_course_stops_no_other_course_of_its_worker(stack: Stack, campus: Campus) -> None:
    """P9: the others of its rounds are finished and published; it is told once, counted, and goes on when mended."""
    damaged, other = campus.course(seats=3, reserve=1), campus.course(seats=9)
    campus.student().registered(damaged)
    stack.sql("UPDATE courses SET applied_count = 0 WHERE id = %s", damaged)
    students = campus.students(3)
    with stack.held(damaged, other):
        waiting = [student.register(damaged) for student in students]
        answer = campus.student().register(other, wait=1)
        assert answer.json()["status"] == "QUEUED"
    bystander = campus.student()
    assert bystander.register(other, wait=10).json()["result"] == "ENROLLED"
    wait_until(lambda: not stack.waiting_in(other), "the other course's queue is empty")
    wait_until(lambda: held_courses() == 1, "the worker counts what it holds")
    for _ in range(3):
        assert campus.student().register(other, wait=10).json()["result"] == "ENROLLED"
    assert stack.workers.log_path.read_text(encoding="utf-8").count(TOLD) == 1
    assert len(stack.waiting_in(damaged)) == len(waiting)
    stack.sql(MEND, damaged)
    outcomes = [student.outcome(one)["result"] for student, one in zip(students, waiting, strict=True)]
    assert outcomes == ["ENROLLED", "ENROLLED", "RESERVED"]
    assert [row["request_id"] for row in ledger_of(stack, [damaged])[1:]] == [
        one.json()["request_id"] for one in waiting
    ]
    wait_until(lambda: held_courses() == 0, "nothing is held any more")
    assert "0 differences" in stack.audit()
