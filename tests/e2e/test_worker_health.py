"""The worker's health check: it says "works", and asks for a restart only when that could help."""

import os
import signal

import pytest

from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

GONE_LIMIT_S = 20


def exit_code(stack: Stack, *options: str) -> int:
    """What a container's health check would get."""
    return stack.launch(["worker.health", *options]).wait()


def test_a_worker_at_work_is_healthy(stack: Stack) -> None:
    """In both senses."""
    wait_until(lambda: exit_code(stack) == 0, "the worker has sent a heartbeat")
    assert exit_code(stack, "--live") == 0


def test_a_frozen_worker_is_unhealthy_and_worth_a_restart(stack: Stack) -> None:
    """Its heartbeat expires while its servers are well."""
    [pid] = stack.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: exit_code(stack) == 1, "the heartbeat expires", GONE_LIMIT_S)
        assert exit_code(stack, "--live") == 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_outage_is_no_reason_to_restart_a_worker(stack: Stack) -> None:
    """Without Redis or PostgreSQL it is not healthy, and a restart would not mend that."""
    stack.postgres.stop()
    wait_until(lambda: exit_code(stack) == 1, "the heartbeat expires", GONE_LIMIT_S)
    assert exit_code(stack, "--live") == 0
    stack.valkey.stop()
    assert exit_code(stack) == 1
    assert exit_code(stack, "--live") == 0


def told_of(stack: Stack, key: str) -> bool:
    """Whether the workers' log says that somebody overwrote this key."""
    lines = stack.workers.log().splitlines()
    return any("a key in Redis was overwritten" in line and key in line for line in lines)


@pytest.mark.parametrize("key", ["rq:workers", "rq:queues"])
def test_a_worker_is_alive_though_somebody_overwrote_what_rq_lists(key: str, stack: Stack) -> None:
    """A restart would not mend the key, and would be repeated for ever; the log names it, and top shows who works."""
    wait_until(lambda: exit_code(stack) == 0, "the worker has sent a heartbeat")
    tried_again = stack.workers.log().count("trying again")
    with stack.redis() as client:
        mine = f".{stack.worker_pids()[0]}.".encode()
        [worker] = [name for name in client.smembers("rq:workers") if mine in name]
        client.delete(key)
        client.set(key, "overwritten")
        seen = client.hget(worker, "last_heartbeat")
        wait_until(lambda: client.hget(worker, "last_heartbeat") not in (None, seen), "another heartbeat")
        assert exit_code(stack, "--live") == 0
        wait_until(lambda: told_of(stack, key), "the log names the key")
        assert stack.workers.log().count("trying again") == tried_again
        top = stack.launch(["shared.manage", "top", "--once"])
        assert top.wait() == 0
        assert worker.decode().removeprefix("rq:worker:") in top.log()
        client.delete(key)
        wait_until(lambda: worker in client.smembers("rq:workers"), "the worker is listed again")
