"""The servers and small factories that all tests share. Each test process (xdist worker) has servers of its own."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import redis
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from scripts.local_servers import LocalPostgres, LocalValkey, free_port
from shared.course_queue.connection import sync_client
from shared.database import command_engine, writing
from shared.rules import Window
from shared.security import hash_password
from shared.settings import Settings
from shared.store import catalogue, imports, students
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401 - hooks

REPOSITORY = Path(__file__).parent.parent
BCRYPT_COST = 4
PASSWORD = "correct horse battery staple"
OPEN_WINDOW = Window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))

# On a busy machine a property is no less true.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Account:
    """A student who can log in."""

    student_id: str
    student_number: str
    password: str = PASSWORD


@pytest.fixture(scope="session", autouse=True)
def plain_environment() -> Iterator[None]:
    """Whatever the developer's shell sets for the running system, the tests do not see it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """A PostgreSQL server of this test process.

    Without fsync: the tests kill processes, never the machine, and what a process wrote outlives it.
    """
    server = LocalPostgres(tmp_path_factory.mktemp("postgres") / "data", free_port(), fsync=False)
    try:
        with server:
            yield server
    finally:
        server.discard_data()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """A Valkey server of this test process, as durable as in production: the code refuses any other."""
    with LocalValkey(tmp_path_factory.mktemp("valkey") / "data", free_port()) as server:
        yield server


def settings_for(database_url: str, redis_url: str) -> Settings:
    """Settings on these servers, cheap in bcrypt, and read from no file."""
    return Settings(
        _env_file=None,
        environment="development",
        database_url=database_url,
        redis_url=redis_url,
        bcrypt_cost=BCRYPT_COST,
    )


@pytest.fixture(scope="session")
def settings(postgres_server: LocalPostgres, redis_server: LocalValkey) -> Settings:
    """The settings of everything that runs on this test process's servers."""
    return settings_for(postgres_server.url, redis_server.url)


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the engine's database to a revision, up or down, by Alembic's own API."""
    config = Config(REPOSITORY / "alembic.ini")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        move = command.downgrade if revision == "base" else command.upgrade
        move(config, revision)


@pytest.fixture(scope="session")
def engine(settings: Settings) -> Engine:
    """Unpooled connections to the migrated database."""
    migrated = command_engine(settings, "tests")
    migrate(migrated)
    return migrated


@pytest.fixture
def redis_client(redis_server: LocalValkey, settings: Settings) -> Iterator[redis.Redis]:
    """A client of an empty Redis."""
    redis_server.start()
    client = sync_client(settings)
    client.flushdb()
    yield client
    client.close()


CourseFactory = Callable[..., str]
StudentFactory = Callable[[int], list[str]]
AccountFactory = Callable[[int], list[Account]]


@pytest.fixture(scope="session")
def make_course(engine: Engine) -> CourseFactory:
    """Makes a course, in a semester of its own, from (capacity, reserve limit, window); returns its id."""
    return course_factory(engine)


def course_factory(engine: Engine) -> CourseFactory:
    """A maker of courses in the engine's database."""

    def make(capacity: int = 1, reserve_limit: int = 1, window: Window = OPEN_WINDOW) -> str:
        number = next(_numbers)
        row = {
            "external_id": f"course-{number}",
            "code": f"TST{number}",
            "section": "001",
            "course_name": f"Test course {number}",
            "max_capacity": capacity,
            "reserve_limit": reserve_limit,
        }
        with writing(engine) as connection:
            semester_id = imports.upsert_semester(
                connection, f"Term {number} {uuid4().hex[:8]}", window.opens_at, window.closes_at
            )
            imports.upsert_courses(connection, semester_id, [row])
            return str(catalogue.courses_page(connection, semester_id, None, 1, None)[0]["id"])

    return make


@pytest.fixture(scope="session")
def make_accounts(engine: Engine) -> AccountFactory:
    """Makes a number of new students, who can all log in with the same password."""
    return account_factory(engine)


def account_factory(engine: Engine) -> AccountFactory:
    """A maker of students in the engine's database."""
    password_hash = hash_password(PASSWORD, BCRYPT_COST)

    def make(count: int) -> list[Account]:
        prefix = uuid4().hex[:8]
        numbers = [f"T{prefix}{index:05}" for index in range(count)]
        rows = [{"student_number": number, "password_hash": password_hash} for number in numbers]
        with writing(engine) as connection:
            imports.upsert_students(connection, rows)
            return [Account(_student_id(connection, number), number) for number in numbers]

    return make


def _student_id(connection: Connection, student_number: str) -> str:
    found = students.credentials(connection, student_number)
    assert found is not None
    return found.student_id


@pytest.fixture(scope="session")
def make_students(make_accounts: AccountFactory) -> StudentFactory:
    """Makes a number of new students; returns their ids."""

    def make(count: int) -> list[str]:
        return [account.student_id for account in make_accounts(count)]

    return make
