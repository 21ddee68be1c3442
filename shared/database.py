"""Connections to PostgreSQL, and the only place that commits."""

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared import metrics
from shared.errors import DatabaseUnavailableError
from shared.settings import Settings

CONNECT_TIMEOUT_S = 3
# Without it a server cut off in the middle of a statement is given up after a quarter of an hour.
UNACKNOWLEDGED_TIMEOUT_MS = 5_000
# A request is blamed only for what its own data can cause: data exceptions and broken constraints.
REQUEST_FAULT_CLASSES = ("22", "23")
# What asyncpg raises while it connects, which SQLAlchemy passes on as it is.
CONNECTION_FAILED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
# What follows the driver's own words, and may quote values.
QUOTATIONS = re.compile(r"\n(?:LINE \d+|DETAIL|HINT|CONTEXT):")
CAUSE_LENGTH_MAX = 300


def event_loop_engine(settings: Settings, application_name: str) -> AsyncEngine:
    """A pool on the event loop, without a transaction around a statement, which ends after `read_timeout_ms`.

    A thread per read would have to wait for the interpreter several times while the event loop is busy.
    """
    session = {
        "application_name": application_name,
        "timezone": "UTC",
        "statement_timeout": str(settings.read_timeout_ms),
    }
    # The driver reads the URL itself, for it knows the options that other PostgreSQL clients take.
    connect = partial(
        asyncpg.connect, settings.postgresql_url, timeout=CONNECT_TIMEOUT_S, server_settings=session
    )
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        isolation_level="AUTOCOMMIT",
    )


def command_engine(settings: Settings, application_name: str) -> Engine:
    """Connections for commands of an operator, whose statements may take as long as they need."""
    return _engine(settings, poolclass=NullPool, connect_args=_connect_args(application_name, {}))


def looking_engine(settings: Settings, application_name: str) -> Engine:
    """Connections for commands that only look: they end after `read_timeout_ms` of waiting for somebody's lock.

    A statement that does not wait may take as long as it needs: an audit reads the whole ledger.
    """
    limits = {"lock_timeout": settings.read_timeout_ms}
    return _engine(settings, poolclass=NullPool, connect_args=_connect_args(application_name, limits))


def owner_engine(settings: Settings, application_name: str) -> Engine:
    """Unpooled connections for workers: the server ends a session that falls silent, and its shard locks with it."""
    return _engine(
        settings,
        poolclass=NullPool,
        connect_args=_connect_args(
            application_name,
            {
                "statement_timeout": settings.statement_timeout_ms,
                "lock_timeout": settings.lock_timeout_ms,
                "idle_session_timeout": settings.session_timeout_ms,
                "idle_in_transaction_session_timeout": settings.session_timeout_ms,
                "tcp_user_timeout": settings.session_timeout_ms,
            },
        ),
    )


def _engine(settings: Settings, **options: Any) -> Engine:
    """Errors end up in logs, so they tell the statement and never its parameters, which may be password hashes."""
    return create_engine(settings.sqlalchemy_url, hide_parameters=True, **options)


def _connect_args(application_name: str, session: Mapping[str, object]) -> dict[str, Any]:
    options = {"timezone": "UTC", **session}
    return {
        "application_name": application_name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": UNACKNOWLEDGED_TIMEOUT_MS,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }


@contextmanager
def transaction(connection: Connection) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises.

    Raises whatever the block raises; a failed commit raises SQLAlchemyError and leaves open whether it took effect.
    """
    with connection.begin():
        yield connection
        ended = time.perf_counter()
    metrics.POSTGRESQL_TIME.labels("commit").observe(time.perf_counter() - ended)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads. Raises DatabaseUnavailableError when PostgreSQL does not answer."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        if is_request_fault(error):
            raise
        raise DatabaseUnavailableError from error


@asynccontextmanager
async def reading_on_event_loop(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The same on the event loop."""
    try:
        async with engine.connect() as connection:
            yield connection
    except (SQLAlchemyError, *CONNECTION_FAILED) as error:
        if isinstance(error, SQLAlchemyError) and is_request_fault(error):
            raise
        raise DatabaseUnavailableError from error


@asynccontextmanager
async def writing_on_event_loop(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in one transaction, committed when the block ends. Raises as `reading_on_event_loop`."""
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    async with reading_on_event_loop(transactional) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in one transaction, for what is written outside the rounds. Raises as `reading`."""
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    with reading(transactional) as connection, transaction(connection):
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A read-only connection that sees one moment of the whole database, however long it reads (REPEATABLE READ).

    Raises DatabaseUnavailableError when PostgreSQL does not answer.
    """
    repeatable = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with reading(repeatable) as connection, transaction(connection):
        yield connection


def is_request_fault(error: SQLAlchemyError) -> bool:
    """Whether the data of a request caused the error, so that trying again cannot help."""
    if not isinstance(error, DBAPIError) or isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.orig, "pgcode", None)
    return isinstance(code, str) and code.startswith(REQUEST_FAULT_CLASSES)


def cause_of(error: DatabaseUnavailableError) -> str:
    """Why PostgreSQL did not answer, in one line of the driver's words: host and user, but no password and no values."""
    cause = error.__cause__
    words = QUOTATIONS.split(str(getattr(cause, "orig", None) or cause or error), maxsplit=1)[0]
    return "; ".join(line.strip() for line in words.strip().splitlines())[:CAUSE_LENGTH_MAX]


def ping(connection: Connection) -> None:
    """One round trip."""
    connection.execute(text("SELECT 1"))
