"""What the database itself refuses, whoever asks: the last guard when all code is wrong."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from tests.conftest import CourseFactory, StudentFactory

LEDGER_ROW = {
    "request_id": "gen_random_uuid()",
    "course_id": ":course",
    "student_id": "gen_random_uuid()",
    "operation": "'REGISTER'",
    "generation": "gen_random_uuid()",
    "sequence": "1",
    "accepted_at": "now()",
    "applied_at": "now()",
    "applied_index": "1",
    "status": "'APPLIED'",
    "result": "'ENROLLED'",
    "worker": "'test'",
}


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction that is taken back after the test."""
    with engine.connect() as connection:
        yield connection


def insert_into_ledger(connection: Connection, course_id: str, **changed: str | None) -> None:
    """Write a ledger row with some of its SQL expressions changed; None leaves one out."""
    row = {name: value for name, value in (LEDGER_ROW | changed).items() if value is not None}
    statement = f"INSERT INTO registration_requests ({', '.join(row)}) VALUES ({', '.join(row.values())})"
    connection.execute(text(statement), {"course": course_id})


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("enrolled_count = max_capacity + 1", "never_oversold"),
        ("enrolled_count = -1", "never_oversold"),
        ("max_capacity = 1, enrolled_count = 2", "never_oversold"),
        ("enrolled_count = max_capacity, reserved_count = reserve_limit + 1", "reserve_never_overfilled"),
        ("enrolled_count = max_capacity, reserved_count = -1", "reserve_never_overfilled"),
        ("enrolled_count = max_capacity - 1, reserved_count = 1", "no_seat_free_while_waiting"),
        ("max_capacity = -1", "capacity_not_negative|never_oversold"),
        ("reserve_limit = -1", "reserve_limit_not_negative|reserve_never_overfilled"),
        ("applied_count = -1", "applied_count_not_negative"),
    ],
)
def test_counts_that_break_a_promise_are_refused(
    connection: Connection, make_course: CourseFactory, change: str, constraint: str
) -> None:
    """P1 and P10, even for a bug: overselling, overfilling, or a free seat while somebody waits."""
    course_id = make_course(3, 2)
    with pytest.raises(IntegrityError, match=constraint):
        connection.execute(text(f"UPDATE courses SET {change} WHERE id = :id"), {"id": course_id})


@pytest.mark.parametrize(
    "change", ["enrolled_count = 3, reserved_count = 2", "enrolled_count = 3", "applied_count = 9"]
)
def test_counts_at_their_limits_are_taken(
    connection: Connection, make_course: CourseFactory, change: str
) -> None:
    """The constraints refuse nothing that may be."""
    connection.execute(text(f"UPDATE courses SET {change} WHERE id = :id"), {"id": make_course(3, 2)})


@pytest.mark.parametrize(
    ("status", "position", "constraint"),
    [
        ("RESERVED", None, "position_only_if_reserved"),
        ("ENROLLED", 1, "position_only_if_reserved"),
        ("RESERVED", 0, "position_from_one"),
    ],
)
def test_a_registration_has_a_position_exactly_if_it_is_reserved(
    connection: Connection,
    make_course: CourseFactory,
    make_students: StudentFactory,
    *,
    status: str,
    position: int | None,
    constraint: str,
) -> None:
    """Positions count from 1."""
    with pytest.raises(IntegrityError, match=constraint):
        add_registration(connection, make_course(), make_students(1)[0], status, position)


def add_registration(
    connection: Connection, course_id: str, student_id: str, status: str, position: int | None
) -> None:
    """Write a registration beside every rule."""
    connection.execute(
        text(
            "INSERT INTO course_registrations (course_id, student_id, status, reserve_position)"
            " VALUES (:course, :student, :status, :position)"
        ),
        {"course": course_id, "student": student_id, "status": status, "position": position},
    )


def test_a_student_has_one_registration_per_course(
    connection: Connection, make_course: CourseFactory, make_students: StudentFactory
) -> None:
    """Not even one seat and one reserve position."""
    course_id, (student,) = make_course(), make_students(1)
    add_registration(connection, course_id, student, "ENROLLED", None)
    with pytest.raises(IntegrityError, match="student_id_course_id"):
        add_registration(connection, course_id, student, "RESERVED", 1)


def test_a_reserve_position_is_taken_once_at_the_end_of_a_transaction(
    connection: Connection, make_course: CourseFactory, make_students: StudentFactory
) -> None:
    """Within one, positions may be swapped; at its end no two students share one."""
    course_id, (ann, ben) = make_course(), make_students(2)
    add_registration(connection, course_id, ann, "RESERVED", 1)
    add_registration(connection, course_id, ben, "RESERVED", 1)
    with pytest.raises(IntegrityError, match="course_id_reserve_position"):
        connection.commit()


@pytest.mark.parametrize(
    ("changed", "constraint"),
    [
        ({"applied_index": "0"}, "index_from_one"),
        ({"result": None}, "result_only_if_applied"),
        ({"status": "'REJECTED'", "reason": "'course_full'"}, "result_only_if_applied"),
        ({"reason": "'course_full'"}, "reason_unless_applied"),
        ({"status": "'REJECTED'", "result": None}, "reason_unless_applied"),
        ({"result": "'RESERVED'"}, "position_only_if_reserved"),
        ({"reserve_position": "1"}, "position_only_if_reserved"),
        ({"promoted_student_id": "gen_random_uuid()"}, "promotion_only_by_drop"),
        ({"student_id": None}, "complete_unless_failed"),
        ({"operation": None}, "complete_unless_failed"),
        ({"generation": None}, "complete_unless_failed"),
        ({"sequence": None}, "complete_unless_failed"),
        ({"accepted_at": None}, "complete_unless_failed"),
    ],
    ids=str,
)
def test_a_ledger_row_that_contradicts_itself_is_refused(
    connection: Connection, changed: dict[str, Any], constraint: str
) -> None:
    """Status, result, reason and position fit together, or the row is not written."""
    with pytest.raises(IntegrityError, match=constraint):
        insert_into_ledger(connection, str(uuid4()), **changed)


def test_a_failed_row_may_know_nothing_but_its_place(connection: Connection) -> None:
    """What a poisoned entry did not tell is null."""
    unknown = dict.fromkeys(("student_id", "operation", "generation", "sequence", "accepted_at", "result"))
    insert_into_ledger(connection, str(uuid4()), **unknown, status="'FAILED'", reason="'internal_error'")


@pytest.mark.parametrize(
    ("changed", "constraint"),
    [
        ({"generation": ":course", "sequence": "2"}, "course_id_applied_index"),
        ({"generation": ":course", "applied_index": "2"}, "course_id_generation_sequence"),
        ({"request_id": ":course", "applied_index": "2"}, "pk_registration_requests"),
    ],
    ids=["index", "sequence", "request"],
)
def test_a_place_in_the_order_is_taken_once(
    connection: Connection, changed: dict[str, Any], constraint: str
) -> None:
    """P3 and P4, even for two workers at a time: index, sequence and request id are unique."""
    course_id = str(uuid4())
    insert_into_ledger(connection, course_id, request_id=":course", generation=":course")
    with pytest.raises(IntegrityError, match=constraint):
        insert_into_ledger(connection, course_id, **changed)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE registration_requests SET status = status WHERE course_id = :id",
        "UPDATE registration_requests SET worker = 'somebody else' WHERE false",
        "DELETE FROM registration_requests WHERE course_id = :id",
        "TRUNCATE registration_requests",
    ],
)
def test_the_ledger_is_never_changed_and_never_shortened(connection: Connection, statement: str) -> None:
    """P7 and P11: not by accident, not by a bug."""
    course_id = str(uuid4())
    insert_into_ledger(connection, course_id)
    with pytest.raises(IntegrityError, match="append-only"):
        connection.execute(text(statement), {"id": course_id} if ":id" in statement else {})


def test_a_window_that_never_opens_is_refused(connection: Connection) -> None:
    """The end comes after the start."""
    statement = "INSERT INTO semesters (id, name, registration_start, registration_end)"
    with pytest.raises(IntegrityError, match="window_not_empty"):
        connection.execute(text(f"{statement} VALUES (gen_random_uuid(), 'never', now(), now())"))
