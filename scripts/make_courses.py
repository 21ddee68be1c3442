"""A semester of courses for load tests, of sizes like those of a real catalogue. For development only."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from scripts.section_sizes import section_sizes
from scripts.terminal import problems_told, say
from shared.database import command_engine, writing
from shared.errors import RegistrationSystemError
from shared.settings import Environment, load_settings
from shared.store import imports

SEATS_EACH = 70
RESERVE_LIMIT = 10
OPEN_BEFORE = timedelta(hours=1)
OPEN_FOR = timedelta(days=30)


def course_rows(sizes: list[int]) -> list[dict[str, Any]]:
    """Rows for the import, a section each."""
    return [
        {
            "external_id": f"LOAD-{number:05}",
            "code": f"LOAD {100 + number // 10}",
            "section": f"{number % 10}",
            "course_name": f"Introduction to Load {100 + number // 10}",
            "max_capacity": seats,
            "reserve_limit": RESERVE_LIMIT,
        }
        for number, seats in enumerate(sizes)
    ]


def make_courses(
    semester: Annotated[str, typer.Option(help="Name of the semester; a new one starts with empty courses.")],
    count: Annotated[int, typer.Option(min=20, max=10_000, help="How many sections.")] = 200,
    seats: Annotated[
        int | None, typer.Option(min=1, help="Seats of them all together; 70 each by default.")
    ] = None,
) -> None:
    """Create a semester that is open for a month, with many small courses and a few very large ones. Safe to repeat."""
    with problems_told():
        settings = load_settings()
        if settings.environment is Environment.PRODUCTION:
            message = "Courses that do not exist are for development only."
            raise RegistrationSystemError(message)
        try:
            sizes = section_sizes(count, seats or count * SEATS_EACH)
        except ValueError as error:
            raise RegistrationSystemError(str(error)) from error
        now = datetime.now(UTC)
        with writing(command_engine(settings, "make-courses")) as connection:
            semester_id = imports.upsert_semester(connection, semester, now - OPEN_BEFORE, now + OPEN_FOR)
            imports.upsert_courses(connection, semester_id, course_rows(sizes))
        say(f"{semester}: {count} courses with {sizes[0]} to {sizes[-1]} seats, {sum(sizes)} in all")


if __name__ == "__main__":
    typer.run(make_courses)
