"""What operators and registrars ask: which course is meant, who is in it, and what became of one request."""

from typing import Any

from sqlalchemy import Connection, Row, text

COURSE_COLUMNS = """
    c.id::text, c.external_id, c.code, c.section, c.course_name, s.name AS semester, s.registration_start,
    s.registration_end, c.max_capacity, c.reserve_limit, c.enrolled_count, c.reserved_count, c.applied_count
"""

COURSES_NAMED = text(f"""
    SELECT {COURSE_COLUMNS}
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE (c.id::text = lower(:name) OR c.external_id = :name
            OR lower(:name) IN (lower(c.code || ' ' || c.section), lower(c.code || c.section), lower(c.code)))
       AND (CAST(:semester AS text) IS NULL OR s.name = :semester)
     ORDER BY s.registration_start DESC, c.code, c.section, c.id
""")  # noqa: S608 - constants only

ROSTER = text("""
    SELECT s.student_number, r.status, r.reserve_position, r.created_at
      FROM course_registrations r JOIN students s ON s.id = r.student_id
     WHERE r.course_id = :course_id
     ORDER BY r.reserve_position NULLS FIRST, s.student_number
""")

DECIDED = text("""
    SELECT r.request_id::text, r.course_id::text, r.student_id::text, r.operation, r.generation::text, r.sequence,
           r.accepted_at, r.applied_at, r.applied_index, r.status, r.result, r.reason, r.reserve_position, r.worker,
           asking.student_number, promoted.student_number AS promoted_number
      FROM registration_requests r
      LEFT JOIN students asking ON asking.id = r.student_id
      LEFT JOIN students promoted ON promoted.id = r.promoted_student_id
     WHERE r.request_id = :request_id
""")

LATER_OF_STUDENT = text("""
    SELECT r.request_id::text, r.operation, r.result, r.reason, r.reserve_position, r.applied_at, r.applied_index,
           r.promoted_student_id IS NOT DISTINCT FROM :student_id AS promotes
      FROM registration_requests r
     WHERE r.course_id = :course_id AND r.applied_index > :index
       AND (r.student_id = :student_id OR r.promoted_student_id = :student_id)
     ORDER BY r.applied_index
     LIMIT :limit
""")

PLACE = text("""
    SELECT status, reserve_position FROM course_registrations
     WHERE course_id = :course_id AND student_id = :student_id
""")

STUDENT_NUMBER = text("SELECT student_number FROM students WHERE id = :student_id")


HIGHEST_SEQUENCE = text(
    "SELECT coalesce(max(sequence), 0) FROM registration_requests WHERE course_id = :course_id"
)


def courses_named(connection: Connection, name: str, semester: str | None) -> list[Row[Any]]:
    """The courses of that id, external id, code and section, or code alone; newest semester first."""
    return list(connection.execute(COURSES_NAMED, {"name": name, "semester": semester}))


def roster(connection: Connection, course_id: str) -> list[Row[Any]]:
    """The enrolled by student number, then the reserve list in order."""
    return list(connection.execute(ROSTER, {"course_id": course_id}))


def decided_request(connection: Connection, request_id: str) -> Row[Any] | None:
    """A request's ledger row with student numbers, or None while it has none."""
    return connection.execute(DECIDED, {"request_id": request_id}).one_or_none()


def later_of_student(
    connection: Connection, course_id: str, student_id: str, index: int, limit: int
) -> list[Row[Any]]:
    """What else concerned the student's place in the course after that index of its ledger, in order."""
    return list(
        connection.execute(
            LATER_OF_STUDENT,
            {"course_id": course_id, "student_id": student_id, "index": index, "limit": limit},
        )
    )


def place(connection: Connection, course_id: str, student_id: str) -> Row[Any] | None:
    """The student's registration in the course as it is now, or None."""
    return connection.execute(PLACE, {"course_id": course_id, "student_id": student_id}).one_or_none()


def student_number(connection: Connection, student_id: str) -> str | None:
    """The number of a student, or None when there is none."""
    return connection.execute(STUDENT_NUMBER, {"student_id": student_id}).scalar_one_or_none()


def highest_sequence(connection: Connection, course_id: str) -> int:
    """The highest sequence of the course that the ledger has, of whatever generation; 0 without any."""
    return int(connection.execute(HIGHEST_SEQUENCE, {"course_id": course_id}).scalar_one())
