"""The ledger replays to the very rosters in the database, and whatever was tampered with is found."""

import random
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from shared.audit import AuditReport, UnknownCourseError, audit, describe
from shared.database import writing
from shared.requests import QueueEntry
from shared.store import catalogue, imports
from tests.conftest import (
    OPEN_WINDOW,
    StudentFactory,
    account_factory,
    course_factory,
    migrate,
)
from tests.integration.conftest import Apply, QueueFactory
from tests.integration.submissions import DROP, FIRST_ACCEPTED_AT, REGISTER, QueueOf, roster_of
from worker.applying import apply_round

CAPACITY, RESERVE_LIMIT = 3, 3
REQUESTS = 66


@dataclass
class Campus:
    """A database of its own, to tamper with, with one course in which everything has happened."""

    engine: Engine
    queue: QueueOf
    students: list[str]

    def tamper(self, *statements: str, **values: object) -> None:
        """Change the tables beside every queue; `:course` is the course."""
        with self.engine.begin() as connection:
            for statement in statements:
                values_named = {"course": self.queue.course_id, **values}
                used = {name: value for name, value in values_named.items() if f":{name}" in statement}
                connection.execute(text(statement), used)

    def tamper_with_ledger(self, *statements: str, **values: object) -> None:
        """The same, with the ledger's own protection switched off meanwhile."""
        table = "ALTER TABLE registration_requests"
        self.tamper(f"{table} DISABLE TRIGGER append_only", *statements, **values)
        self.tamper(f"{table} ENABLE TRIGGER append_only")

    def findings(self) -> list[str]:
        """What the audit of everything says, a line each."""
        return [describe(difference) for difference in audit(self.engine).differences]


def mixed_requests(queue: QueueOf, students: list[str]) -> list[QueueEntry]:
    """Registers and drops in any order, and in the end everybody asks for a place: nothing stays free."""
    draw = random.Random(7)
    first = [
        queue.entry(draw.choice([REGISTER, DROP]), draw.choice(students))
        for _ in range(REQUESTS - len(students))
    ]
    return [*first, *[queue.register(student) for student in students]]


@pytest.fixture
def campus(scratch_engine: Engine) -> Campus:
    """The database after those requests, audited clean."""
    migrate(scratch_engine)
    queue = QueueOf(course_factory(scratch_engine)(CAPACITY, RESERVE_LIMIT))
    students = [account.student_id for account in account_factory(scratch_engine)(12)]
    with scratch_engine.connect() as connection:
        apply_round(connection, mixed_requests(queue, students), "test-worker")
    campus = Campus(scratch_engine, queue, students)
    assert audit(scratch_engine) == AuditReport(courses=1, requests=REQUESTS)
    assert len(roster_of(scratch_engine, queue.course_id)) == CAPACITY + RESERVE_LIMIT
    return campus


def findings(engine: Engine, course_id: str) -> list[str]:
    """What the audit says of one course, a line each."""
    return [describe(difference) for difference in audit(engine, course_id).differences]


def test_failed_requests_are_no_difference(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P9 and P11: what nobody could read, and what broke a constraint, changed nothing and says so."""
    queue, (ann, ben) = queue_of(1, 1), make_students(2)
    apply([queue.register(ann), queue.poisoned(), queue.register(str(uuid4()))])
    apply([queue.register(ben, sequence=1), queue.drop(ann)])
    assert findings(engine, queue.course_id) == []


def test_a_second_life_of_the_queue_counts_from_one_again(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """A wiped Redis starts a new generation; the ledger goes on."""
    first, (ann, ben) = queue_of(1, 1), make_students(2)
    second = QueueOf(first.course_id)
    apply([first.register(ann), first.drop(ann), second.register(ann), second.register(ben)])
    assert findings(engine, first.course_id) == []


def test_a_restored_redis_goes_on_counting_where_its_copy_stood(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """A later life may begin at any sequence, but leaves none out from there on."""
    first, (ann, ben) = queue_of(1, 1), make_students(2)
    second = QueueOf(first.course_id)
    apply([first.register(ann), second.register(ben, sequence=8), second.drop(ann, sequence=9)])
    assert findings(engine, first.course_id) == []
    apply([second.drop(ben, sequence=11)])
    assert "expected 0, found 1" in findings(engine, first.course_id)[0]


def test_a_window_changed_afterwards_does_not_condemn_what_was_right(
    apply: Apply, engine: Engine, make_students: StudentFactory
) -> None:
    """Requests are held against the window they were judged by."""
    name, (ann, ben) = f"Term {uuid4().hex[:8]}", make_students(2)
    row = {"external_id": "1", "code": "T", "section": "1", "course_name": "T", "max_capacity": 1}
    with writing(engine) as connection:
        semester_id = imports.upsert_semester(connection, name, OPEN_WINDOW.opens_at, OPEN_WINDOW.closes_at)
        imports.upsert_courses(connection, semester_id, [row | {"reserve_limit": 1}])
        queue = QueueOf(str(catalogue.courses_page(connection, semester_id, None, 1, None)[0]["id"]))
    apply([queue.register(ann)])
    with writing(engine) as connection:
        imports.upsert_semester(connection, name, OPEN_WINDOW.opens_at, FIRST_ACCEPTED_AT)
    apply([queue.register(ben)])
    assert findings(engine, queue.course_id) == []


def test_an_unknown_course_cannot_be_audited(engine: Engine) -> None:
    """Rather than reported as clean."""
    with pytest.raises(UnknownCourseError):
        audit(engine, str(uuid4()))
    with pytest.raises(UnknownCourseError):
        audit(engine, "not an id")


def test_a_registration_nobody_asked_for_is_found(campus: Campus) -> None:
    """A seat given beside the queue."""
    (student,) = account_factory(campus.engine)(1)
    campus.tamper(
        "INSERT INTO course_registrations (course_id, student_id, status) VALUES (:course, :student, 'ENROLLED')",
        student=student.student_id,
    )
    (found,) = campus.findings()
    assert f"registration of student {student.student_id}: expected none, found ENROLLED" in found


def test_a_registration_that_was_taken_away_is_found(campus: Campus) -> None:
    """A lost place."""
    campus.tamper("DELETE FROM course_registrations WHERE course_id = :course AND reserve_position = 2")
    (found,) = campus.findings()
    assert "expected RESERVED 2, found none" in found


def test_swapped_reserve_positions_are_found(campus: Campus) -> None:
    """Somebody passed over."""
    campus.tamper(
        "UPDATE course_registrations SET reserve_position = 3 - reserve_position"
        " WHERE course_id = :course AND reserve_position IN (1, 2)"
    )
    assert len(campus.findings()) == 2


@pytest.mark.parametrize(
    ("change", "constraint", "counted"),
    [
        ("enrolled_count = enrolled_count + 1", "never_oversold", "enrolled_count"),
        ("enrolled_count = enrolled_count - 1", "no_seat_free_while_waiting", "enrolled_count"),
        ("reserved_count = reserved_count + 1", "reserve_never_overfilled", "reserved_count"),
        ("applied_count = applied_count + 1", None, "applied_count"),
    ],
)
def test_a_changed_count_is_found(campus: Campus, change: str, constraint: str | None, counted: str) -> None:
    """Even one that a CHECK, had it not been dropped, would have refused."""
    if constraint is not None:
        for each in (constraint, "no_seat_free_while_waiting"):
            campus.tamper(f"ALTER TABLE courses DROP CONSTRAINT IF EXISTS ck_courses_{each}")
    campus.tamper(f"UPDATE courses SET {change} WHERE id = :course")
    (found,) = campus.findings()
    assert f": {counted}: expected " in found


def test_a_lowered_capacity_is_found_as_seats_oversold(campus: Campus) -> None:
    """P1 is counted by what the ledger recorded, whatever the rules would say."""
    campus.tamper(
        "ALTER TABLE courses DROP CONSTRAINT ck_courses_never_oversold",
        "ALTER TABLE courses DROP CONSTRAINT ck_courses_no_seat_free_while_waiting",
        "UPDATE courses SET max_capacity = 2 WHERE id = :course",
    )
    assert any("seats taken: expected at most 2, found 3" in found for found in campus.findings())


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE registration_requests SET reason = 'not_registered' WHERE course_id = :course AND reason = 'course_full'",
            "outcome: expected REJECTED course_full, found REJECTED not_registered",
        ),
        (
            "UPDATE registration_requests SET status = 'REJECTED', result = NULL, reason = 'course_full', reserve_position = NULL WHERE course_id = :course AND applied_index = (SELECT min(applied_index) FROM registration_requests WHERE result = 'ENROLLED')",
            "outcome: expected APPLIED ENROLLED, found REJECTED course_full",
        ),
        (
            "UPDATE registration_requests SET reserve_position = reserve_position + 1 WHERE course_id = :course AND result = 'RESERVED'",
            "outcome: expected APPLIED RESERVED at 1, found APPLIED RESERVED at 2",
        ),
        (
            "UPDATE registration_requests SET promoted_student_id = NULL WHERE course_id = :course AND promoted_student_id IS NOT NULL",
            "promoting",
        ),
        (
            "UPDATE registration_requests SET student_id = gen_random_uuid() WHERE course_id = :course AND applied_index = (SELECT min(applied_index) FROM registration_requests WHERE result = 'ENROLLED')",
            "expected",
        ),
        (
            "DELETE FROM registration_requests WHERE course_id = :course AND applied_index = 66",
            "applied_count: expected 65, found 66",
        ),
        (
            "DELETE FROM registration_requests WHERE course_id = :course AND applied_index = 30",
            "applied_index: expected 30, found 31",
        ),
        (
            "UPDATE registration_requests SET sequence = 1000 - sequence WHERE course_id = :course",
            "sequence: expected more than",
        ),
        (
            "UPDATE registration_requests SET accepted_at = now() - sequence * interval '1 second' WHERE course_id = :course",
            "accepted_at: expected not before",
        ),
        (
            "UPDATE registration_requests SET sequence = sequence + 1000 WHERE course_id = :course",
            "sequences skipped without a FAILED request: expected 0, found 1000",
        ),
    ],
    ids=["reason", "result", "position", "promotion", "student", "last row", "row", "order", "time", "gap"],
)
def test_a_changed_ledger_is_found(campus: Campus, statement: str, told: str) -> None:
    """P3, P4, P10, P11: a verdict, a position, a promotion, a student, a row, the order."""
    campus.tamper_with_ledger(statement)
    found = campus.findings()
    assert any(told in line for line in found), found


def test_a_verdict_of_ones_own_in_the_ledger_is_found(campus: Campus) -> None:
    """A seat in a full course, complete with registration and counts as far as the CHECKs allow."""
    (student,) = account_factory(campus.engine)(1)
    campus.tamper(
        """INSERT INTO registration_requests (request_id, course_id, student_id, operation, generation, sequence,
                                              accepted_at, applied_at, applied_index, status, result, worker)
           VALUES (gen_random_uuid(), :course, :student, 'REGISTER', :generation, 67, now(), now(), 67, 'APPLIED',
                   'ENROLLED', 'nobody')""",
        "UPDATE courses SET applied_count = 67 WHERE id = :course",
        student=student.student_id,
        generation=campus.queue.generation,
    )
    found = campus.findings()
    assert any(
        "#67: outcome: expected REJECTED course_full, found APPLIED ENROLLED" in line for line in found
    )
    assert any("seats taken: expected at most 3, found 4" in line for line in found)


def test_outcomes_of_a_course_that_does_not_exist_are_found(campus: Campus) -> None:
    """A request for a course that never was can only have failed."""
    with campus.engine.connect() as connection:
        apply_round(connection, [QueueOf(str(uuid4())).poisoned()], "test-worker")
    assert campus.findings() == []
    campus.tamper_with_ledger(
        "UPDATE registration_requests SET course_id = gen_random_uuid() WHERE applied_index = 66"
    )
    assert any("no such course" in line for line in campus.findings())
