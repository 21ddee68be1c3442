"""Which workers have shown lately, through RQ's own registration, that they work."""

from typing import Any

import redis

WORKERS = "rq:workers"


def workers_alive_on(client: redis.Redis, hostname: str) -> int:
    """How many workers of that host have sent a heartbeat that has not expired. Raises redis.RedisError."""
    prefix = f"rq:worker:{hostname}.".encode()
    registered: set[Any] = client.smembers(WORKERS)
    names = [name for name in registered if name.startswith(prefix)]
    return int(client.exists(*names)) if names else 0
