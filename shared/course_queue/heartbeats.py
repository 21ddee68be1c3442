"""Which workers have shown lately, through RQ's own registration, that they work."""

from typing import Any

import redis

from shared.course_queue.connection import is_wrong_type

WORKERS = "rq:workers"
WORKER_PREFIX = "rq:worker:"
SCAN_STEP = 1_000


def worker_keys(client: redis.Redis, prefix: str = WORKER_PREFIX) -> list[str]:
    """The keys, beginning with that, of the workers that RQ lists; some may have expired. Raises redis.RedisError.

    Where somebody has overwritten the list it is every worker's key that is there: they work all the same, and a
    supervisor that took them for dead would restart them for ever.
    """
    try:
        listed: set[Any] = client.smembers(WORKERS)
    except redis.exceptions.ResponseError as error:
        if not is_wrong_type(error):
            raise
        found = list(client.scan_iter(match=f"{WORKER_PREFIX}*", count=SCAN_STEP))
        # A worker that has left is off the list, but its key stays for a minute.
        listed = {key for key in found if not client.hexists(key, "death")}
    return [key for key in (raw.decode(errors="replace") for raw in listed) if key.startswith(prefix)]


def workers_alive_on(client: redis.Redis, hostname: str) -> int:
    """How many workers of that host have sent a heartbeat that has not expired. Raises redis.RedisError."""
    names = worker_keys(client, f"{WORKER_PREFIX}{hostname}.")
    return int(client.exists(*names)) if names else 0
