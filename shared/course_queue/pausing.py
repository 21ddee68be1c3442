"""Pausing the workers: a key that each looks at before every round, so that nobody needs to be told."""

from datetime import UTC, datetime
from typing import Any

import redis
import redis.asyncio

from shared.course_queue import keys
from shared.requests import rfc3339


def pause(client: redis.Redis) -> bool:
    """Let no worker begin another round. False when they were paused already. Raises redis.RedisError."""
    return bool(client.set(keys.PAUSED, rfc3339(datetime.now(UTC)) or "", nx=True))


def resume(client: redis.Redis) -> bool:
    """Let the workers go on. False when they were not paused. Raises redis.RedisError."""
    return bool(client.delete(keys.PAUSED))


def paused_since(client: redis.Redis) -> str | None:
    """When the workers were paused, as RFC 3339; None while they may work. Raises redis.RedisError."""
    raw: Any = client.get(keys.PAUSED)
    return None if raw is None else raw.decode(errors="replace")


async def is_paused(client: redis.asyncio.Redis) -> bool:
    """The same question for the API. Raises redis.RedisError."""
    return bool(await client.exists(keys.PAUSED))
