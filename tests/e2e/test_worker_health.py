"""The worker's health check: it says "works", and asks for a restart only when that could help."""

import os
import signal

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
