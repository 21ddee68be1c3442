"""Watching a running system for its peaks: memory of every part, and what waits in Redis."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from bench.processor import memory_mb

LOOK_PAUSE_S = 1.0


@dataclass(slots=True)
class Peaks:
    """The most that was seen, in looks a second apart."""

    memory_mb: dict[str, float] = field(default_factory=dict)
    """Part -> proportional set size of its processes: pages that they share are counted once."""
    redis_used_mb: float = 0.0
    """Redis' own count of what its data take."""
    redis_keys: int = 0


@contextmanager
def watched(pids: Mapping[str, int], client: redis.Redis) -> Iterator[Peaks]:
    """Look as long as the block lasts, from a thread of its own."""
    peaks, ended = Peaks(), threading.Event()

    def look_again_and_again() -> None:
        while not ended.wait(LOOK_PAUSE_S):
            look(pids, client, peaks)

    thread = threading.Thread(target=look_again_and_again, name="watching", daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
        look(pids, client, peaks)


def look(pids: Mapping[str, int], client: redis.Redis, peaks: Peaks) -> None:
    """Raise the peaks to what is there now."""
    for part, pid in pids.items():
        peaks.memory_mb[part] = max(peaks.memory_mb.get(part, 0.0), memory_mb(pid))
    used_mb = client.info("memory")["used_memory"] / 1_000_000
    peaks.redis_used_mb = max(peaks.redis_used_mb, used_mb)
    peaks.redis_keys = max(peaks.redis_keys, client.dbsize())
