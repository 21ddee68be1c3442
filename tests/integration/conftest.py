"""What the integration tests share beyond the servers."""

from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pytest
import redis
from sqlalchemy import Connection, Engine, text

from scripts.local_servers import LocalPostgres
from shared.database import command_engine, owner_engine
from shared.requests import QueueEntry
from shared.settings import Settings
from tests.conftest import CourseFactory
from tests.integration.course_queue import CourseQueueOnRedis
from tests.integration.submissions import QueueOf
from worker.applying import AppliedRound, apply_round

Apply = Callable[[Sequence[QueueEntry]], AppliedRound]
QueueFactory = Callable[..., QueueOf]


@pytest.fixture
def worker_connection(engine: Engine, settings: Settings) -> Iterator[Connection]:
    """A connection with a worker's time limits, except that a slow machine may fall silent for longer."""
    patient = settings.model_copy(update={"session_timeout_ms": 60_000})
    with owner_engine(patient, "test-worker").connect() as connection:
        yield connection


@pytest.fixture
def apply(worker_connection: Connection) -> Apply:
    """Applies entries as one round, on a real connection."""
    return lambda entries: apply_round(worker_connection, entries, "test-worker")


@pytest.fixture
def queue_of(make_course: CourseFactory) -> QueueFactory:
    """Makes a course from (capacity, reserve limit, window) and returns its queue."""
    return lambda *limits, **options: QueueOf(make_course(*limits, **options))


@pytest.fixture
def scratch_engine(postgres_server: LocalPostgres, settings: Settings) -> Iterator[Engine]:
    """An empty database of the test's own, to migrate and to break."""
    name = f"scratch_{uuid4().hex[:12]}"
    administrator = command_engine(settings, "tests").execution_options(isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgres_server.url.rpartition("/")[0] + "/" + name
    yield command_engine(settings.model_copy(update={"database_url": url}), "tests")
    with administrator.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def course_queue(redis_client: redis.Redis, settings: Settings) -> CourseQueueOnRedis:
    """One course's queue on an empty Redis."""
    return CourseQueueOnRedis(redis_client, settings)
