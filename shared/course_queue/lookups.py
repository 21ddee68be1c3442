"""Asking Redis where a request stands, and listening for outcomes."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from pydantic_core import to_json

from shared import metrics
from shared.course_queue import keys, scripts
from shared.course_queue.accepting import Asked
from shared.course_queue.connection import RedisFailure, ScriptMissing
from shared.course_queue.replicas import ask_replicas, require_replicas
from shared.errors import KeyConflictError, QueueUnavailableError
from shared.requests import Place, moment, waiting_document
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """A request as Redis shows it: whose it is, and its document; `final` once the ledger has it."""

    student_id: str
    document: dict[str, Any]
    final: bool


async def look_up(client: redis.asyncio.Redis, request_id: str) -> Found | None:
    """The request, or None when Redis does not (or no longer) know it.

    Raises QueueUnavailableError.
    """
    with metrics.REDIS_TIME.labels("look_up").time():
        data, outcome, applied, pace_us = await _run(client, scripts.LOOK_UP, keys.job(request_id))
    return _found(data, outcome, applied, pace_us)


async def show_outcome(client: redis.asyncio.Redis, request_id: str, document: dict[str, Any]) -> None:
    """Let Redis show, from now on, a committed outcome of a request that still waits there.

    Raises QueueUnavailableError.
    """
    await _run(client, scripts.SHOW_OUTCOME, keys.job(request_id), to_json(document).decode())


async def _run(client: redis.asyncio.Redis, script: scripts.LuaScript, key: str, *arguments: str) -> Any:
    try:
        try:
            return await client.evalsha(script.digest, 1, key, *arguments)
        except ScriptMissing:
            return await client.eval(script.source, 1, key, *arguments)
    except RedisFailure as error:
        raise QueueUnavailableError(str(error)) from error


def _found(data: bytes | None, outcome: bytes | None, applied: int, pace_us: int) -> Found | None:
    try:
        payload = json.loads(data or b"")[3]
        student_id = str(payload["student_id"])
        if outcome is not None:
            return Found(student_id, json.loads(outcome), final=True)
        place = Place(
            payload["request_id"],
            payload["sequence"],
            moment(payload["accepted_at_us"]),
            max(0, payload["sequence"] - applied - 1),
            pace_us,
        )
        document = waiting_document(payload["course_id"], payload["operation"], place)
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    return Found(student_id, document, final=False)


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


async def waiting_of(client: redis.asyncio.Redis, student_id: str) -> list[Found]:
    """All that a student has waiting, or has just had decided. Raises QueueUnavailableError."""
    try:
        request_ids = [_text(raw) for raw in await client.hkeys(keys.student(student_id))]
    except RedisFailure as error:
        raise QueueUnavailableError(str(error)) from error
    found = await asyncio.gather(*[look_up(client, request_id) for request_id in request_ids])
    return [entry for entry in found if entry is not None]


async def request_of_key(client: redis.asyncio.Redis, settings: Settings, asked: Asked) -> str | None:
    """The request that its Idempotency-Key stands for already, or None; also when it has no key.

    Waits for replicas as accepting does: their answer may have been all that the first call was missing.
    Raises KeyConflictError when the key stands for another operation or course, and QueueUnavailableError.
    """
    if asked.idempotency_key is None:
        return None
    try:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.get(keys.idempotency(asked.student_id, asked.idempotency_key))
            if settings.accept_replicas:
                # Only what this connection has written is waited for.
                pipeline.set(keys.REPEATED, "")
            ask_replicas(pipeline, settings)
            kept, *others = await pipeline.execute()
    except RedisFailure as error:
        raise QueueUnavailableError(str(error)) from error
    require_replicas(others, settings)
    if kept is None:
        return None
    request_id, what = _text(kept).split(" ", 1)
    if what != f"{asked.operation.value} {asked.course_id}":
        raise KeyConflictError
    return request_id
