"""Hashing passwords in processes of their own, with a bounded queue before them.

A thread would share the interpreter with the event loop, which would have to wait for it; and since it gives way to all
others on the machine, it would let the event loop wait long.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TypeVar

import structlog

from api.problems import Problem
from shared import metrics
from shared.settings import Settings

log = structlog.get_logger()

Answer = TypeVar("Answer")
BUSY_RETRY_AFTER_S = 2
LAST_HASHES_LIMIT_S = 2.0
CLOSE_LIMIT_S = 2.0
PRIORITY_LOWEST = 19


def busy() -> Problem:
    """What a login is answered for which there is no room."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "login_busy",
        "Too many logins at this moment.",
        {"Retry-After": str(BUSY_RETRY_AFTER_S)},
    )


class HashingPool:
    """A few processes for bcrypt, and a bounded queue before them."""

    def __init__(self, settings: Settings) -> None:
        self._process_count = settings.login_processes
        self._limit = settings.login_queue_limit
        self._let_in = 0
        self._waiting = 0
        self._closing = False
        # While one password is hashed, the next login may look up what it needs.
        self._turns = asyncio.Semaphore(self._process_count + 1)
        self._processes = self._started()

    def _started(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            self._process_count, multiprocessing.get_context("spawn"), initializer=_begin
        )
        # The first login shall not wait for them to start.
        for _ in range(self._process_count):
            pool.submit(os.getpid)
        return pool

    def let_in(self) -> bool:
        """Whether there is room for one more login that has just arrived; if so, `let_out` must follow when it ends.

        Those let in are counted here, for many arrive before the first of them gets as far as `place`.
        """
        if self._let_in >= self._limit:
            return False
        self._let_in += 1
        return True

    def let_out(self) -> None:
        """A login that was let in has ended."""
        self._let_in -= 1

    def count_refused(self) -> None:
        """A login has been refused, for want of room."""
        metrics.LOGINS.labels("busy").inc()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One login's place in the queue. Taken before anything else, so that those who wait cost nothing meanwhile.

        Raises Problem 503 when too many have one.
        """
        if self._waiting >= self._limit:
            self.count_refused()
            raise busy()
        self._count_waiting(+1)
        try:
            async with self._turns:
                if self._closing:
                    self.count_refused()
                    raise busy()
                yield
        finally:
            self._count_waiting(-1)

    def _count_waiting(self, change: int) -> None:
        self._waiting += change
        hashing = min(self._waiting, self._process_count)
        metrics.LOGINS_HASHING.labels("bcrypt").set(hashing)
        metrics.LOGINS_WAITING.labels("bcrypt").set(self._waiting - hashing)

    async def run(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """Call a function of `shared.security` in one of the processes, in turn; once more when that was killed.

        Raises Problem 503 when they were killed because this process ends.
        """
        processes = self._processes
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(processes, function, *arguments)
        except BrokenProcessPool:
            if self._closing:
                raise busy() from None
            self._replace(processes)
            return await loop.run_in_executor(self._processes, function, *arguments)

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        """A pool that has lost a process is lost as a whole; whoever notices it first starts another one."""
        if self._processes is broken:
            log.warning("hashing processes start again")
            self._processes = self._started()

    def turn_away(self) -> None:
        """Refuse those who wait, and whoever comes: the process is about to end, and they can log in elsewhere."""
        self._closing = True
        for _ in range(self._waiting):
            self._turns.release()
        # On a machine that is busy, what is being hashed may take longer than stopping may.
        asyncio.get_running_loop().call_later(LAST_HASHES_LIMIT_S, _kill_processes)

    async def close(self) -> None:
        """End the processes, whatever they have in hand: nobody waits for it any more."""
        _kill_processes()
        ended = asyncio.to_thread(self._processes.shutdown, cancel_futures=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(ended, CLOSE_LIMIT_S)


def _kill_processes() -> None:
    for process in multiprocessing.active_children():
        process.kill()


def _begin() -> None:
    """In a new process: have the processor when nobody else wants it, leave stopping to the parent, and end with it."""
    if sys.platform == "linux":
        # The lowest priority would not do: such a process is still left on the processor for some milliseconds.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY_LOWEST)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(0)
