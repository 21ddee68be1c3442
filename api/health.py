"""Whether the parts that the API stands on answer, in words."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from api.services import Services
from shared.course_queue.connection import RedisFailure, verify_durability, verify_writable
from shared.course_queue.pausing import is_paused
from shared.database import ping
from shared.errors import RegistrationSystemError

CHECK_TIMEOUT_S = 2.0
PAUSED = "paused"


async def redis_state(services: Services) -> str:
    """`ok` when Redis is durable and takes writes, else what is wrong."""

    async def take_requests() -> None:
        await verify_durability(services.redis, services.settings)
        await verify_writable(services.redis)

    return await _state(take_requests())


async def postgresql_state(services: Services) -> str:
    """`ok` when PostgreSQL answers."""
    return await _state(services.database.read(ping))


async def workers_state(services: Services) -> str:
    """Whether an operator lets the workers work; that they are there is not for the API to say."""
    try:
        paused = await asyncio.wait_for(is_paused(services.redis), CHECK_TIMEOUT_S)
    except (*RedisFailure, TimeoutError):
        return "unknown"
    return PAUSED if paused else "not paused"


async def _state(check: Awaitable[Any]) -> str:
    try:
        await asyncio.wait_for(check, CHECK_TIMEOUT_S)
    except RegistrationSystemError as error:
        return str(error)
    except (*RedisFailure, TimeoutError):
        return "does not answer"
    return "ok"
