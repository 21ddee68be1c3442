"""What the routes work with: built once per process, handed to each request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis.asyncio
import structlog

from api.budgets import SubmissionBudget
from api.cached_pages import CachedPages
from api.catalogue import Catalogue
from api.database import Database
from api.hashing import HashingPool
from api.hub import OutcomeHub
from api.logins import FailureLimits
from shared.course_queue.accepting import Acceptor
from shared.course_queue.connection import async_client, verify_durability
from shared.course_queue.shards import claim_shards
from shared.errors import QueueShardsError, UnsafeRedisError
from shared.garbage import spare_startup_objects
from shared.security import TokenVerifier
from shared.settings import Settings
from shared.tracing import tracer_of

log = structlog.get_logger()

RESTART_PAUSE_S = 0.5
CANCEL_AGAIN_S = 0.1
CANCELLATIONS_MAX = 50


@dataclass(slots=True)
class Services:
    """One process's connections, caches and background tasks."""

    settings: Settings
    database: Database
    redis: redis.asyncio.Redis
    acceptor: Acceptor
    hub: OutcomeHub
    catalogue: Catalogue
    tokens: TokenVerifier
    hashing: HashingPool
    login_limits: FailureLimits
    pages: CachedPages
    budget: SubmissionBudget

    def stop_waiting(self) -> None:
        """Let no client wait any longer: the process is about to end, and they can go on elsewhere."""
        self.hub.close()
        self.hashing.turn_away()


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncIterator[Services]:
    """Connect, verify that Redis is fit for it, run the background tasks, and close it all at the end.

    Raises UnsafeRedisError, QueueShardsError, or redis.RedisError when Redis is not there at start.
    """
    client = async_client(settings)
    await _require_fit_redis(client, settings)
    database = Database(settings)
    tracer = tracer_of(settings, "registration-api")
    services = Services(
        settings,
        database,
        client,
        Acceptor(client, settings, tracer),
        OutcomeHub(client),
        Catalogue(database, settings),
        TokenVerifier(settings),
        HashingPool(settings),
        FailureLimits(settings, client),
        CachedPages(settings),
        SubmissionBudget(settings.student_submissions_per_minute),
    )
    await database.open()
    tasks = [
        asyncio.create_task(_keep_running(background.run))
        for background in (services.acceptor, services.hub, services.catalogue)
    ]
    spare_startup_objects()
    try:
        yield services
    finally:
        await _end(tasks)
        await services.hashing.close()
        await client.aclose()
        await database.close()
        if tracer is not None:
            tracer.close()


async def _require_fit_redis(client: redis.asyncio.Redis, settings: Settings) -> None:
    """Redis keeps what it acknowledges, and its system has as many shards as we. Raises as `running_services`."""
    try:
        await verify_durability(client, settings)
        await claim_shards(client, settings)
    except (UnsafeRedisError, QueueShardsError) as error:
        # The server will show the traceback only.
        log.critical("the API cannot start", problem=str(error))
        raise


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks until they have ended: redis-py can lose a cancellation that comes while it connects."""
    for _ in range(CANCELLATIONS_MAX):
        for task in tasks:
            task.cancel()
        _, running = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)
        if not running:
            return


async def _keep_running(run: Callable[[], Awaitable[None]]) -> None:
    """Run a background task again whenever it fails: Redis was away, or a message was not ours."""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - the process lives on, so must its tasks
            log.warning("background task starts again", task=run.__qualname__, problem=str(error)[:200])
            await asyncio.sleep(RESTART_PAUSE_S)
