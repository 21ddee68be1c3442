"""Putting requests into their queues: all that one turn of the event loop brings go in one call, under one fsync."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis.asyncio
import structlog

from shared import metrics
from shared.course_queue import keys, scripts
from shared.course_queue.connection import ScriptMissing
from shared.course_queue.replicas import ask_replicas, require_replicas
from shared.course_queue.wrong_keys import WrongKeys
from shared.errors import KeyConflictError, QueueFullError, QueueUnavailableError, StudentLimitError
from shared.logs import log_requests
from shared.requests import Place, moment
from shared.rules import Operation
from shared.settings import Settings
from shared.tracing import Tracer

log = structlog.get_logger()

BATCH_SIZE_MAX = 256
RETRY_AFTER_MAX_S = 30
COUNTED = {b"accepted": metrics.ACCEPTED, b"repeated": metrics.REPEATED}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a student asks for, before it has a place in the order."""

    request_id: str
    """A fresh UUID, chosen by the caller so that it can listen for the outcome before it asks."""
    student_id: str
    course_id: str
    course_title: str
    operation: Operation
    idempotency_key: str | None
    correlation_id: str = ""
    """The id of the HTTP call, for the log."""
    asked_at_ns: int = field(default_factory=time.time_ns)


@dataclass(frozen=True, slots=True)
class Repeated:
    """The request was accepted before, under this id."""

    request_id: str


class Acceptor:
    """Accepts requests for one API process. `run` must be running."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings, tracer: Tracer | None = None) -> None:
        self._client = client
        self._tracer = tracer
        self._settings = settings
        self._waiting: list[tuple[Asked, asyncio.Future[list[Any]]]] = []
        self._arrived = asyncio.Event()
        self._wrong_keys = WrongKeys()

    async def accept(self, asked: Asked) -> Place | Repeated:
        """Give the request its place in its course's order, durably.

        Raises KeyConflictError, StudentLimitError, QueueFullError, or QueueUnavailableError: then it may or may not
        have been accepted, and repeating it is safe.
        """
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        self._arrived.set()
        return _answer(await future)

    async def run(self) -> None:
        """Send what has arrived, batch after batch, until cancelled."""
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:BATCH_SIZE_MAX], self._waiting[BATCH_SIZE_MAX:]
            if not self._waiting:
                self._arrived.clear()
            await self._send(batch)

    async def _send(self, batch: list[tuple[Asked, asyncio.Future[list[Any]]]]) -> None:
        try:
            answers = await self._execute(accept_arguments([asked for asked, _ in batch], self._settings))
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be left waiting
            # Those who came meanwhile would only wait for the same failure, batch after batch.
            batch, self._waiting = [*batch, *self._waiting], []
            for _, future in batch:
                _fail(future, QueueUnavailableError(f"{type(error).__name__}: {error}"))
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        _record([asked for asked, _ in batch], answers)
        self._tell_refusals(answers)
        if self._tracer is not None:
            _trace([asked for asked, _ in batch], answers, self._tracer)

    def _tell_refusals(self, answers: Sequence[list[Any]]) -> None:
        """Log what Redis refused, above all keys that somebody overwrote: whoever needs them is answered 503 until mended."""
        refused = [answer[1].decode(errors="replace") for answer in answers if answer[0] == b"error"]
        for problem in self._wrong_keys.news(refused, time.monotonic()) if refused else []:
            log.error("Redis refused to accept", problem=problem)

    async def _execute(self, arguments: list[Any]) -> list[list[Any]]:
        try:
            return await self._call("EVALSHA", scripts.ACCEPT.digest, arguments)
        except ScriptMissing:
            return await self._call("EVAL", scripts.ACCEPT.source, arguments)

    async def _call(self, command: str, script: str, arguments: list[Any]) -> list[list[Any]]:
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command(command, script, 0, *arguments)
            ask_replicas(pipeline, self._settings)
            with metrics.REDIS_TIME.labels("accept").time():
                replies = await pipeline.execute(raise_on_error=False)
        answers: list[list[Any]] | Exception = replies[0]
        if isinstance(answers, Exception):
            raise answers
        require_replicas(replies, self._settings)
        return answers


def accept_arguments(batch: Sequence[Asked], settings: Settings) -> list[Any]:
    """What the accept script needs to know of these requests."""
    arguments: list[Any] = [
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        keys.JOB_FUNCTION,
        keys.JOB_VERSION,
        settings.queue_limit,
        settings.student_waiting_limit,
        settings.idempotency_ttl_s,
        settings.failed_ttl_s,
        settings.accept_replicas,
    ]
    for asked in batch:
        key = asked.idempotency_key
        arguments += (
            asked.request_id,
            asked.course_id,
            keys.shard_of(asked.course_id, settings.queue_shards),
            asked.student_id,
            asked.operation.value,
            asked.course_title,
            "" if key is None else keys.idempotency(asked.student_id, key),
        )
    return arguments


def _record(batch: Sequence[Asked], answers: Sequence[list[Any]]) -> None:
    """Tie the requests to their HTTP calls: a line per batch costs next to nothing, a line per request would."""
    told: dict[bytes, list[str]] = {code: [] for code in COUNTED}
    for asked, answer in zip(batch, answers, strict=True):
        code = answer[0]
        if code in COUNTED:
            COUNTED[code].labels(asked.operation).inc()
            told[code].append(
                f"{answer[1].decode()} {asked.operation} course={asked.course_id} call={asked.correlation_id}"
            )
    for code, requests in told.items():
        log_requests(code.decode(), requests)


def _trace(batch: Sequence[Asked], answers: Sequence[list[Any]], tracer: Tracer) -> None:
    for asked, answer in zip(batch, answers, strict=True):
        if answer[0] == b"accepted":
            attributes = {
                "operation": asked.operation.value,
                "course": asked.course_id,
                "correlation_id": asked.correlation_id,
            }
            tracer.accepted(asked.request_id, asked.asked_at_ns, attributes)


def _fail(future: asyncio.Future[list[Any]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _answer(reply: list[Any]) -> Place | Repeated:
    match reply[0]:
        case b"accepted":
            _, request_id, sequence, accepted_at, ahead, pace_us = reply
            return Place(request_id.decode(), sequence, moment(int(accepted_at)), ahead, pace_us)
        case b"repeated":
            return Repeated(reply[1].decode())
        case b"key_conflict":
            raise KeyConflictError
        case b"student_limit":
            raise StudentLimitError
        case b"error":
            raise QueueUnavailableError(reply[1].decode())
        case _:
            _, _, _, _, waiting, pace_us = reply
            raise QueueFullError(min(1 + waiting * pace_us // 2_000_000, RETRY_AFTER_MAX_S))
