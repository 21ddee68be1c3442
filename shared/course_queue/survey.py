"""Looking at all queues and workers at once, for metrics: bounded steps, so that nobody who registers waits for it."""

from dataclasses import dataclass
from typing import Any

import redis.asyncio

from shared.course_queue import keys, scripts
from shared.course_queue.connection import ScriptMissing
from shared.course_queue.rounds import is_canonical_uuid

# Redis serves nobody else during one step, so that it must take less than a millisecond.
QUEUES_PER_STEP = 100
NUMBERS_PER_QUEUE = 4
WORKERS_KEY = "rq:workers"
WORKER_FIELDS = ("state", "successful_job_count", "failed_job_count", "total_working_time")


@dataclass(frozen=True, slots=True)
class QueueState:
    """A course's queue now: how many wait, since when the first does, and the ended ones that RQ still shows."""

    course_id: str
    waiting: int
    oldest_s: float
    finished: int
    failed: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as it last told RQ."""

    name: str
    state: str
    succeeded: int
    failed: int
    working_s: float


async def survey_queues(client: redis.asyncio.Redis) -> list[QueueState]:
    """Every queue that RQ shows, in no particular order. Raises redis.RedisError."""
    prefix = keys.queue("")
    names = [_text(raw).removeprefix(prefix) for raw in await client.smembers(keys.QUEUES)]
    states: list[QueueState] = []
    ours = [name for name in names if is_canonical_uuid(name)]
    for start in range(0, len(ours), QUEUES_PER_STEP):
        course_ids = ours[start : start + QUEUES_PER_STEP]
        now_us, *numbers = await _run_survey(client, course_ids)
        columns = (numbers[offset::NUMBERS_PER_QUEUE] for offset in range(NUMBERS_PER_QUEUE))
        states += [
            QueueState(course_id, waiting, _age_s(now_us, accepted_at_us), finished, failed)
            for course_id, waiting, accepted_at_us, finished, failed in zip(course_ids, *columns, strict=True)
        ]
    return states


async def _run_survey(client: redis.asyncio.Redis, course_ids: list[str]) -> list[int]:
    try:
        reply: list[int] = await client.evalsha(scripts.SURVEY.digest, 0, *course_ids)
    except ScriptMissing:
        reply = await client.eval(scripts.SURVEY.source, 0, *course_ids)
    return reply


def _age_s(now_us: int, accepted_at_us: int) -> float:
    return max(0, now_us - accepted_at_us) / 1_000_000 if accepted_at_us else 0.0


async def survey_workers(client: redis.asyncio.Redis) -> list[WorkerState]:
    """Every worker that RQ shows and whose heartbeat has not expired. Raises redis.RedisError."""
    worker_keys = [_text(raw) for raw in await client.smembers(WORKERS_KEY)]
    async with client.pipeline(transaction=False) as pipeline:
        for key in worker_keys:
            pipeline.hmget(key, WORKER_FIELDS)
        rows = await pipeline.execute() if worker_keys else []
    return [
        WorkerState(
            key.rpartition(":")[2], _text(state), int(succeeded or 0), int(failed or 0), float(working or 0)
        )
        for key, (state, succeeded, failed, working) in zip(worker_keys, rows, strict=True)
        if state is not None
    ]


async def memory_bytes(client: redis.asyncio.Redis) -> dict[str, int]:
    """Redis' memory: `used`, and `max`, 0 without a limit. Raises redis.RedisError."""
    told: dict[str, Any] = await client.info("memory")
    return {"used": int(told["used_memory"]), "max": int(told["maxmemory"])}


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
