"""Reading the ledger and the rosters side by side, for the audit."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, text

from shared.requests import Outcome
from shared.rules import Operation, Reason, Result, Status

COURSES = text("""
    SELECT c.id::text, c.code, c.section, c.max_capacity, c.reserve_limit, c.enrolled_count, c.reserved_count,
           c.applied_count, s.name AS semester, s.registration_start, s.registration_end, s.updated_at AS window_set_at
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE CAST(:course_id AS uuid) IS NULL OR c.id = :course_id
     ORDER BY c.code, c.section, c.id
""")

LEDGER = text("""
    SELECT request_id::text, course_id::text, student_id::text, operation, generation::text, sequence, accepted_at,
           applied_at, applied_index, status, result, reason, reserve_position, promoted_student_id::text, worker
      FROM registration_requests
     WHERE course_id = :course_id
     ORDER BY applied_index
""")

ROSTER = text("""
    SELECT student_id::text, status, reserve_position
      FROM course_registrations
     WHERE course_id = :course_id
     ORDER BY reserve_position
""")

MISSING_COURSES = text("""
    SELECT course_id::text, count(*) AS requests, count(*) FILTER (WHERE status <> 'FAILED') AS not_failed
      FROM registration_requests r
     WHERE NOT EXISTS (SELECT FROM courses c WHERE c.id = r.course_id)
     GROUP BY course_id
     ORDER BY course_id
""")


def courses(connection: Connection, course_id: str | None) -> list[Row[Any]]:
    """All courses with counts and windows, or the one asked for, if there is one."""
    return list(connection.execute(COURSES, {"course_id": course_id}))


def entries(connection: Connection, course_id: str) -> Iterator[Outcome]:
    """A course's ledger in the order in which it was written."""
    return (_outcome(row) for row in connection.execute(LEDGER, {"course_id": course_id}))


def _outcome(row: Row[Any]) -> Outcome:
    return Outcome(
        request_id=row.request_id,
        course_id=row.course_id,
        student_id=row.student_id,
        operation=Operation(row.operation) if row.operation else None,
        generation=row.generation,
        sequence=row.sequence,
        accepted_at=row.accepted_at,
        applied_at=row.applied_at,
        applied_index=row.applied_index,
        status=Status(row.status),
        result=Result(row.result) if row.result else None,
        reason=Reason(row.reason) if row.reason else None,
        reserve_position=row.reserve_position,
        promoted_student_id=row.promoted_student_id,
        worker=row.worker,
    )


def roster(connection: Connection, course_id: str) -> list[Row[Any]]:
    """A course's registrations, reserve list in order."""
    return list(connection.execute(ROSTER, {"course_id": course_id}))


def missing_courses(connection: Connection) -> list[Row[Any]]:
    """Courses that the ledger names but that do not exist, with their requests and how many of those did not fail."""
    return list(connection.execute(MISSING_COURSES))
