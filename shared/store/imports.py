"""Bulk writes of the catalogue and of students. They never touch a roster, nor the limits of a course that has a history."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

UPSERT_SEMESTER = text("""
    INSERT INTO semesters (id, name, registration_start, registration_end)
    VALUES (gen_random_uuid(), :name, :opens_at, :closes_at)
    ON CONFLICT (name) DO UPDATE
       SET registration_start = excluded.registration_start, registration_end = excluded.registration_end,
           updated_at = clock_timestamp()
     WHERE (semesters.registration_start, semesters.registration_end)
           IS DISTINCT FROM (excluded.registration_start, excluded.registration_end)
""")

SEMESTER_ID = text("SELECT id::text FROM semesters WHERE name = :name")

LOCK_COURSES_OF = text("""
    SELECT c.id FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE s.name = :name
     ORDER BY c.id
       FOR UPDATE OF c
""")

EXTERNAL_IDS = text("SELECT external_id FROM courses WHERE semester_id = :semester_id")

LOCK_EXISTING = text("""
    SELECT external_id, max_capacity, reserve_limit, applied_count
      FROM courses
     WHERE semester_id = :semester_id AND external_id = ANY(CAST(:external_ids AS text[]))
     ORDER BY id
       FOR UPDATE
""")

UPSERT_COURSES = text("""
    INSERT INTO courses (id, semester_id, external_id, code, section, course_name, professor, schedule, credits,
                         max_capacity, reserve_limit)
    SELECT gen_random_uuid(), CAST(:semester_id AS uuid), external_id, code, section, course_name, professor, schedule,
           credits, max_capacity, coalesce(reserve_limit, 10)
      FROM json_to_recordset(:rows)
           AS given (external_id text, code text, section text, course_name text, professor text, schedule text,
                     credits int, max_capacity int, reserve_limit int)
    ON CONFLICT (semester_id, external_id) DO UPDATE
       SET code = excluded.code, section = excluded.section, course_name = excluded.course_name,
           professor = excluded.professor, schedule = excluded.schedule, credits = excluded.credits,
           max_capacity = CASE WHEN courses.applied_count = 0 THEN excluded.max_capacity ELSE courses.max_capacity END,
           reserve_limit = CASE WHEN courses.applied_count = 0 THEN excluded.reserve_limit ELSE courses.reserve_limit END,
           updated_at = now()
""")

UPSERT_STUDENTS = text("""
    INSERT INTO students (id, student_number, password_hash)
    SELECT gen_random_uuid(), student_number, password_hash
      FROM json_to_recordset(:rows) AS given (student_number text, password_hash text)
    ON CONFLICT (student_number) DO UPDATE
       SET password_hash = excluded.password_hash, updated_at = now()
     WHERE students.password_hash IS DISTINCT FROM excluded.password_hash
""")

STORED_HASHES = text("""
    SELECT student_number, password_hash FROM students
     WHERE student_number = ANY(CAST(:student_numbers AS text[]))
""")

STUDENT_IDS = text("""
    SELECT id::text, student_number FROM students
     WHERE student_number = ANY(CAST(:student_numbers AS text[]))
""")

STUDENTS = text("SELECT id::text, student_number FROM students ORDER BY student_number LIMIT :limit")


def semester_id(connection: Connection, name: str) -> str | None:
    """The id of the semester of that name, or None."""
    return connection.execute(SEMESTER_ID, {"name": name}).scalar_one_or_none()


def external_ids(connection: Connection, semester_id: str) -> set[str]:
    """The external ids of a semester's courses."""
    return set(connection.scalars(EXTERNAL_IDS, {"semester_id": semester_id}))


def upsert_semester(connection: Connection, name: str, opens_at: datetime, closes_at: datetime) -> str:
    """Create the semester of that name or set its window; returns its id.

    Locks the semester's courses first: what is applied by the old window comes before the time at which the new one was
    set, so that the audit can tell which window a request was judged by.
    """
    connection.execute(LOCK_COURSES_OF, {"name": name})
    connection.execute(UPSERT_SEMESTER, {"name": name, "opens_at": opens_at, "closes_at": closes_at})
    return str(connection.execute(SEMESTER_ID, {"name": name}).scalar_one())


def courses_with_history(
    connection: Connection, semester_id: str, external_ids: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Lock the given courses in id order; external id -> (capacity, reserve limit) of those with requests applied."""
    rows = connection.execute(LOCK_EXISTING, {"semester_id": semester_id, "external_ids": list(external_ids)})
    return {row.external_id: (row.max_capacity, row.reserve_limit) for row in rows if row.applied_count}


def upsert_courses(connection: Connection, semester_id: str, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or update courses by external id; the limits of a course with a history stay as they are."""
    connection.execute(UPSERT_COURSES, {"semester_id": semester_id, "rows": json.dumps(rows)})


def upsert_students(connection: Connection, rows: Sequence[dict[str, str]]) -> None:
    """Insert students or replace their password hashes, by student number."""
    connection.execute(UPSERT_STUDENTS, {"rows": json.dumps(rows)})


def stored_hashes(connection: Connection, student_numbers: Sequence[str]) -> dict[str, str]:
    """Student number -> password hash, of those that exist."""
    rows = connection.execute(STORED_HASHES, {"student_numbers": list(student_numbers)})
    return {row.student_number: row.password_hash for row in rows}


def student_ids(connection: Connection, student_numbers: Sequence[str]) -> dict[str, str]:
    """Student number -> id, of those that exist."""
    rows = connection.execute(STUDENT_IDS, {"student_numbers": list(student_numbers)})
    return {row.student_number: row.id for row in rows}


def students(connection: Connection, limit: int) -> list[tuple[str, str]]:
    """(id, student number) of up to `limit` students, for minting tokens in load tests."""
    return [(row.id, row.student_number) for row in connection.execute(STUDENTS, {"limit": limit})]
