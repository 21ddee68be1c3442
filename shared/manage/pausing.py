"""`manage pause` and `manage resume`: workers stop applying, while the API goes on accepting."""

import time
from typing import Annotated

import typer

from shared.course_queue import pausing
from shared.course_queue.roll_call import ListedWorker, listed_workers
from shared.manage.parts import EXIT_NOT_AS_WISHED, Parts, running_system
from shared.manage.terminal import say, tell_problem

SUSPENDED = "suspended"
LOOK_PAUSE_S = 0.1

Timeout = Annotated[
    float, typer.Option(min=0, max=600, help="Seconds to wait until every worker says so; 0 does not wait.")
]


def pause(timeout: Timeout = 15.0) -> None:
    """Let the workers end the rounds in hand and apply nothing more; the API goes on accepting.

    They keep their shards. Readiness says `degraded` and names it. It lasts until `resume`, restarts included.
    Exit code 1 if a worker has not said in time that it stopped; a dead one leaves RQ's list within ten seconds.
    """
    with running_system() as parts:
        changed = pausing.pause(parts.redis)
        say("Paused." if changed else f"Already paused since {pausing.paused_since(parts.redis)}.")
        _wait_for_workers(parts, timeout, paused=True)


def resume(timeout: Timeout = 15.0) -> None:
    """Let the workers go on. Exit code 1 if a worker has not said in time that it did."""
    with running_system() as parts:
        say("Resumed." if pausing.resume(parts.redis) else "Nothing was paused.")
        _wait_for_workers(parts, timeout, paused=False)


def _wait_for_workers(parts: Parts, timeout_s: float, *, paused: bool) -> None:
    deadline = time.monotonic() + timeout_s
    while (others := _otherwise(parts, paused=paused)) and time.monotonic() < deadline:
        time.sleep(LOOK_PAUSE_S)
    for worker in others if timeout_s else []:
        tell_problem(f"{worker.name} is still {worker.state}")
    if others and timeout_s:
        raise typer.Exit(EXIT_NOT_AS_WISHED)


def _otherwise(parts: Parts, *, paused: bool) -> list[ListedWorker]:
    """The workers that have not followed yet."""
    return [worker for worker in listed_workers(parts.redis) if (worker.state == SUSPENDED) != paused]
