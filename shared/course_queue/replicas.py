"""Holding an answer back until replicas have on their disks what it stands for."""

from typing import Any

import redis.asyncio

from shared.errors import QueueUnavailableError
from shared.settings import Settings


def ask_replicas(pipeline: redis.asyncio.client.Pipeline, settings: Settings) -> None:
    """Let the pipeline end with waiting for what it has written, if the settings want replicas to have it.

    First until they have received it, then until it is on their disks: asked for that at once, a replica that gets the
    question together with the write answers for the time before its fsync, and says no more for a second.
    What the pipeline's connection has not written itself, nobody waits for.
    """
    if settings.accept_replicas:
        received_ms = max(1, settings.accept_replicas_timeout_ms // 2)
        kept_ms = max(1, settings.accept_replicas_timeout_ms - received_ms)
        pipeline.execute_command("WAIT", settings.accept_replicas, received_ms)
        pipeline.execute_command("WAITAOF", 1, settings.accept_replicas, kept_ms)


def require_replicas(replies: list[Any], settings: Settings) -> None:
    """Check the replies to such a pipeline. Raises QueueUnavailableError when too few replicas have answered in time."""
    if not settings.accept_replicas:
        return
    kept = replies[-1]
    if isinstance(kept, Exception) or kept[0] < 1 or kept[1] < settings.accept_replicas:
        message = f"fewer than {settings.accept_replicas} replicas hold the request on disk"
        raise QueueUnavailableError(message)
