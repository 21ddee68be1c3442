"""A worker that falls silent is cut off by the server, wherever in its round it stood."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text

from shared.database import owner_engine
from shared.settings import Settings
from tests.e2e.waiting import wait_until


def between_rounds(connection: Connection) -> int:
    """The session's process id; its transaction is over."""
    with connection.begin():
        return in_a_round(connection)


def in_a_round(connection: Connection) -> int:
    """The session's process id; its transaction stays open."""
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


@pytest.mark.parametrize("silent", [between_rounds, in_a_round])
def test_a_silent_session_is_ended_by_the_server(
    silent: Callable[[Connection], int], engine: Engine, settings: Settings
) -> None:
    """P6: its locks must not outlast it, neither those on its shards nor those on its courses."""
    impatient = owner_engine(settings.model_copy(update={"session_timeout_ms": 300}), "silent-worker")
    connection = impatient.connect()
    pid = silent(connection)
    wait_until(lambda: pid not in sessions(engine), "the server has ended the session", 5)
    connection.invalidate()


def sessions(engine: Engine) -> set[int]:
    """The process ids of all sessions."""
    with engine.connect() as connection:
        return set(connection.scalars(text("SELECT pid FROM pg_stat_activity")))
