"""What must be true once the dust has settled, from what the clients saw, the ledger, the rosters and Redis."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.e2e.campus import Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.load import Document, Load


def check_everything(stack: Stack, load: Load, course_ids: Sequence[str]) -> None:
    """Every promise about requests that can be checked afterwards."""
    wait_until(lambda: not any(map(stack.waiting_in, course_ids)), "the queues drain")
    check_what_clients_saw(load)
    ledger = ledger_of(stack, course_ids)
    check_the_ledger_is_what_was_accepted(load, ledger)
    for course_id in course_ids:
        rows = [row for row in ledger if row["course_id"] == course_id]
        check_order(stack, course_id, rows)
        check_roster(stack, course_id)
    check_nothing_is_left_waiting(stack, load)
    assert "0 differences" in stack.audit()


def check_what_clients_saw(load: Load) -> None:
    """One request for every call, whatever was repeated; one outcome, which never changed; and it can still be read.

    Read in their students' own lists: one by one, as most were while the load ran, these would be hundreds of calls more.
    """
    students = {one.student.student_id: one.student for one in load.sent}
    listed = {student_id: own_requests(student) for student_id, student in students.items()}
    for one in load.sent:
        assert not one.unexpected, (one.operation, one.unexpected)
        assert len(one.request_ids) == 1, one
        [request_id] = one.request_ids
        now = listed[one.student.student_id][request_id]
        assert now["status"] in ("APPLIED", "REJECTED"), now
        assert one.finals or one.aside, one
        assert all(final == now for final in one.finals), (now, one.finals)


def own_requests(student: Student) -> dict[str, Document]:
    """Everything that a student has ever asked for, by its id."""
    found: dict[str, Document] = {}
    after: dict[str, str] = {}
    while True:
        page = student.get("/requests", limit="200", **after).json()
        found |= {request["request_id"]: request for request in page["requests"]}
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def ledger_of(stack: Stack, course_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The ledger of these courses, in the order in which it was written."""
    return stack.sql(
        "SELECT request_id::text, course_id::text, student_id::text, operation, sequence, accepted_at, applied_at,"
        " applied_index, status, result, reason, reserve_position"
        " FROM registration_requests WHERE course_id = ANY(%s::uuid[]) ORDER BY course_id, applied_index",
        list(course_ids),
    )


def check_the_ledger_is_what_was_accepted(load: Load, ledger: Sequence[dict[str, Any]]) -> None:
    """No accepted request is missing, and no retry made a second one."""
    accepted = {request_id for one in load.sent for request_id in one.request_ids}
    recorded = Counter(row["request_id"] for row in ledger if row["sequence"] is not None)
    assert set(recorded) == accepted
    assert set(recorded.values()) == {1}


def check_order(stack: Stack, course_id: str, rows: Sequence[dict[str, Any]]) -> None:
    """Applied in the order of acceptance, every sequence once, without a gap, up to the last one given."""
    assert [row["applied_index"] for row in rows] == list(range(1, len(rows) + 1))
    sequences = [row["sequence"] for row in rows if row["sequence"] is not None]
    assert sequences == list(range(1, len(sequences) + 1))
    with stack.redis() as client:
        given = int(client.hget(f"cr:course:{course_id}", "sequence") or 0)
    assert len(sequences) == given
    accepted = [row["accepted_at"] for row in rows if row["accepted_at"] is not None]
    assert accepted == sorted(accepted)


def check_roster(stack: Stack, course_id: str) -> None:
    """Not oversold, no seat free while somebody waits, reserve positions from 1 without a gap, counts as counted."""
    [course] = stack.sql("SELECT * FROM courses WHERE id = %s", course_id)
    roster = stack.sql("SELECT * FROM course_registrations WHERE course_id = %s", course_id)
    enrolled = [row for row in roster if row["status"] == "ENROLLED"]
    positions = sorted(row["reserve_position"] for row in roster if row["status"] == "RESERVED")
    assert len(enrolled) == course["enrolled_count"] <= course["max_capacity"]
    assert len(positions) == course["reserved_count"] <= course["reserve_limit"]
    assert positions == list(range(1, len(positions) + 1))
    assert not positions or len(enrolled) == course["max_capacity"]


def check_nothing_is_left_waiting(stack: Stack, load: Load) -> None:
    """Redis holds no trace of a finished request among what waits."""
    with stack.redis() as client:
        for student in {one.student.student_id for one in load.sent}:
            assert client.hgetall(f"cr:student:{student}") == {}
        assert list(client.scan_iter("cr:ready:*")) == []
