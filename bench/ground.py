"""The ground all contestants stand on: one PostgreSQL and one Valkey, both durable, the same tables and students."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from scripts.local_servers import LocalPostgres, LocalValkey, free_port
from scripts.postgres_home import discard_data
from shared.course_queue.connection import sync_client
from shared.database import command_engine, reading, writing
from shared.security import hash_password, issue_token
from shared.settings import Settings
from shared.store import imports

PROJECT_ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "opening morning"
SECRET_KEY = "a key for benchmarks, which guards nothing at all"
RESERVE_LIMIT = 10
ENOUGH_SEATS = 1_000_000

COURSE_IDS = text("""
    SELECT id::text FROM courses WHERE semester_id = :semester_id AND code = :code ORDER BY external_id
""")


@dataclass(frozen=True, slots=True)
class Student:
    """Somebody with a token."""

    student_id: str
    student_number: str
    token: str


@dataclass(frozen=True, slots=True)
class Ground:
    """Both servers running, the tables made, the students enrolled at the university."""

    postgres: LocalPostgres
    valkey: LocalValkey
    settings: Settings
    engine: Engine
    students: list[Student]
    semester_id: str

    def semester(self, name: str) -> str:
        """One more semester, open like the first; returns its id."""
        with writing(self.engine) as connection:
            return _open_semester(connection, name)

    def courses(self, count: int, seats: int = ENOUGH_SEATS, *, semester_id: str = "") -> list[str]:
        """So many new courses that nobody has asked for yet, in this or the first semester; returns their ids."""
        semester_id = semester_id or self.semester_id
        code = f"B{uuid4().hex[:8]}"
        rows = [_course_row(code, number, seats) for number in range(count)]
        with writing(self.engine) as connection:
            imports.upsert_courses(connection, semester_id, rows)
            names = {"semester_id": semester_id, "code": code}
            return list(connection.scalars(COURSE_IDS, names))

    def tokens(self) -> list[str]:
        """Everybody's token."""
        return [student.token for student in self.students]

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows that a SELECT finds."""
        with reading(self.engine) as connection:
            return list(connection.execute(text(statement), parameters))

    def execute(self, statement: str, **parameters: Any) -> None:
        """Run one statement, committed."""
        with writing(self.engine) as connection:
            connection.execute(text(statement), parameters)

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """A client of Valkey."""
        with closing(sync_client(self.settings)) as client:
            yield client

    def empty_redis(self) -> None:
        """Start a new life of the Redis data."""
        with self.redis() as client:
            client.flushdb()

    def environment(self, **overrides: str) -> dict[str, str]:
        """What every contestant is told: where the servers are, and nothing that changes its defaults."""
        return {
            "PYTHONPATH": str(PROJECT_ROOT),
            "DATABASE_URL": self.settings.database_url,
            "REDIS_URL": self.settings.redis_url,
            "SECRET_KEY": SECRET_KEY,
            "LOG_LEVEL": "WARNING",
            "LOGIN_FAILURES_PER_ADDRESS_PER_MINUTE": "1000000",
            **overrides,
        }


def _open_semester(connection: Connection, name: str) -> str:
    now = datetime.now(UTC)
    return imports.upsert_semester(connection, name, now - timedelta(days=1), now + timedelta(days=1))


def _course_row(code: str, number: int, seats: int) -> dict[str, Any]:
    return {
        "external_id": f"{code}-{number:05}",
        "code": code,
        "section": f"{number:05}",
        "course_name": f"Benchmark course {number}",
        "max_capacity": seats,
        "reserve_limit": RESERVE_LIMIT,
    }


@contextmanager
def prepared_ground(directory: Path, student_count: int) -> Iterator[Ground]:
    """Start both servers on empty data, and delete the data at the end; what a killed run left behind goes first."""
    discard_data(directory / "postgres")
    shutil.rmtree(directory, ignore_errors=True)
    postgres = LocalPostgres(directory / "postgres", free_port())
    valkey = LocalValkey(directory / "valkey", free_port())
    try:
        with postgres, valkey:
            yield _ground(postgres, valkey, student_count)
    finally:
        postgres.discard_data()
        shutil.rmtree(directory, ignore_errors=True)


def _ground(postgres: LocalPostgres, valkey: LocalValkey, student_count: int) -> Ground:
    settings = Settings(
        _env_file=None, database_url=postgres.url, redis_url=valkey.url, secret_key=SECRET_KEY
    )
    engine = command_engine(settings, "bench")
    _migrate(engine)
    with writing(engine) as connection:
        semester_id = _open_semester(connection, "Bench")
        # One hash for all: verifying costs the same, and making it is not what is measured.
        password_hash = hash_password(PASSWORD, settings.bcrypt_cost)
        imports.upsert_students(
            connection,
            [
                {"student_number": f"B{number:06}", "password_hash": password_hash}
                for number in range(student_count)
            ],
        )
        students = [
            Student(student_id, number, issue_token(settings, student_id, number)[0])
            for student_id, number in imports.students(connection, student_count)
        ]
    return Ground(postgres, valkey, settings, engine, students, semester_id)


def _migrate(engine: Engine) -> None:
    config = Config(PROJECT_ROOT / "alembic.ini")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
