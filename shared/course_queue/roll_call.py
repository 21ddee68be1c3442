"""Which workers are there, as RQ's list shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import redis

from shared.course_queue import keys
from shared.course_queue.heartbeats import worker_keys


@dataclass(frozen=True, slots=True)
class ListedWorker:
    """A worker as RQ's list shows it."""

    name: str
    state: str
    finished: int
    failed: int
    seen_age_s: float | None


def listed_workers(client: redis.Redis) -> list[ListedWorker]:
    """The workers whose heartbeats RQ has heard lately, by name. Raises redis.RedisError."""
    listed = sorted(worker_keys(client))
    with client.pipeline(transaction=False) as pipeline:
        for name in listed:
            pipeline.hmget(
                name, "state", "successful_job_count", "failed_job_count", "last_heartbeat", "birth"
            )
        pipeline.time()
        *records, now = pipeline.execute()
    # A worker without a birth has died: what is left of it expires.
    return [
        _listed(name.removeprefix(keys.WORKER_PREFIX), record, now[0])
        for name, record in zip(listed, records, strict=True)
        if record[4] is not None
    ]


def _listed(name: str, record: Sequence[bytes | None], now_s: int) -> ListedWorker:
    state, finished, failed, heartbeat, _ = (_text(raw or b"") for raw in record)
    seen = datetime.fromisoformat(heartbeat).timestamp() if heartbeat else None
    return ListedWorker(
        name,
        state,
        int(finished or 0),
        int(failed or 0),
        None if seen is None else max(0.0, now_s - seen),
    )


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
