"""The walls of the architecture stand, and each check that watches one does bite."""

from pathlib import Path, PurePosixPath

import pytest

from tests.unit import import_walls
from tests.unit.import_walls import CHECKS, Check

REPOSITORY = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(REPOSITORY)
    for folder in ("api", "worker", "shared")
    for path in (REPOSITORY / folder).rglob("*.py")
)

BREACHES: list[tuple[Check, str, str]] = [
    (import_walls.parts_stay_apart, "api/courses.py", "from worker.turns import Turns"),
    (import_walls.parts_stay_apart, "api/courses.py", "def late():\n    import worker"),
    (import_walls.parts_stay_apart, "worker/turns.py", "import api.main"),
    (import_walls.parts_stay_apart, "shared/rules.py", "from api import schemas"),
    (import_walls.parts_stay_apart, "shared/rules.py", "import worker.deciding as deciding"),
    (import_walls.parts_stay_apart, "shared/store/rounds.py", "from scripts import stack"),
    (import_walls.imports_are_absolute, "shared/store/rounds.py", "from ..models import Course"),
    (import_walls.sql_stays_in_the_store, "api/courses.py", "from sqlalchemy import text"),
    (import_walls.sql_stays_in_the_store, "api/courses.py", "import sqlalchemy"),
    (import_walls.sql_stays_in_the_store, "api/courses.py", "from sqlalchemy.orm import Session"),
    (import_walls.sql_stays_in_the_store, "worker/applying.py", "import psycopg2"),
    (import_walls.sql_stays_in_the_store, "shared/replay.py", "from sqlalchemy import Connection"),
    (import_walls.sql_stays_in_the_store, "worker/applying.py", "connection.execute(text('SELECT 1'))"),
    (import_walls.redis_stays_in_the_course_queue, "api/courses.py", "import rq"),
    (import_walls.redis_stays_in_the_course_queue, "worker/turns.py", "from redis import Redis"),
    (import_walls.redis_stays_in_the_course_queue, "api/courses.py", "await client.hgetall(name)"),
    (import_walls.redis_stays_in_the_course_queue, "api/courses.py", "client.execute('cr:ready:1')"),
    (import_walls.cryptography_stays_in_security, "api/auth.py", "from jose import jwt"),
    (import_walls.cryptography_stays_in_security, "shared/store/students.py", "import bcrypt"),
    (import_walls.commits_stay_in_the_database_module, "worker/applying.py", "connection.commit()"),
    (
        import_walls.commits_stay_in_the_database_module,
        "shared/store/rounds.py",
        "with connection.begin(): pass",
    ),
    (import_walls.rules_are_pure, "shared/rules.py", "import time"),
    (import_walls.rules_are_pure, "shared/rules.py", "from os import environ"),
    (import_walls.rules_are_pure, "shared/rules.py", "import sqlalchemy"),
    (import_walls.rules_are_pure, "shared/rules.py", "at = datetime.now(UTC)"),
    (import_walls.nothing_is_pickled, "shared/requests.py", "from pickle import loads"),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_reaches_through_a_wall(path: Path, check: Check) -> None:
    """Imports run api -> shared <- worker; SQL, Redis, commits and cryptography have one place each."""
    source = (REPOSITORY / path).read_text(encoding="utf-8")
    assert check(PurePosixPath(path.as_posix()), source) == []


@pytest.mark.parametrize(
    ("check", "path", "source"),
    BREACHES,
)
def test_a_breach_is_found(check: Check, path: str, source: str) -> None:
    """Fed a module that reaches through, the check names it."""
    (problem,) = check(PurePosixPath(path), source)
    assert problem.startswith(path)


def test_every_check_has_a_breach_that_it_finds() -> None:
    """A wall that nobody tried to climb proves nothing."""
    assert {breach[0] for breach in BREACHES} == set(CHECKS)


@pytest.mark.parametrize("folder", ["alembic", "locust"])
def test_folders_named_like_libraries_are_no_packages(folder: str) -> None:
    """With an __init__.py they would be imported in place of the library."""
    assert not (REPOSITORY / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", ["api", "worker", "shared", "tests"])
def test_our_own_folders_are_packages(folder: str) -> None:
    """Without an __init__.py, a foreign package of that name would win."""
    assert (REPOSITORY / folder / "__init__.py").exists()
