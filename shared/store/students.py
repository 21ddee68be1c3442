"""What a student may see of themselves: credentials for the login, registrations, finished requests."""

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, text

CREDENTIALS = text("SELECT id::text, password_hash FROM students WHERE student_number = :student_number")

REPLACE_HASH = text("""
    UPDATE students SET password_hash = :new_hash, updated_at = now()
     WHERE id = :student_id AND password_hash = :old_hash
""")

MY_COURSES = text("""
    SELECT c.id::text AS course_id, c.external_id, c.code, c.section, c.course_name, c.professor, c.schedule, c.credits,
           r.status::text, r.reserve_position, r.created_at AS registered_at
      FROM semesters s
      LEFT JOIN (course_registrations r JOIN courses c ON c.id = r.course_id)
             ON r.student_id = :student_id AND c.semester_id = s.id
     WHERE s.id = :semester_id
     ORDER BY c.code, c.section, c.id
""")

REQUEST_COLUMNS = """
    request_id::text, course_id::text, student_id::text, operation::text, status::text, result::text, reason, reserve_position,
    sequence, accepted_at, applied_at
"""

REQUEST = text(f"SELECT {REQUEST_COLUMNS} FROM registration_requests WHERE request_id = :request_id")  # noqa: S608

REQUESTS_PAGE = text(f"""
    SELECT {REQUEST_COLUMNS}
      FROM registration_requests
     WHERE student_id = :student_id
       AND (CAST(:before AS text) IS NULL
            OR (accepted_at, request_id) < (CAST(CAST(:before AS text) AS timestamptz), CAST(:before_id AS uuid)))
     ORDER BY accepted_at DESC, request_id DESC
     LIMIT :limit
""")  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a student number belongs to, and the bcrypt hash of the password."""

    student_id: str
    password_hash: str


def credentials(connection: Connection, student_number: str) -> Credentials | None:
    """The credentials of a student number, or None."""
    row = connection.execute(CREDENTIALS, {"student_number": student_number}).one_or_none()
    return None if row is None else Credentials(row.id, row.password_hash)


def replace_hash(connection: Connection, student_id: str, old_hash: str, new_hash: str) -> None:
    """Store a password's new hash, unless somebody changed it meanwhile."""
    connection.execute(REPLACE_HASH, {"student_id": student_id, "old_hash": old_hash, "new_hash": new_hash})


def my_courses(connection: Connection, student_id: str, semester_id: str) -> list[RowMapping] | None:
    """A student's registrations of one semester, in catalogue order; None when there is no such semester."""
    parameters = {"student_id": student_id, "semester_id": semester_id}
    rows = connection.execute(MY_COURSES, parameters).mappings().all()
    return [row for row in rows if row["course_id"] is not None] if rows else None


def finished_request(connection: Connection, request_id: str) -> RowMapping | None:
    """A request's ledger row, or None while it has none."""
    return connection.execute(REQUEST, {"request_id": request_id}).mappings().one_or_none()


def finished_requests(
    connection: Connection, student_id: str, limit: int, before: tuple[str, str] | None
) -> list[RowMapping]:
    """A student's ledger rows, newest first, older than `before`, an (RFC 3339 accepted_at, request id)."""
    before_at, before_id = before or (None, None)
    rows = connection.execute(
        REQUESTS_PAGE,
        {"student_id": student_id, "limit": limit, "before": before_at, "before_id": before_id},
    )
    return list(rows.mappings())
