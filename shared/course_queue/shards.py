"""The number of shards that all processes must go by: agreed upon in Redis at start, for a mistake would strand requests."""

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio

from shared.course_queue import keys, scripts
from shared.errors import QueueShardsError
from shared.settings import Settings


def agreed_shards(client: redis.Redis) -> int | None:
    """The number that the system goes by; None where nothing has started yet. Raises redis.RedisError."""
    return _number(client.get(keys.SHARDS))


async def claim_shards(client: redis.asyncio.Redis, settings: Settings) -> None:
    """Make QUEUE_SHARDS the number that the system goes by, or find that it is.

    Raises QueueShardsError when it is another one and cannot be changed now, and redis.RedisError.
    """
    # Most starts need no write, and go well on a Redis that takes none.
    if _number(await client.get(keys.SHARDS)) != settings.queue_shards:
        # By its source: this happens once, before anything has loaded a script.
        _require(await client.eval(scripts.CLAIM_SHARDS.source, 0, settings.queue_shards), settings)


def claim_shards_now(client: redis.Redis, settings: Settings) -> None:
    """The same for a synchronous client."""
    if agreed_shards(client) != settings.queue_shards:
        _require(client.eval(scripts.CLAIM_SHARDS.source, 0, settings.queue_shards), settings)


def _number(raw: Any) -> int | None:
    return int(raw) if raw is not None and raw.isdigit() else None


def _require(claimed: Sequence[int], settings: Settings) -> None:
    agreed, courses, processes = claimed
    if agreed != settings.queue_shards:
        raise QueueShardsError(settings.queue_shards, agreed, courses, processes)
