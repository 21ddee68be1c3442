"""What every command works with: the settings, Redis, PostgreSQL, and how to tell when one of them is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
import typer
from pydantic import ValidationError
from sqlalchemy import Engine

from shared.course_queue.connection import RedisFailure, sync_client
from shared.database import command_engine
from shared.errors import DatabaseUnavailableError
from shared.manage.terminal import tell_problem
from shared.settings import Settings, load_settings

EXIT_NOT_AS_WISHED = 1
EXIT_UNKNOWN = 2
EXIT_UNAVAILABLE = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the system, as one command reaches them."""

    settings: Settings
    redis: redis.Redis
    engine: Engine


@contextmanager
def running_system() -> Iterator[Parts]:
    """The parts for one command; what of them does not answer ends it with a line and EXIT_UNAVAILABLE."""
    try:
        settings = load_settings()
        client = sync_client(settings)
        try:
            yield Parts(settings, client, command_engine(settings, "manage"))
        finally:
            client.close()
    except ValidationError as error:
        _end(f"The configuration is wrong: {error}")
    except DatabaseUnavailableError as error:
        _end(f"{error} {error.__cause__ or ''}")
    except RedisFailure as error:
        _end(f"Redis: {error}")


def _end(problem: str) -> None:
    tell_problem(problem)
    raise typer.Exit(EXIT_UNAVAILABLE)
