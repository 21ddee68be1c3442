"""Load a semester's courses from a CSV file: all of it or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from scripts.csv_rows import CsvRow, FirstLines, Problems, RowReader, read_rows
from scripts.terminal import problems_told, progress_bar, say
from shared.database import command_engine, writing
from shared.errors import ImportFileError
from shared.settings import load_settings
from shared.store import imports

REQUIRED_COLUMNS = (
    "external_id",
    "code",
    "section",
    "course_name",
    "professor",
    "schedule",
    "credits",
    "max_capacity",
)
OPTIONAL_COLUMNS = ("reserve_limit",)
# These stand in an index, whose entries PostgreSQL limits.
INDEXED_LENGTH_MAX = 200
CHUNK_SIZE = 500

Course = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeptLimit:
    """A limit that the file would change, of a course whose requests were already judged by the old one."""

    course: str
    column: str
    stored: int
    wanted: int


def import_catalogue(
    file: Annotated[
        Path, typer.Argument(help="CSV file in UTF-8, columns in any order.", exists=True, dir_okay=False)
    ],
    semester: Annotated[str, typer.Option(help="Name of the semester; it is created if there is none.")],
    opens: Annotated[
        str, typer.Option(help="When registration opens: 2025-08-18T08:00:00+02:00 (RFC 3339).")
    ],
    closes: Annotated[str, typer.Option(help="From when on it is closed (RFC 3339).")],
) -> None:
    """Load a semester's courses from a CSV file: all of it or nothing. Safe to repeat and while registration runs.

    Columns: external_id, code, section, course_name, professor, schedule, credits, max_capacity and, if you like,
    reserve_limit (10 when not given). Section, professor, schedule, credits and reserve_limit may be empty. Courses are
    recognised by external_id within the semester: those that exist are updated, none is deleted. Once a course has had
    requests applied, its max_capacity and reserve_limit stay, and are reported where the file differs.
    """
    with problems_told():
        opens_at, closes_at = parse_window(opens, closes)
        name = semester.strip()
        if not name:
            raise ImportFileError(["--semester is empty"])
        courses = read_courses(file)
        engine = command_engine(load_settings(), "import-catalogue")
        with writing(engine) as connection:
            kept = write_courses(connection, name, (opens_at, closes_at), courses)
        _report(courses, name, kept)


def parse_window(opens: str, closes: str) -> tuple[datetime, datetime]:
    """Both times, which must have a zone and stand in order. Raises ImportFileError."""
    opens_at, closes_at = _parse_time("--opens", opens), _parse_time("--closes", closes)
    if opens_at >= closes_at:
        raise ImportFileError([f"--opens must be before --closes: {opens} is not before {closes}"])
    return opens_at, closes_at


def _parse_time(option: str, value: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(value.strip())
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"{option} is not a time like 2025-08-18T08:00:00+02:00: {value}"
        raise ImportFileError([message]) from error
    raise ImportFileError([f"{option} has no time and zone like 2025-08-18T08:00:00+02:00: {value}"])


def read_courses(file: Path) -> list[Course]:
    """The file's courses, ready to write. Raises ImportFileError naming every bad row."""
    problems = Problems()
    seen = FirstLines("external_id")
    rows = read_rows(file, REQUIRED_COLUMNS, OPTIONAL_COLUMNS, problems)
    courses = [_course(row, seen, problems) for row in rows]
    problems.require_none()
    return courses


def _course(row: CsvRow, seen: FirstLines, problems: Problems) -> Course:
    read = RowReader(row, problems)
    external_id = read.required_text("external_id", INDEXED_LENGTH_MAX)
    seen.check(external_id, row.line, problems)
    return {
        "external_id": external_id,
        "code": read.required_text("code", INDEXED_LENGTH_MAX),
        "section": read.text("section", INDEXED_LENGTH_MAX),
        "course_name": read.required_text("course_name"),
        "professor": read.text("professor") or None,
        "schedule": read.text("schedule") or None,
        "credits": read.number("credits"),
        "max_capacity": read.required_number("max_capacity"),
        "reserve_limit": read.number("reserve_limit"),
    }


def write_courses(
    connection: Connection, name: str, window: tuple[datetime, datetime], courses: Sequence[Course]
) -> list[KeptLimit]:
    """Write the semester and its courses; returns the limits that stay as they are. Locks the semester's courses."""
    semester_id = imports.upsert_semester(connection, name, *window)
    given = {course["external_id"]: course for course in courses}
    history = imports.courses_with_history(connection, semester_id, list(given))
    with progress_bar() as progress:
        task = progress.add_task("courses", total=len(courses))
        for start in range(0, len(courses), CHUNK_SIZE):
            chunk = courses[start : start + CHUNK_SIZE]
            imports.upsert_courses(connection, semester_id, chunk)
            progress.advance(task, len(chunk))
    return [
        kept for external_id, stored in history.items() for kept in _kept_limits(given[external_id], stored)
    ]


def _kept_limits(course: Course, stored: tuple[int, int]) -> list[KeptLimit]:
    title = f"{course['code']} {course['section']} ({course['external_id']})"
    return [
        KeptLimit(title, column, value, course[column])
        for column, value in zip(("max_capacity", "reserve_limit"), stored, strict=True)
        if course[column] not in (None, value)
    ]


def _report(courses: Sequence[Course], name: str, kept: Sequence[KeptLimit]) -> None:
    for limit in kept:
        say(
            f"kept: {limit.course} has requests already, so its {limit.column} stays {limit.stored};"
            f" the file says {limit.wanted}",
            style="yellow",
        )
    say(f"{len(courses)} courses with {seats_of(courses, kept)} seats are in {name}")


def seats_of(courses: Sequence[Course], kept: Sequence[KeptLimit]) -> int:
    """How many seats the courses have now, whatever the file says of those that keep their capacity."""
    wanted: int = sum(course["max_capacity"] for course in courses)
    return wanted - sum(limit.wanted - limit.stored for limit in kept if limit.column == "max_capacity")


if __name__ == "__main__":
    typer.run(import_catalogue)
