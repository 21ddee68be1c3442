"""A first student, an open semester and a few courses, so that a fresh installation can be tried at once."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from scripts.terminal import problems_told, say
from shared.database import command_engine, writing
from shared.errors import RegistrationSystemError
from shared.security import hash_password
from shared.settings import Environment, load_settings
from shared.store import catalogue, imports

DEMO_PASSWORD = "test123"  # noqa: S105 - everybody knows it; refused in production
SEMESTER = "Demo semester"
OPEN_BEFORE = timedelta(days=1)
OPEN_FOR = timedelta(days=60)


def _course(external_id: str, name: str, schedule: str, seats: int, reserve_limit: int) -> dict[str, Any]:
    return {
        "external_id": f"DEMO-{external_id.replace(' ', '-')}",
        "code": external_id,
        "section": "A",
        "course_name": name,
        "professor": "Lovelace, Ada",
        "schedule": schedule,
        "credits": 3,
        "max_capacity": seats,
        "reserve_limit": reserve_limit,
    }


COURSES = [
    _course("CS 101", "Introduction to Computing", "MWF 09:00-09:50", 120, 10),
    _course("CS 225", "Data Structures", "TR 11:00-12:20", 40, 10),
    _course("MATH 241", "Calculus III", "MTWR 10:00-10:50", 25, 5),
    _course("PHYS 211", "Mechanics Laboratory", "F 13:00-15:50", 2, 2),
    _course("ART 310", "Studio for One", "W 16:00-17:50", 1, 3),
]


def seed_student(
    student_number: Annotated[str, typer.Option(help="Number of the student.")] = "STU001",
    password: Annotated[str, typer.Option(help="Password of the student, at most 72 bytes.")] = DEMO_PASSWORD,
) -> None:
    """Create a student, a semester open from yesterday for 60 days, and five courses, one of them with a single seat.

    Safe to repeat: what exists stays exactly as it is, but that a closed window is opened again.
    """
    with problems_told():
        settings = load_settings()
        if settings.environment is Environment.PRODUCTION and password == DEMO_PASSWORD:
            message = "In production the student needs a password of your own: --password"
            raise RegistrationSystemError(message)
        password_hash = hash_password(password, settings.bcrypt_cost)
        engine = command_engine(settings, "seed-student")
        with writing(engine) as connection:
            lines = [
                _seed_student(connection, student_number, password, password_hash),
                *_seed_semester(connection),
            ]
        for line in lines:
            say(line)


def _seed_student(connection: Connection, student_number: str, password: str, password_hash: str) -> str:
    if imports.stored_hashes(connection, [student_number]):
        return f"student {student_number} exists; password as it was"
    imports.upsert_students(connection, [{"student_number": student_number, "password_hash": password_hash}])
    return f"student {student_number} created, password {password}"


def _seed_semester(connection: Connection) -> list[str]:
    now = datetime.now(UTC)
    stored = next((row for row in catalogue.semesters(connection) if row["name"] == SEMESTER), None)
    if stored is not None and stored["registration_end"] > now:
        semester_id, line = str(stored["id"]), f"semester {SEMESTER!r} exists; window as it was"
    else:
        opens_at, closes_at = now - OPEN_BEFORE, now + OPEN_FOR
        semester_id = imports.upsert_semester(connection, SEMESTER, opens_at, closes_at)
        line = f"semester {SEMESTER!r} opened until {closes_at:%Y-%m-%d %H:%M} UTC"
    existing = imports.external_ids(connection, semester_id)
    missing = [course for course in COURSES if course["external_id"] not in existing]
    imports.upsert_courses(connection, semester_id, missing)
    return [line, *(_course_line(course, course in missing) for course in COURSES)]


def _course_line(course: dict[str, Any], created: bool) -> str:  # noqa: FBT001 - one caller, which names it
    title = f"course {course['code']} {course['section']}, {course['course_name']}"
    if not created:
        return f"{title}: exists"
    return f"{title}: created, {course['max_capacity']} seats, {course['reserve_limit']} reserve positions"


if __name__ == "__main__":
    typer.run(seed_student)
