"""A worker started before Redis is there, or while it loads its file, waits for it; one that could lose requests it refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from scripts.local_servers import LocalValkey, free_port
from tests.e2e.campus import Student
from tests.e2e.program import Program
from tests.e2e.stack import SHARDS, Stack
from tests.e2e.waiting import wait_until

KEYS = 4_000
# Valkey sleeps so many microseconds for every key it loads, and answers "LOADING" in between: for three seconds in all.
SLOW_LOADING = {"key-load-delay": "750", "loading-process-events-interval-bytes": "1024"}


@pytest.fixture
def workerless(stack: Stack) -> Stack:
    """The system without its worker."""
    stack.stop_workers()
    return stack


@pytest.fixture
def another_valkey(tmp_path: Path) -> Iterator[LocalValkey]:
    """A second Valkey, with data that take seconds to load; it does not run yet."""
    with LocalValkey(tmp_path / "valkey", free_port()) as server, redis.Redis.from_url(server.url) as client:
        client.mset({f"key-{number}": "" for number in range(KEYS)})
        client.bgrewriteaof()
        wait_until(lambda: not is_rewriting(client), "the keys are in the file one by one")
    slow = LocalValkey(tmp_path / "valkey", free_port(), settings=SLOW_LOADING)
    yield slow
    slow.kill()


def is_rewriting(client: redis.Redis) -> bool:
    """Whether the file is still being written anew."""
    found = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])


def logged(worker: Program, words: str) -> bool:
    """Whether a worker that must run has written these words."""
    assert worker.running, worker.log()
    return words in worker.log_path.read_text(encoding="utf-8")


def test_a_worker_started_before_redis_begins_to_work_when_it_comes(
    workerless: Stack, student: Student, course_id: str
) -> None:
    """The same process, seen by RQ with its address, and what had been accepted is applied."""
    waiting = student.register(course_id)
    workerless.valkey.kill()
    worker = workerless.launch(["worker"])
    try:
        wait_until(lambda: logged(worker, "trying again"), "it misses Redis")
        assert workerless.shards_owned_by() == {}
        workerless.valkey.start()
        wait_until(lambda: workerless.shards_owned_by() == {worker.pid: SHARDS}, "it owns every shard")
        assert student.outcome(waiting)["result"] == "ENROLLED"
        with workerless.redis() as client:
            addresses = [client.hget(key, "ip_address") for key in client.keys(f"rq:worker:*.{worker.pid}.*")]
        assert [address.startswith(b"127.0.0.1:") for address in addresses] == [True]
        assert worker.stop() == 0, worker.log()
    finally:
        worker.kill()


def test_a_worker_started_while_redis_loads_its_file_waits_for_it(
    workerless: Stack, another_valkey: LocalValkey
) -> None:
    """Redis answers LOADING to nearly everything until it is through."""
    worker = workerless.launch(["worker"], REDIS_URL=another_valkey.url)
    try:
        wait_until(lambda: logged(worker, "trying again"), "it misses Redis")
        # Returns when everything is loaded.
        another_valkey.start()
        assert logged(worker, "loading the dataset")
        wait_until(lambda: workerless.shards_owned_by() == {worker.pid: SHARDS}, "it owns every shard")
        assert worker.stop() == 0, worker.log()
    finally:
        worker.kill()


@pytest.mark.parametrize("arguments", [["worker"], ["worker", "--processes", "2"]], ids=["one", "two"])
def test_a_worker_that_waits_for_redis_can_be_stopped(workerless: Stack, arguments: list[str]) -> None:
    """SIGTERM ends it in good order before it has ever seen Redis."""
    workerless.valkey.kill()
    worker = workerless.launch(arguments)
    try:
        wait_until(lambda: logged(worker, "trying again"), "it misses Redis")
        assert worker.stop() == 0, worker.log()
    finally:
        worker.kill()


def test_a_worker_refuses_a_redis_that_could_lose_requests(workerless: Stack) -> None:
    """It ends at once and says which setting is wrong."""
    with workerless.redis() as client:
        client.config_set("appendfsync", "everysec")
    try:
        worker = workerless.launch(["worker"])
        assert worker.wait() == 1
        assert "appendfsync is everysec, must be always" in worker.log()
    finally:
        with workerless.redis() as client:
            client.config_set("appendfsync", "always")
