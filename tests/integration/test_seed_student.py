"""The demo data: safe to repeat, and open whenever somebody tries it."""

import subprocess
from typing import Any

from sqlalchemy import Engine, text

from shared.database import reading, writing
from shared.security import verify_password
from shared.settings import Settings
from shared.store import catalogue, students
from tests.integration.test_imports import run


def seeded(settings: Settings) -> subprocess.CompletedProcess[str]:
    """Run the script; it must succeed."""
    finished = run(settings, "scripts.seed_student")
    assert finished.returncode == 0, finished.stderr
    return finished


def demo(engine: Engine) -> tuple[str, dict[str, Any]]:
    """The demo student's password hash, and the demo courses by external id."""
    with reading(engine) as connection:
        known = students.credentials(connection, "STU001")
        [semester] = [row for row in catalogue.semesters(connection) if row["name"] == "Demo semester"]
        page = catalogue.courses_page(connection, str(semester["id"]), None, 200, None)
        assert known is not None
        return known.password_hash, {row["external_id"]: dict(row) for row in page}


def test_seeding_gives_a_student_and_open_courses_and_may_be_repeated(
    settings: Settings, engine: Engine
) -> None:
    """STU001 / test123 and five courses; a second time changes nothing."""
    seeded(settings)
    before = demo(engine)
    assert verify_password("test123", before[0], cost=4)
    assert len(before[1]) == 5
    seeded(settings)
    assert demo(engine) == before


def test_seeding_opens_a_demo_semester_that_has_closed(settings: Settings, engine: Engine) -> None:
    """An old installation can be tried like a new one."""
    seeded(settings)
    with writing(engine) as connection:
        connection.execute(
            text(
                "UPDATE semesters SET registration_start = now() - interval '9 days',"
                " registration_end = now() - interval '2 days' WHERE name = 'Demo semester'"
            )
        )
    assert "opened until" in seeded(settings).stdout
    assert "window as it was" in seeded(settings).stdout
