"""Hearing of SIGTERM before the server does: it would let a client that waits for its outcome hold up the stop."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told_to_stop(callback: Callable[[], None]) -> Iterator[None]:
    """While the block runs, call back on the event loop at a signal to stop; the server's own handler follows."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        servers_own = previous[signal.Signals(number)]
        if callable(servers_own):
            servers_own(number, frame)

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
