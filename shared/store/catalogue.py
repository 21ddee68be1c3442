"""Reading semesters and courses, with live counts; keyset pages in catalogue order (code, section, id)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from shared.rules import Window

SEMESTERS = text(
    "SELECT id::text, name, registration_start, registration_end FROM semesters ORDER BY registration_start DESC, id"
)

SEMESTER = text(
    "SELECT id::text, name, registration_start, registration_end FROM semesters WHERE id = :semester_id"
)

COURSE_COLUMNS = """
    c.id::text, c.semester_id::text, c.external_id, c.code, c.section, c.course_name, c.professor, c.schedule, c.credits,
    c.max_capacity, c.reserve_limit, c.enrolled_count, c.reserved_count
"""

COURSE = text(f"SELECT {COURSE_COLUMNS} FROM courses c WHERE c.id = :course_id")  # noqa: S608 - constants only

COURSES_PAGE = text(f"""
    SELECT {COURSE_COLUMNS}
      FROM courses c
     WHERE c.semester_id = :semester_id
       AND (CAST(:pattern AS text) IS NULL OR concat_ws(' ', c.code, c.section, c.course_name, c.professor) ILIKE :pattern)
       AND (CAST(:after AS uuid) IS NULL
            OR (c.code, c.section, c.id) > (SELECT a.code, a.section, a.id FROM courses a WHERE a.id = :after))
     ORDER BY c.code, c.section, c.id
     LIMIT :limit
""")  # noqa: S608 - constants only

OPEN_COURSES = text("""
    SELECT c.id::text, c.code, c.section, s.registration_start, s.registration_end
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE s.registration_end > now() - interval '1 day'
""")

ONE_COURSE = text("""
    SELECT c.id::text, c.code, c.section, s.registration_start, s.registration_end
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE c.id = :course_id
""")


@dataclass(frozen=True, slots=True)
class CourseEntry:
    """What accepting a request needs to know of a course."""

    course_id: str
    title: str
    window: Window


def semesters(connection: Connection) -> list[RowMapping]:
    """All semesters, newest first."""
    return list(connection.execute(SEMESTERS).mappings())


def semester(connection: Connection, semester_id: str) -> RowMapping | None:
    """One semester, or None."""
    return connection.execute(SEMESTER, {"semester_id": semester_id}).mappings().one_or_none()


def course(connection: Connection, course_id: str) -> RowMapping | None:
    """One course with its live counts, or None."""
    return connection.execute(COURSE, {"course_id": course_id}).mappings().one_or_none()


def courses_page(
    connection: Connection, semester_id: str, search: str | None, limit: int, after: str | None
) -> list[RowMapping]:
    """Up to `limit` courses after the course `after`, whose code, section, name or professor contain `search`."""
    rows = connection.execute(
        COURSES_PAGE,
        {"semester_id": semester_id, "pattern": _contains(search), "after": after, "limit": limit},
    )
    return list(rows.mappings())


def _contains(search: str | None) -> str | None:
    if search is None:
        return None
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def open_courses(connection: Connection) -> list[CourseEntry]:
    """Every course whose window has not been closed for over a day."""
    return [_entry(row) for row in connection.execute(OPEN_COURSES)]


def course_entry(connection: Connection, course_id: str) -> CourseEntry | None:
    """One course, whatever its window; None when there is none."""
    row = connection.execute(ONE_COURSE, {"course_id": course_id}).one_or_none()
    return None if row is None else _entry(row)


def _entry(row: Any) -> CourseEntry:
    return CourseEntry(
        row.id, f"{row.code} {row.section}", Window(row.registration_start, row.registration_end)
    )
