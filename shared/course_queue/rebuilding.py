"""Mending a course's keys that somebody overwrote or deleted, from its jobs, which stay where they are meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from shared.course_queue import keys, scripts
from shared.course_queue.inspection import payload_of

SCAN_STEP = 1_000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was done: how many requests were put back, and which other keys were mended."""

    put_back: int
    counters_mended: bool
    ready_mended: bool


def waiting_jobs(client: redis.Redis, course_id: str) -> list[tuple[int, str]]:
    """(sequence, request) of every job of the course that waits, in order. Looks at every job. Raises redis.RedisError."""
    prefix = keys.job("")
    found: list[tuple[int, str]] = []
    names = [name.decode(errors="replace") for name in client.scan_iter(f"{prefix}*", SCAN_STEP, "hash")]
    for start in range(0, len(names), SCAN_STEP):
        some = names[start : start + SCAN_STEP]
        with client.pipeline(transaction=False) as pipeline:
            for name in some:
                pipeline.hmget(name, "origin", "status", "data")
            jobs = pipeline.execute()
        for name, (origin, status, data) in zip(some, jobs, strict=True):
            if (origin, status) == (keys.queue_name(course_id).encode(), b"queued"):
                # What has no sequence never was a request, and nobody waits for it.
                sequence = payload_of(data).get("sequence")
                found += [(sequence, name.removeprefix(prefix))] if isinstance(sequence, int) else []
    return sorted(found)


def rebuild_course(
    client: redis.Redis, course_id: str, shards: int, jobs: Sequence[tuple[int, str]], decided: int
) -> Rebuilt:
    """Mend the course's queue, its counters and its shard's ready set, in one step. Raises redis.RedisError.

    `jobs` are those of `waiting_jobs`, and `decided` is the highest sequence in the ledger, read after them: whatever was
    accepted is in one of the two.
    """
    shard = keys.shard_of(course_id, shards)
    highest = max([decided, *(sequence for sequence, _ in jobs)])
    queue_prefix = keys.queue("")
    names = [name.decode(errors="replace") for name in client.scan_iter(f"{queue_prefix}*", SCAN_STEP)]
    courses = {name.removeprefix(queue_prefix) for name in names} | {course_id}
    of_shard = [course for course in courses if keys.shard_of(course, shards) == shard]
    requests = [request_id for _, request_id in jobs]
    put_back, counters, ready = client.eval(
        scripts.REBUILD.source, 0, course_id, keys.ready(shard), highest, len(requests), *requests, *of_shard
    )
    return Rebuilt(put_back, bool(counters), bool(ready))
