"""Connections to Redis, and the proof that it keeps what it acknowledges."""

from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from shared.course_queue import keys
from shared.errors import UnsafeRedisError
from shared.settings import Settings

DURABLE_SETTINGS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
# One more try hides a connection that died while idle; every script is idempotent, so a lost reply does no harm.
# A Redis that does not answer in time is not asked twice: the client's time limit holds for both tries together.
RETRIES = 1
RETRIED = (redis.exceptions.ConnectionError,)
PROBE_TTL_MS = 1_000

ScriptMissing = redis.exceptions.NoScriptError
RedisFailure = (redis.exceptions.RedisError, OSError)
RedisUnreachable = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)


class _Resettable(redis.asyncio.connection.AbstractConnection):
    """A connection that was reset while idle fails like any other lost connection.

    uvloop says RuntimeError when one writes to it, which the client library would neither retry nor translate.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's form
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise redis.exceptions.ConnectionError(str(error)) from error


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """The API's client."""
    client = redis.asyncio.Redis.from_url(
        settings.redis_url,
        socket_timeout=settings.redis_timeout_ms / 1000,
        socket_connect_timeout=settings.redis_timeout_ms / 1000,
        retry=redis.asyncio.retry.Retry(ConstantBackoff(0), RETRIES, RETRIED),
    )
    pool = client.connection_pool
    # The scheme of the URL has chosen the class: plain, TLS or Unix socket.
    pool.connection_class = type("ResettableConnection", (_Resettable, pool.connection_class), {})
    return client


def sync_client(settings: Settings) -> redis.Redis:
    """The worker's client, and the commands'."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=settings.redis_timeout_ms / 1000,
        socket_connect_timeout=settings.redis_timeout_ms / 1000,
        retry=Retry(ConstantBackoff(0), RETRIES, RETRIED),
    )


def is_wrong_type(error: Exception) -> bool:
    """Whether Redis refused a command because its key holds something else; the client library has no name for it."""
    return isinstance(error, redis.exceptions.ResponseError) and "WRONGTYPE" in str(error)


def require_durable(found: Mapping[Any, Any]) -> None:
    """Check the answer to CONFIG GET. Raises UnsafeRedisError naming each setting that is wrong."""
    wrong = [
        f"{name} is {found.get(name, 'unknown')!s}, must be {value}"
        for name, value in DURABLE_SETTINGS.items()
        if found.get(name) != value
    ]
    if wrong:
        message = f"Redis may lose accepted requests: {'; '.join(wrong)} (or set ALLOW_UNSAFE_REDIS)"
        raise UnsafeRedisError(message)


async def verify_durability(client: redis.asyncio.Redis, settings: Settings) -> None:
    """Raises UnsafeRedisError, unless the settings allow it, when Redis could lose what it acknowledged."""
    if not settings.allow_unsafe_redis:
        require_durable(await client.config_get(*DURABLE_SETTINGS))


async def verify_writable(client: redis.asyncio.Redis) -> None:
    """Raises UnsafeRedisError with Redis' own words when it takes no writes: memory or disk full, or a replica."""
    try:
        await client.set(keys.PROBE, "", px=PROBE_TTL_MS)
    except redis.exceptions.ResponseError as error:
        message = f"Redis takes no writes: {error}"
        raise UnsafeRedisError(message) from error


def verify_durability_now(client: redis.Redis, settings: Settings) -> None:
    """The same for a synchronous client."""
    if not settings.allow_unsafe_redis:
        require_durable(client.config_get(*DURABLE_SETTINGS))
