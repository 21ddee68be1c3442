"""The state of the whole system for one scrape: queues, workers, shards and parts, whichever process is asked."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from heapq import nlargest

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api.health import CHECK_TIMEOUT_S, postgresql_state, redis_state
from api.services import Services
from shared import metrics
from shared.course_queue import keys
from shared.course_queue.connection import RedisFailure
from shared.course_queue.pausing import is_paused
from shared.course_queue.survey import QueueState, WorkerState, memory_bytes, survey_queues, survey_workers
from shared.errors import DatabaseUnavailableError
from shared.store import ownership

# However many ask, and however often, the queues are read once in this time.
STATE_KEPT_S = 1.0
# What rq-exporter would list by name: hundreds of queues, other ones in every scrape.
ALL_QUEUES = "course-*"
OTHER_QUEUES = "other"


class StateMetrics(Collector):
    """Keeps the newest state; `refresh` before `collect`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._families: list[Metric] = []
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    def collect(self) -> Iterator[Metric]:
        """What the last refresh found."""
        yield from self._families

    async def refresh(self) -> None:
        """Read everything anew unless that has just been done. A part that is away leaves its metrics out."""
        async with self._lock:
            if time.monotonic() < self._fresh_until:
                return
            with metrics.SURVEY_TIME.labels("state").time():
                parts = await asyncio.gather(
                    self._ready(), *map(_optional, (self._paused, self._queues, self._workers, self._shards))
                )
            self._families = [family for families in parts for family in families]
            self._fresh_until = time.monotonic() + STATE_KEPT_S

    async def _ready(self) -> list[Metric]:
        redis, postgresql = await asyncio.gather(
            redis_state(self._services), postgresql_state(self._services)
        )
        states = {"redis": redis, "postgresql": postgresql}
        return [metrics.READY.family([([part], state == "ok") for part, state in states.items()])]

    async def _paused(self) -> list[Metric]:
        return [metrics.WORKERS_PAUSED.family([([], await is_paused(self._services.redis))])]

    async def _queues(self) -> list[Metric]:
        settings = self._services.settings
        states = await survey_queues(self._services.redis)
        memory = await memory_bytes(self._services.redis)
        longest = nlargest(
            settings.metrics_courses_max, states, key=lambda state: (state.waiting, state.oldest_s)
        )
        return [
            *_per_shard(states, settings.queue_shards),
            *self._per_course([state for state in longest if state.waiting]),
            metrics.RQ_JOBS.family(_jobs(states, longest)),
            metrics.REDIS_MEMORY.family([([kind], size) for kind, size in memory.items()]),
        ]

    def _per_course(self, states: Iterable[QueueState]) -> list[Metric]:
        named = [
            ([self._services.catalogue.title(state.course_id), state.course_id], state) for state in states
        ]
        return [
            metrics.COURSE_WAITING.family((labels, state.waiting) for labels, state in named),
            metrics.COURSE_OLDEST.family((labels, state.oldest_s) for labels, state in named),
        ]

    async def _workers(self) -> list[Metric]:
        return _per_worker(await survey_workers(self._services.redis))

    async def _shards(self) -> list[Metric]:
        owners = await self._services.database.read(ownership.shard_owners)
        shards: dict[str, int] = defaultdict(int)
        for worker, _pid in owners.values():
            shards[worker] += 1
        numbers = range(self._services.settings.queue_shards)
        return [
            metrics.SHARD_OWNED.family(([str(shard)], shard in owners) for shard in numbers),
            metrics.WORKER_SHARDS.family(([worker], count) for worker, count in shards.items()),
        ]


async def _optional(read: Callable[[], Awaitable[list[Metric]]]) -> list[Metric]:
    try:
        return await asyncio.wait_for(read(), CHECK_TIMEOUT_S)
    except (DatabaseUnavailableError, TimeoutError, *RedisFailure):
        return []


def _per_shard(states: Iterable[QueueState], shards: int) -> list[Metric]:
    waiting, oldest_s = [0] * shards, [0.0] * shards
    for state in states:
        shard = keys.shard_of(state.course_id, shards)
        waiting[shard] += state.waiting
        oldest_s[shard] = max(oldest_s[shard], state.oldest_s)
    return [
        metrics.SHARD_WAITING.family(([str(shard)], count) for shard, count in enumerate(waiting)),
        metrics.SHARD_OLDEST.family(([str(shard)], age_s) for shard, age_s in enumerate(oldest_s)),
    ]


def _jobs(states: Iterable[QueueState], longest: Iterable[QueueState]) -> Iterator[tuple[list[str], float]]:
    """RQ's view of the queues: the longest by name, the others as one."""
    named = {state.course_id: keys.queue_name(state.course_id) for state in longest if state.waiting}
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for state in states:
        queue = named.get(state.course_id, OTHER_QUEUES)
        counts[queue, "queued"] += state.waiting
        counts[queue, "finished"] += state.finished
        counts[queue, "failed"] += state.failed
    for (queue, status), count in counts.items():
        yield [queue, status], count


def _per_worker(workers: Iterable[WorkerState]) -> list[Metric]:
    known = [([worker.name, ALL_QUEUES], worker) for worker in workers]
    return [
        metrics.RQ_WORKERS.family(([worker.name, worker.state, ALL_QUEUES], 1) for _, worker in known),
        metrics.RQ_SUCCEEDED.family((labels, worker.succeeded) for labels, worker in known),
        metrics.RQ_FAILED.family((labels, worker.failed) for labels, worker in known),
        metrics.RQ_WORKING_TIME.family((labels, worker.working_s) for labels, worker in known),
    ]
