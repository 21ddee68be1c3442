"""What every queue holds, for whoever watches them all: a few round trips, however many courses there are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from shared.course_queue import keys, scripts
from shared.course_queue.connection import ScriptMissing

# Short enough that a request is not kept waiting: about half a millisecond of Redis' time.
QUEUES_PER_CALL = 100
QUEUE_KEY_PREFIX = "rq:queue:"
DESCRIPTION = re.compile(r"\w+ (?P<title>.+) #\d+")


@dataclass(frozen=True, slots=True)
class QueueOverview:
    """How many jobs a queue and each of RQ's registries of it hold; `title` is the course's, '' when not known."""

    name: str
    title: str
    queued: int
    deferred: int
    scheduled: int
    started: int
    finished: int
    failed: int
    canceled: int


def queue_overviews(client: redis.Redis) -> list[QueueOverview]:
    """Every queue that RQ lists, in no order. Raises redis.RedisError."""
    raw_keys: set[Any] = client.smembers(keys.QUEUES)
    names = [raw.decode(errors="replace").removeprefix(QUEUE_KEY_PREFIX) for raw in raw_keys]
    rows = [
        row
        for start in range(0, len(names), QUEUES_PER_CALL)
        for row in _rows(client, names[start : start + QUEUES_PER_CALL])
    ]
    return [_overview(name, row) for name, row in zip(names, rows, strict=True)]


def _rows(client: redis.Redis, names: Sequence[str]) -> list[list[Any]]:
    try:
        rows: list[list[Any]] = client.evalsha(scripts.OVERVIEW.digest, 0, *names)
    except ScriptMissing:
        rows = client.eval(scripts.OVERVIEW.source, 0, *names)
    return rows


def _overview(name: str, row: list[Any]) -> QueueOverview:
    *counts, description = row
    described = DESCRIPTION.fullmatch(description.decode(errors="replace"))
    return QueueOverview(name, described["title"] if described else "", *counts)
