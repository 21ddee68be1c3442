"""Filling queues without the API, and emptying them with a worker."""

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

from bench.contestants import LOOK_PAUSE_S, started
from bench.ground import Ground
from scripts.processes import Child
from scripts.server_process import ServerError
from shared.course_queue.accepting import Acceptor, Asked
from shared.course_queue.connection import async_client
from shared.rules import Operation
from shared.settings import Settings

DRAIN_LIMIT_S = 120.0
AT_ONCE = 2_000
NO_LIMIT = "1000000"

WAITING = "SELECT sum(applied_count)::bigint FROM courses WHERE id = ANY(CAST(:course_ids AS uuid[]))"


def fill(ground: Ground, pairs: Sequence[tuple[str, str]], *, keyed: bool = False) -> None:
    """Put a registration per (student id, course id) into the courses' queues, by the product's own acceptor.

    `keyed`: each with an Idempotency-Key of its own, as good clients send.
    """
    settings = ground.settings.model_copy(update={"queue_limit": int(NO_LIMIT)})
    asyncio.run(_accept_all(settings, pairs, keyed=keyed))


async def _accept_all(settings: Settings, pairs: Sequence[tuple[str, str]], *, keyed: bool) -> None:
    client = async_client(settings)
    acceptor = Acceptor(client, settings)
    running = asyncio.create_task(acceptor.run())
    try:
        for start in range(0, len(pairs), AT_ONCE):
            asked = [
                Asked(
                    str(uuid4()),
                    student_id,
                    course_id,
                    "Bench",
                    Operation.REGISTER,
                    str(uuid4()) if keyed else None,
                )
                for student_id, course_id in pairs[start : start + AT_ONCE]
            ]
            await asyncio.gather(*(acceptor.accept(one) for one in asked))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.aclose()


def applied_count(ground: Ground, course_ids: Sequence[str]) -> int:
    """How many requests of these courses have been applied."""
    [[count]] = ground.rows(WAITING, course_ids=list(course_ids))
    return int(count)


def drain(ground: Ground, course_ids: Sequence[str], expected: int) -> None:
    """Run a worker until it has applied all that wait. Raises ServerError when that takes too long."""
    with started(ground, "worker", ["worker"]) as worker:
        wait_until_applied(ground, course_ids, expected, worker)


def wait_until_applied(ground: Ground, course_ids: Sequence[str], expected: int, worker: Child) -> None:
    """Wait until so many requests are applied. Raises ServerError when the worker ends or it takes too long."""
    deadline = time.monotonic() + DRAIN_LIMIT_S
    while (applied := applied_count(ground, course_ids)) < expected:
        if time.monotonic() > deadline or worker.died:
            message = f"{applied} of {expected} requests applied:\n{worker.log_end}"
            raise ServerError(message)
        time.sleep(LOOK_PAUSE_S)
