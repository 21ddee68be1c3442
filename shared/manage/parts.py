"""What every command works with: the settings, Redis, PostgreSQL, and how to tell when one of them is missing."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import redis
import typer
from pydantic import ValidationError
from sqlalchemy import Engine

from shared.course_queue.connection import RedisFailure, sync_client
from shared.course_queue.shards import agreed_shards
from shared.database import cause_of, looking_engine
from shared.errors import DatabaseUnavailableError
from shared.manage.terminal import tell_problem
from shared.settings import Settings, load_settings, problems_of

EXIT_NOT_AS_WISHED = 1
EXIT_UNKNOWN = 2
EXIT_UNAVAILABLE = 3

# `make run` writes there how its stack is reached.
STACK_ENVIRONMENT = Path(__file__).resolve().parents[2] / ".local" / "stack.env"
DEFAULT_URLS = frozenset(Settings.model_fields[name].default for name in ("database_url", "redis_url"))


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the system, as one command reaches them."""

    settings: Settings
    redis: redis.Redis
    engine: Engine

    def shards(self) -> int:
        """The number that the system goes by, whatever this command's own setting says. Raises redis.RedisError.

        Where nothing has started yet, or Redis has lost everything since, it is the setting.
        """
        return agreed_shards(self.redis) or self.settings.queue_shards

    def require_answers(self, problems: Mapping[str, str]) -> None:
        """End with EXIT_UNAVAILABLE if a part did not answer, for then what was shown is not all there is."""
        if problems:
            _end(environment_hint(self.settings))


@contextmanager
def running_system(name: str = "manage") -> Iterator[Parts]:
    """The parts for the command of that name; what of them it cannot do without ends it with a line and EXIT_UNAVAILABLE."""
    try:
        settings = load_settings()
    except ValidationError as error:
        _end(f"The configuration is wrong: {problems_of(error)}")
    client = sync_client(settings)
    try:
        yield Parts(settings, client, looking_engine(settings, name))
    except DatabaseUnavailableError as error:
        _end(f"PostgreSQL: {cause_of(error)}", environment_hint(settings))
    except RedisFailure as error:
        _end(f"Redis: {error}", environment_hint(settings))
    finally:
        client.close()


def environment_hint(settings: Settings) -> str:
    """How to reach the stack of `make run`, if there is one and nobody said where else to look."""
    nowhere_named = DEFAULT_URLS.issuperset((settings.database_url, settings.redis_url))
    if not (nowhere_named and STACK_ENVIRONMENT.exists()):
        return ""
    path = shlex.quote(os.path.relpath(STACK_ENVIRONMENT))
    return f"DATABASE_URL and REDIS_URL are not set. For the stack of `make run`: set -a; . {path}; set +a"


def tell_missing(problems: Mapping[str, str]) -> None:
    """A line for each part that did not answer, or not with what it was asked for, with the cause."""
    for part, problem in problems.items():
        tell_problem(f"{part} {problem}")


def redis_problem(error: Exception) -> str:
    """What is wrong with Redis: where it refuses a command it does answer, and nobody shall look for an outage."""
    refused = isinstance(error, redis.exceptions.ResponseError)
    return f"refuses a command: {error}" if refused else f"does not answer: {error}"


def postgresql_problem(error: DatabaseUnavailableError) -> str:
    """What is wrong with PostgreSQL."""
    return f"does not answer: {cause_of(error)}"


def tell_wrong_keys(wrong: Iterable[str]) -> None:
    """A line for each key that somebody has overwritten."""
    for problem in wrong:
        tell_problem(wrong_key_text(problem))


def wrong_key_text(problem: str) -> str:
    """What is wrong with a key, in the words of the workers' log."""
    return f"A key in Redis was overwritten: {problem}"


def _end(*lines: str) -> NoReturn:
    for line in filter(None, lines):
        tell_problem(line)
    raise typer.Exit(EXIT_UNAVAILABLE)
