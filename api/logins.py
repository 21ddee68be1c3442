"""Limits on failed logins, which no attacker can turn against the student."""

from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus

import redis.asyncio
import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter

from api.problems import Problem
from shared import metrics
from shared.course_queue import keys
from shared.course_queue.connection import RedisFailure
from shared.settings import Settings

log = structlog.get_logger()

WINDOW_S = 60
ADDRESS_KNOWN_S = 30 * 24 * 3600


class FailureLimits:
    """Failed logins per account and address, per address, and per account; successes cost nothing.

    Counted in Redis for all processes, or in this one alone while Redis is away. The limit per account does not hold
    for addresses from which its student has logged in before, or an attacker could keep the student out.
    """

    def __init__(self, settings: Settings, client: redis.asyncio.Redis) -> None:
        storage = RedisStorage(
            "async+" + settings.redis_url,
            implementation="redispy",
            key_prefix=keys.LOGIN_FAILURES,
            connection_pool=client.connection_pool,  # type: ignore[arg-type]  # its hints forget this option
        )
        self._client = client
        self._limiter = FixedWindowRateLimiter(storage)
        self._limiter_alone = FixedWindowRateLimiter(MemoryStorage())
        self._both = RateLimitItemPerMinute(settings.login_failures_per_minute)
        self._account = RateLimitItemPerMinute(settings.login_failures_per_account_per_minute)
        self._address = RateLimitItemPerMinute(settings.login_failures_per_address_per_minute)

    async def require_within(self, student_number: str, address: str) -> None:
        """Raises Problem 429 when this account or this address has failed too often in the last minute."""
        for item, *names in self._limits(student_number, address):
            if await self._call("test", item, *names):
                continue
            if item is self._account and await self._is_known(student_number, address):
                continue
            metrics.LOGINS.labels("throttled").inc()
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_failed_logins",
                "Too many failed logins; wait a minute.",
                {"Retry-After": str(WINDOW_S)},
            )

    async def _is_known(self, student_number: str, address: str) -> bool:
        try:
            return bool(await self._client.exists(keys.known_address(student_number, address)))
        except RedisFailure:
            return False

    async def count_success(self, student_number: str, address: str) -> None:
        """Remember from where a student logs in."""
        with suppress(*RedisFailure):
            await self._client.set(keys.known_address(student_number, address), "", ex=ADDRESS_KNOWN_S)

    async def count_failure(self, student_number: str, address: str) -> None:
        """Remember one failed login."""
        for item, *names in self._limits(student_number, address):
            await self._call("hit", item, *names)

    def _limits(self, student_number: str, address: str) -> list[tuple[RateLimitItemPerMinute, str, str]]:
        account = sha256(student_number.encode()).hexdigest()[:32]
        return [
            (self._both, account, address),
            (self._account, "account", account),
            (self._address, "address", address),
        ]

    async def _call(self, method: str, item: RateLimitItemPerMinute, *names: str) -> bool:
        try:
            allowed: bool = await getattr(self._limiter, method)(item, *names)
        except RedisFailure as error:
            log.warning("login limits counted alone", problem=str(error)[:200])
            allowed = await getattr(self._limiter_alone, method)(item, *names)
        return allowed
