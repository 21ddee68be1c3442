"""What an operator may ask of Redis: which queues hold requests, and where one request stands."""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from shared.course_queue import keys
from shared.course_queue.ready import ready_members
from shared.course_queue.rounds import is_canonical_uuid
from shared.requests import moment
from shared.settings import SHARDS_MAX

MICROSECONDS = 1_000_000
# "REGISTER CS 101 A #7", as accepting describes its jobs.
DESCRIPTION = re.compile(r"^\S+ (?P<title>.+) #\d+$")


@dataclass(frozen=True, slots=True)
class CourseQueue:
    """One course's queue at one moment; `title` and `oldest_age_s` are those of its head, None when it has none."""

    course_id: str
    waiting: int
    sequence: int
    """The last one given."""
    applied: int
    """The highest one taken off."""
    pace_us: int
    head: str | None = None
    title: str | None = None
    oldest_age_s: float | None = None
    problem: str | None = None
    """Its key and what Redis says of it, where that is no list: nobody can tell then how much waits."""


@dataclass(frozen=True, slots=True)
class JobOnRecord:
    """A request as Redis still knows it. `ahead` is None once it is off its queue, `problem` unless it failed."""

    payload: dict[str, Any]
    description: str
    outcome: dict[str, Any] | None
    worker: str | None
    problem: str | None
    ahead: int | None
    course: CourseQueue


def ready_queues(client: redis.Redis) -> tuple[list[CourseQueue], list[str]]:
    """Every queue that holds requests, the fullest first, whatever shard; and the overwritten keys that may hide some.

    Three round trips. Raises redis.RedisError.
    """
    ready, wrong = ready_members(client, range(SHARDS_MAX))
    queues = inspect_queues(client, list(filter(is_canonical_uuid, map(_text, ready))))
    wrong += [queue.problem for queue in queues if queue.problem]
    return sorted((queue for queue in queues if queue.waiting), key=lambda queue: -queue.waiting), wrong


def inspect_queues(client: redis.Redis, course_ids: Sequence[str]) -> list[CourseQueue]:
    """These courses' queues, in the order given. Two round trips. Raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipeline:
        for course_id in course_ids:
            pipeline.llen(keys.queue(course_id))
            pipeline.hmget(keys.course(course_id), "sequence", "applied", "pace_us")
            pipeline.lindex(keys.queue(course_id), 0)
        pipeline.time()
        *answers, now = pipeline.execute(raise_on_error=False)
    heads = [_head(raw) for raw in answers[2::3]]
    with client.pipeline(transaction=False) as pipeline:
        for head in heads:
            pipeline.hmget(keys.job(head or ""), "data", "description")
        jobs = pipeline.execute(raise_on_error=False)
    now_us = now[0] * MICROSECONDS + now[1]
    found = zip(answers[::3], answers[1::3], heads, strict=True)
    return [_course_queue(*each, now_us) for each in zip(course_ids, found, jobs, strict=True)]


def _course_queue(course_id: str, found: tuple[Any, Any, str | None], job: Any, now_us: int) -> CourseQueue:
    """What stands in a queue's place and is none has no length, but a problem: looking must show the others."""
    length, counters, head = found
    sequence, applied, pace_us = (
        [int(raw or 0) for raw in counters] if isinstance(counters, list) else (0, 0, 0)
    )
    data, description = job if isinstance(job, list) else (None, None)
    accepted_at_us = payload_of(data).get("accepted_at_us")
    return CourseQueue(
        course_id,
        length if isinstance(length, int) else 0,
        sequence,
        applied,
        pace_us,
        head,
        _title(description),
        max(0, now_us - accepted_at_us) / MICROSECONDS if isinstance(accepted_at_us, int) else None,
        f"{keys.queue(course_id)}: {length}" if isinstance(length, Exception) else None,
    )


def course_counters(client: redis.Redis, course_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Course -> (last sequence given, highest taken off), of these courses. Raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipeline:
        for course_id in course_ids:
            pipeline.hmget(keys.course(course_id), "sequence", "applied")
        pairs = pipeline.execute(raise_on_error=False)
    return {
        course_id: (int(pair[0] or 0), int(pair[1] or 0))
        for course_id, pair in zip(course_ids, pairs, strict=True)
        if isinstance(pair, list)
    }


def _head(raw: Any) -> str | None:
    return _text(raw) if isinstance(raw, bytes) else None


def _title(description: bytes | None) -> str | None:
    found = DESCRIPTION.match(_text(description or b""))
    return found["title"] if found else None


def payload_of(data: bytes | None) -> dict[str, Any]:
    """A job's payload, or an empty one where nobody could read it."""
    try:
        payload = json.loads(data or b"")[3]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def job_on_record(client: redis.Redis, request_id: str) -> JobOnRecord | None:
    """The request with everything that Redis remembers of it, or None. Raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.hmget(keys.job(request_id), "data", "result", "worker_name", "description", "origin")
        pipeline.xrevrange(keys.results(request_id), count=1)
        (data, outcome, worker, description, origin), results = pipeline.execute()
    if data is None:
        return None
    course_id = _text(origin or b"").removeprefix(keys.QUEUE_PREFIX)
    [queue] = inspect_queues(client, [course_id])
    ahead: Any = None if queue.problem else client.lpos(keys.queue(course_id), request_id)
    return JobOnRecord(
        payload_of(data),
        _text(description or b""),
        None if outcome is None else json.loads(outcome),
        None if worker is None else _text(worker),
        _problem(results),
        ahead,
        queue,
    )


def _problem(results: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> str | None:
    """The error text of RQ's newest result, if that is one."""
    for _, fields in results:
        if b"exc_string" in fields:
            return _text(zlib.decompress(b64decode(fields[b"exc_string"])))
    return None


def accepted_at(record: JobOnRecord) -> datetime | None:
    """When the request was accepted, by Redis' clock."""
    microseconds = record.payload.get("accepted_at_us")
    return moment(microseconds) if isinstance(microseconds, int) else None


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
