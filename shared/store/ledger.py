"""Reading the ledger and the rosters side by side, for the audit."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, text

COURSES = text("""
    SELECT c.id::text, c.code, c.section, c.max_capacity, c.reserve_limit, c.enrolled_count, c.reserved_count,
           c.applied_count, s.registration_start, s.registration_end, s.updated_at AS window_set_at
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE CAST(:course_id AS uuid) IS NULL OR c.id = :course_id
     ORDER BY c.code, c.section, c.id
""")

LEDGER = text("""
    SELECT request_id::text, student_id::text, operation, generation::text, sequence, accepted_at, applied_at,
           applied_index, status, result, reason, reserve_position, promoted_student_id::text
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


def courses(connection: Connection, course_id: str | None) -> list[Row[Any]]:
    """All courses with counts and windows, or the one asked for."""
    return list(connection.execute(COURSES, {"course_id": course_id}))


def entries(connection: Connection, course_id: str) -> Iterator[Row[Any]]:
    """A course's ledger in the order in which it was written."""
    return iter(connection.execute(LEDGER, {"course_id": course_id}))


def roster(connection: Connection, course_id: str) -> list[Row[Any]]:
    """A course's registrations, reserve list in order."""
    return list(connection.execute(ROSTER, {"course_id": course_id}))
