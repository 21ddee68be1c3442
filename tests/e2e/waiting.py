"""Waiting on a condition with a limit, instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

LOOK_PAUSE_S = 0.01


def wait_until(condition: Callable[[], Answer], what: str, limit_s: float = 15.0) -> Answer:
    """The condition's first true answer. Fails, saying what was waited for, after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            message = f"not within {limit_s:g} s: {what} (last answer: {answer!r})"
            raise AssertionError(message)
        time.sleep(LOOK_PAUSE_S)
