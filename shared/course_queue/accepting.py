"""Putting requests into their queues: all that one turn of the event loop brings go in one pipeline, under one fsync."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis.asyncio

from shared.course_queue import keys, scripts
from shared.course_queue.connection import ScriptMissing
from shared.errors import KeyConflictError, QueueFullError, QueueUnavailableError, StudentLimitError
from shared.requests import Place, moment
from shared.rules import Operation
from shared.settings import Settings

BATCH_SIZE_MAX = 256


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


@dataclass(frozen=True, slots=True)
class Repeated:
    """The request was accepted before, under this id."""

    request_id: str


class Acceptor:
    """Accepts requests for one API process. `run` must be running."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[list[Any]]]] = []
        self._arrived = asyncio.Event()

    async def accept(self, asked: Asked) -> Place | Repeated:
        """Give the request its place in its course's order, durably.

        Raises KeyConflictError, StudentLimitError, QueueFullError, or QueueUnavailableError: then it may or may not
        have been accepted, and repeating it is safe.
        """
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._command(asked), future))
        self._arrived.set()
        return _answer(await future)

    def _command(self, asked: Asked) -> tuple[Any, ...]:
        settings = self._settings
        shard = keys.shard_of(asked.course_id, settings.queue_shards)
        names = [
            keys.queue(asked.course_id),
            keys.course(asked.course_id),
            keys.job(asked.request_id),
            keys.student(asked.student_id),
            keys.ready(shard),
            keys.QUEUES,
            keys.GENERATION,
        ]
        if asked.idempotency_key is not None:
            names.append(keys.idempotency(asked.student_id, asked.idempotency_key))
        return (
            len(names),
            *names,
            asked.request_id,
            asked.course_id,
            asked.student_id,
            asked.operation.value,
            keys.JOB_FUNCTION,
            keys.JOB_VERSION,
            keys.queue_name(asked.course_id),
            f"{asked.operation.value} {asked.course_title}",
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            settings.queue_limit,
            settings.student_waiting_limit,
            settings.idempotency_ttl_s,
            keys.wake_channel(shard),
            settings.failed_ttl_s,
        )

    async def run(self) -> None:
        """Send what has arrived, batch after batch, until cancelled."""
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:BATCH_SIZE_MAX], self._waiting[BATCH_SIZE_MAX:]
            if not self._waiting:
                self._arrived.clear()
            await self._send(batch)

    async def _send(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[list[Any]]]]) -> None:
        try:
            replies = await self._execute([command for command, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be left waiting
            for _, future in batch:
                _fail(future, QueueUnavailableError(f"{type(error).__name__}: {error}"))
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if isinstance(reply, Exception):
                _fail(future, QueueUnavailableError(str(reply)))
            elif not future.done():
                future.set_result(reply)

    async def _execute(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        replies = await self._pipeline(commands)
        if any(isinstance(reply, ScriptMissing) for reply in replies):
            await self._client.script_load(scripts.ACCEPT.source)
            replies = await self._pipeline(commands)
        return replies

    async def _pipeline(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        replicas = self._settings.accept_replicas
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command("EVALSHA", scripts.ACCEPT.digest, *command)
            if replicas:
                pipeline.execute_command("WAITAOF", 1, replicas, self._settings.accept_replicas_timeout_ms)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        if replicas:
            _require_replicas(replies.pop(), replicas)
        return replies


def _require_replicas(reply: Any, replicas: int) -> None:
    if isinstance(reply, Exception) or reply[0] < 1 or reply[1] < replicas:
        message = f"fewer than {replicas} replicas hold the request on disk"
        raise QueueUnavailableError(message)


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
        case _:
            _, _, _, _, waiting, pace_us = reply
            raise QueueFullError(retry_after_s=1 + waiting * pace_us // 2_000_000)
