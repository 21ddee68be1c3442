"""All processes go by one number of shards: it is agreed upon in Redis, and changed only when that strands nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from shared.course_queue import keys
from shared.course_queue.connection import async_client
from shared.course_queue.inspection import ready_queues
from shared.course_queue.shards import agreed_shards, claim_shards, claim_shards_now
from shared.errors import QueueShardsError
from shared.settings import SHARDS_MAX, Settings
from tests.integration.course_queue import CourseQueueOnRedis

OTHER = 7

Claim = Callable[[redis.Redis, Settings, int], None]


def claim_as_worker(client: redis.Redis, settings: Settings, shards: int) -> None:
    """A worker starts with so many shards."""
    claim_shards_now(client, settings.model_copy(update={"queue_shards": shards}))


def claim_as_api(_client: redis.Redis, settings: Settings, shards: int) -> None:
    """An API process does."""

    async def claim() -> None:
        async with async_client(settings) as client:
            await claim_shards(client, settings.model_copy(update={"queue_shards": shards}))

    asyncio.run(claim())


both_ways = pytest.mark.parametrize("claim", [claim_as_worker, claim_as_api], ids=["worker", "api"])


@both_ways
@pytest.mark.parametrize("left_behind", [None, b"", b"many"])
def test_the_first_to_start_says_how_many_shards_there_are(
    redis_client: redis.Redis, settings: Settings, claim: Claim, left_behind: bytes | None
) -> None:
    """On a Redis that is new, or has lost everything; what is no number counts as none."""
    if left_behind is not None:
        redis_client.set(keys.SHARDS, left_behind)
    assert agreed_shards(redis_client) is None
    claim(redis_client, settings, OTHER)
    assert agreed_shards(redis_client) == OTHER


@both_ways
def test_the_same_number_is_taken_whatever_waits_and_without_a_write(
    redis_client: redis.Redis, settings: Settings, course_queue: CourseQueueOnRedis, claim: Claim
) -> None:
    """A Redis that takes no writes keeps nobody from starting again."""
    claim(redis_client, settings, settings.queue_shards)
    course_queue.accept()
    redis_client.config_set("min-replicas-to-write", 1)
    try:
        claim(redis_client, settings, settings.queue_shards)
    finally:
        redis_client.config_set("min-replicas-to-write", 0)


@both_ways
def test_another_number_is_refused_while_a_request_waits(
    redis_client: redis.Redis, settings: Settings, course_queue: CourseQueueOnRedis, claim: Claim
) -> None:
    """Or no worker would ever look where it is announced. Both numbers are named, and where to read on."""
    claim(redis_client, settings, settings.queue_shards)
    course_queue.accept()
    with pytest.raises(QueueShardsError) as refused:
        claim(redis_client, settings, OTHER)
    told = str(refused.value)
    assert "QUEUE_SHARDS is 7, but the system runs with 64 shards: 1 courses have requests waiting" in told
    assert "docs/runbooks/rolling-upgrade.md" in told
    assert agreed_shards(redis_client) == settings.queue_shards


@both_ways
def test_another_number_is_taken_once_nothing_waits(
    redis_client: redis.Redis, settings: Settings, course_queue: CourseQueueOnRedis, claim: Claim
) -> None:
    """A course that is still called ready although its queue is gone does not count."""
    claim(redis_client, settings, settings.queue_shards)
    course_queue.accept()
    redis_client.delete(keys.queue(course_queue.course_id))
    claim(redis_client, settings, OTHER)
    assert agreed_shards(redis_client) == OTHER


def run_an_api(client: redis.Redis) -> Any:
    """Listen as one does."""
    pubsub = client.pubsub()
    pubsub.subscribe(keys.OUTCOMES_CHANNEL)
    return pubsub


def run_a_worker(client: redis.Redis) -> None:
    """Be on the list as one is."""
    key = f"{keys.WORKER_PREFIX}host.1.abc"
    client.hset(key, "birth", "now")
    client.sadd(keys.WORKERS, key)


@both_ways
@pytest.mark.parametrize("run", [run_an_api, run_a_worker], ids=["api runs", "worker runs"])
def test_another_number_is_refused_while_somebody_goes_by_the_old_one(
    redis_client: redis.Redis, settings: Settings, claim: Claim, run: Callable[[redis.Redis], Any]
) -> None:
    """Nothing may wait now, but what such an API accepts next nobody would find."""
    claim(redis_client, settings, settings.queue_shards)
    running = run(redis_client)
    with pytest.raises(QueueShardsError, match="and 1 processes of it are running"):
        claim(redis_client, settings, OTHER)
    if running is not None:
        running.close()


@both_ways
def test_a_worker_that_died_keeps_nobody_from_changing_the_number(
    redis_client: redis.Redis, settings: Settings, claim: Claim
) -> None:
    """What is left of it is a name on the list."""
    claim(redis_client, settings, settings.queue_shards)
    run_a_worker(redis_client)
    redis_client.delete(f"{keys.WORKER_PREFIX}host.1.abc")
    claim(redis_client, settings, OTHER)
    assert agreed_shards(redis_client) == OTHER


@both_ways
def test_a_full_redis_still_takes_a_number(
    redis_client: redis.Redis, settings: Settings, claim: Claim
) -> None:
    """It needs workers to free memory."""
    limit = redis_client.config_get("maxmemory")["maxmemory"]
    redis_client.config_set("maxmemory", 1)
    try:
        claim(redis_client, settings, OTHER)
    finally:
        redis_client.config_set("maxmemory", limit)
    assert agreed_shards(redis_client) == OTHER


@pytest.mark.parametrize("shard", [0, 63, SHARDS_MAX - 1])
def test_what_waits_is_seen_in_whatever_shard_it_was_announced(
    redis_client: redis.Redis, course_queue: CourseQueueOnRedis, shard: int
) -> None:
    """An operator must not be told that nothing waits because of a setting."""
    course_queue.accept()
    redis_client.smove(keys.ready(course_queue.shard), keys.ready(shard), course_queue.course_id)
    queues, wrong = ready_queues(redis_client)
    assert ([queue.course_id for queue in queues], wrong) == ([course_queue.course_id], [])
