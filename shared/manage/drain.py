"""`manage drain`: wait until every queue is empty."""

import time
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared.course_queue.inspection import ready_queues
from shared.course_queue.pausing import paused_since
from shared.manage.parts import EXIT_NOT_AS_WISHED, Parts, running_system, tell_wrong_keys
from shared.manage.terminal import console, say, tell_problem

LOOK_PAUSE_S = 0.2


def drain(
    timeout: Annotated[float, typer.Option(min=0, help="Give up after this many seconds.")] = 300.0,
) -> None:
    """Wait until nothing waits in any queue; changes nothing.

    As long as the API accepts, more may come: stop it first, or wait for the window's end. Exit code 1 if something still
    waits after --timeout, or at once if the workers are paused; and if an overwritten key hides what waits.
    """
    with running_system() as parts:
        left, wrong = _wait(parts, timeout)
        tell_wrong_keys(wrong)
        if left:
            tell_problem(f"{left} requests still wait")
        if left or wrong:
            raise typer.Exit(EXIT_NOT_AS_WISHED)
        say("Nothing waits.", style="green")


def _wait(parts: Parts, timeout_s: float) -> tuple[int, list[str]]:
    """How many requests are left in the end, and which keys are overwritten."""
    deadline = time.monotonic() + timeout_s
    left, wrong = _waiting(parts)
    most = left
    with _progress() as progress:
        task = progress.add_task("draining", total=most)
        while left and time.monotonic() < deadline:
            if paused_since(parts.redis):
                tell_problem("The workers are paused: python -m shared.manage resume")
                return left, wrong
            time.sleep(LOOK_PAUSE_S)
            left, wrong = _waiting(parts)
            most = max(most, left)
            progress.update(task, total=most, completed=most - left)
    return left, wrong


def _waiting(parts: Parts) -> tuple[int, list[str]]:
    queues, wrong = ready_queues(parts.redis)
    return sum(queue.waiting for queue in queues), wrong


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
