"""Checking passwords without letting a login storm, or an attacker, take the machine."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from http import HTTPStatus
from typing import TypeVar

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

Answer = TypeVar("Answer")
BUSY_RETRY_AFTER_S = 2
WINDOW_S = 60
PRIORITY_LOWEST = 19
ADDRESS_KNOWN_S = 30 * 24 * 3600


def _give_way() -> None:
    """Let this thread have the processor only when nobody else wants it: accepting must not wait for hashing."""
    if sys.platform == "linux":
        # Elsewhere a priority is the whole process's.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY_LOWEST)


class HashingPool:
    """A few threads for bcrypt, and a bounded queue before them."""

    def __init__(self, settings: Settings) -> None:
        self._threads = ThreadPoolExecutor(
            settings.login_threads, thread_name_prefix="bcrypt", initializer=_give_way
        )
        self._limit = settings.login_queue_limit
        self._thread_count = settings.login_threads
        self._waiting = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """One login's place in the queue. Taken before anything else, so that a storm costs nothing but the refusal.

        Raises Problem 503 when too many have one.
        """
        self.require_room()
        self._count_waiting(+1)
        try:
            yield
        finally:
            self._count_waiting(-1)

    def require_room(self) -> None:
        """Raises Problem 503 when too many have a place."""
        if self._waiting >= self._limit:
            metrics.LOGINS.labels("busy").inc()
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "login_busy",
                "Too many logins at this moment.",
                {"Retry-After": str(BUSY_RETRY_AFTER_S)},
            )

    def _count_waiting(self, change: int) -> None:
        self._waiting += change
        hashing = min(self._waiting, self._thread_count)
        metrics.LOGINS_HASHING.labels("bcrypt").set(hashing)
        metrics.LOGINS_WAITING.labels("bcrypt").set(self._waiting - hashing)

    async def run(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """Call a function of `shared.security` off the event loop, in turn."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def close(self) -> None:
        """Let the hashing in hand end and take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


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
