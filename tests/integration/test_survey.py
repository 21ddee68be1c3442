"""The survey of all queues sees what waits and since when, and changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import redis

from shared.course_queue import keys
from shared.course_queue.connection import async_client
from shared.course_queue.survey import (
    QUEUES_PER_STEP,
    QueueState,
    memory_bytes,
    survey_queues,
    survey_workers,
)
from shared.settings import Settings
from tests.integration.course_queue import CourseQueueOnRedis

Answer = TypeVar("Answer")


def asked(settings: Settings, read: Callable[[redis.asyncio.Redis], Awaitable[Answer]]) -> Answer:
    """What one of the surveys answers."""

    async def run() -> Answer:
        client = async_client(settings)
        try:
            return await read(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def queue_states(settings: Settings) -> dict[str, QueueState]:
    """Course -> state of its queue."""
    return {state.course_id: state for state in asked(settings, survey_queues)}


def test_what_waits_is_counted_and_the_first_one_timed(
    course_queue: CourseQueueOnRedis, settings: Settings
) -> None:
    """Three wait; then two, with one finished; the age is that of the head, by Redis' own clock."""
    course_queue.accepted_from_new_students(3)
    before = queue_states(settings)[course_queue.course_id]
    assert (before.waiting, before.finished, before.failed) == (3, 0, 0)
    assert 0 < before.oldest_s < 10
    course_queue.finish(course_queue.head(1))
    after = queue_states(settings)[course_queue.course_id]
    assert (after.waiting, after.finished, after.failed) == (2, 1, 0)


def test_an_empty_queue_has_no_age(course_queue: CourseQueueOnRedis, settings: Settings) -> None:
    """Nothing waits, so nothing is old."""
    course_queue.accepted()
    course_queue.finish(course_queue.head())
    assert queue_states(settings)[course_queue.course_id] == QueueState(course_queue.course_id, 0, 0.0, 1, 0)


def test_a_survey_changes_nothing(course_queue: CourseQueueOnRedis, settings: Settings) -> None:
    """Every key is as before."""
    course_queue.accepted_from_new_students(2)
    before = course_queue.everything()
    asked(settings, survey_queues)
    assert course_queue.everything() == before


def test_what_is_no_queue_or_no_job_counts_as_nothing(
    course_queue: CourseQueueOnRedis, settings: Settings
) -> None:
    """Keys of the wrong type, a head without a payload and a queue that is not ours do not stop the survey."""
    client = course_queue.client
    wrong, headless, strange = str(uuid4()), str(uuid4()), "rq:queue:emails"
    client.set(keys.queue(wrong), "no list")
    client.set(f"rq:failed:course-{wrong}", "no set")
    client.rpush(keys.queue(headless), "nothing behind it")
    client.sadd(keys.QUEUES, keys.queue(wrong), keys.queue(headless), strange, "")
    course_queue.accepted()
    states = queue_states(settings)
    assert states.keys() == {wrong, headless, course_queue.course_id}
    assert states[wrong] == QueueState(wrong, 0, 0.0, 0, 0)
    assert states[headless] == QueueState(headless, 1, 0.0, 0, 0)


def test_more_queues_than_one_step_takes_are_all_seen(
    course_queue: CourseQueueOnRedis, settings: Settings
) -> None:
    """Each of them once."""
    courses = {str(uuid4()) for _ in range(2 * QUEUES_PER_STEP + 1)}
    course_queue.client.sadd(keys.QUEUES, *map(keys.queue, courses))
    assert queue_states(settings).keys() == courses


def test_a_worker_without_heartbeat_is_not_shown(
    course_queue: CourseQueueOnRedis, settings: Settings
) -> None:
    """RQ's set of workers keeps the dead; their hash has expired."""
    client = course_queue.client
    client.sadd("rq:workers", "rq:worker:dead", "rq:worker:alive")
    client.hset(
        "rq:worker:alive", mapping={"state": "busy", "successful_job_count": "7", "failed_job_count": "1"}
    )
    (worker,) = asked(settings, survey_workers)
    assert (worker.name, worker.state, worker.succeeded, worker.failed) == ("alive", "busy", 7, 1)


def test_memory_is_told_with_its_limit(redis_client: redis.Redis, settings: Settings) -> None:
    """Zero would mean that there is none."""
    assert redis_client.ping()
    memory = asked(settings, memory_bytes)
    assert 0 < memory["used"] < memory["max"]
