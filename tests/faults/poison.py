"""Entries that are no requests of ours, as anyone with access to Redis could push them."""

import json
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

from redis import Redis

from tests.e2e.stack import SHARDS


@dataclass(frozen=True)
class Hostile:
    """Unpickling it runs a command."""

    command: str

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def touching(marker: Path) -> str:
    """The command of a hostile entry: whether it was ever run, the marker tells."""
    return f"touch '{marker}'"


def push(client: Redis, course_id: str, request_id: str, data: bytes | None = None) -> None:
    """Put an entry at the end of a course's queue as any client of Redis could."""
    if data is not None:
        job = {
            "data": data,
            "origin": f"course-{course_id}",
            "status": "queued",
            "created_at": "2026-01-01T00:00:00Z",
        }
        client.hset(f"rq:job:{request_id}", mapping=job)
    client.rpush(f"rq:queue:course-{course_id}", request_id)
    client.sadd("rq:queues", f"rq:queue:course-{course_id}")
    client.sadd(f"cr:ready:{crc32(course_id.encode()) % SHARDS}", course_id)


def push_missing_hash(client: Redis, course_id: str, marker: Path) -> None:
    """An id without a job."""
    push(client, course_id, str(uuid4()))


def push_hostile_function(client: Redis, course_id: str, marker: Path) -> None:
    """A job that names a function of the operating system."""
    push(client, course_id, str(uuid4()), json.dumps(["os.system", None, [touching(marker)], {}]).encode())


def push_pickle(client: Redis, course_id: str, marker: Path) -> None:
    """A job in pickle, as RQ writes it by default."""
    hostile = Hostile(touching(marker))
    push(client, course_id, str(uuid4()), pickle.dumps(("registration.apply", None, (hostile,), {})))


def push_nonsense_id(client: Redis, course_id: str, marker: Path) -> None:
    """An id that is no UUID, and no text either."""
    push(client, course_id, b"\xff\x00no uuid", b"[]")


def push_wrong_type(client: Redis, course_id: str, marker: Path) -> None:
    """An id whose job key holds something that is no hash."""
    request_id = str(uuid4())
    client.set(f"rq:job:{request_id}", "not a hash")
    push(client, course_id, request_id)


def push_deep_json(client: Redis, course_id: str, marker: Path) -> None:
    """A payload nested deeper than any parser likes."""
    push(client, course_id, str(uuid4()), b"[" * 100_000)


def push_huge_numbers(client: Redis, course_id: str, marker: Path) -> None:
    """Our own form with numbers that no database column holds."""
    request_id = str(uuid4())
    payload = (
        f'["registration.apply", null, [], {{"version": 1, "request_id": "{request_id}", "course_id": "{course_id}",'
        f' "student_id": "{uuid4()}", "operation": "REGISTER", "generation": "{uuid4()}", "sequence": 1{"0" * 400},'
        f' "accepted_at_us": 1e999}}]'
    )
    push(client, course_id, request_id, payload.encode())


# The marker is what a hostile one would leave behind if it were ever run.
Poison = Callable[[Redis, str, Path], None]

POISONS: list[Poison] = [
    push_missing_hash,
    push_hostile_function,
    push_pickle,
    push_nonsense_id,
    push_wrong_type,
    push_deep_json,
    push_huge_numbers,
]
HOSTILE: list[Poison] = [push_hostile_function, push_pickle]


def push_unknown_student(client: Redis, course_id: str, marker: Path) -> None:
    """Our own form, sound in everything, of a student who does not exist, far behind any real sequence."""
    request_id = str(uuid4())
    payload = {
        "version": 1,
        "request_id": request_id,
        "course_id": course_id,
        "student_id": str(uuid4()),
        "operation": "REGISTER",
        "generation": str(uuid4()),
        "sequence": 1,
        "accepted_at_us": time.time_ns() // 1000,
    }
    push(client, course_id, request_id, json.dumps(["registration.apply", None, [], payload]).encode())
