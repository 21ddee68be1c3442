"""Waking those who wait: one subscription per process hears every outcome and hands it to whoever waits for it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio

from shared.course_queue import keys

LISTEN_TIMEOUT_S = 1.0
WOKEN_PER_TURN = 16

Outcome = dict[str, Any]
Waiter = asyncio.Future[Outcome | None]
"""Completes with the outcome, or with None: look again, something may have been missed."""


class OutcomeHub:
    """Messages are hints and may be lost; whoever waits looks up the request itself as well."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._waiters: dict[str, list[Waiter]] = {}
        self.closing = False

    def close(self) -> None:
        """Let nobody wait any longer: the process is about to end, and clients can go on waiting elsewhere."""
        self.closing = True
        self._wake_all()

    @contextmanager
    def waiting(self, request_id: str) -> Iterator[Waiter]:
        """A future for one request's outcome, for as long as the block runs."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(request_id, []).append(waiter)
        if self.closing:
            _complete(waiter, None)
        try:
            yield waiter
        finally:
            self._forget(request_id, waiter)

    def _forget(self, request_id: str, waiter: Waiter) -> None:
        remaining = [other for other in self._waiters.get(request_id, []) if other is not waiter]
        if remaining:
            self._waiters[request_id] = remaining
        else:
            self._waiters.pop(request_id, None)

    async def run(self) -> None:
        """Listen until cancelled. Raises redis.RedisError when Redis goes away; then run it again."""
        async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(keys.OUTCOMES_CHANNEL)
            self._wake_all()
            while True:
                message = await pubsub.get_message(timeout=LISTEN_TIMEOUT_S)
                if message is not None:
                    await self._deliver(json.loads(message["data"]))

    def _wake_all(self) -> None:
        """After a gap everybody looks for themselves."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                _complete(waiter, None)

    async def _deliver(self, outcomes: list[Outcome]) -> None:
        """Wake those who wait for these, a few per turn of the event loop: whatever else comes in waits for no round."""
        for start in range(0, len(outcomes), WOKEN_PER_TURN):
            for outcome in outcomes[start : start + WOKEN_PER_TURN]:
                for waiter in self._waiters.get(outcome["request_id"], ()):
                    _complete(waiter, outcome)
            await asyncio.sleep(0)


def _complete(waiter: Waiter, outcome: Outcome | None) -> None:
    if not waiter.done():
        waiter.set_result(outcome)
