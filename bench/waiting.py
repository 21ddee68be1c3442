"""`python -m bench.waiting`: what a request that waits takes in Redis, by its keys."""

from pathlib import Path
from typing import Annotated, Any

import redis
import typer
from rich.console import Console
from rich.table import Table

from bench.draining import fill
from bench.ground import PROJECT_ROOT, Ground, prepared_ground
from shared.course_queue import keys

DATA_DIR = PROJECT_ROOT / ".local" / "bench-waiting"
SAMPLES_EACH = 100


def main(
    count: Annotated[
        int, typer.Option(min=100, max=100_000, help="Requests that wait, one per student.")
    ] = 10_000,
    directory: Annotated[Path, typer.Option(help="Where the servers keep their data meanwhile.")] = DATA_DIR,
) -> None:
    """Let requests wait for one course, each with an Idempotency-Key, and ask Redis what they take."""
    console = Console(highlight=False)
    with prepared_ground(directory, count) as ground:
        total, parts = waiting_bytes(ground, count)
    table = Table("of one waiting request", "bytes")
    for part, size in parts.items():
        table.add_row(part, f"{size:,.0f}")
    table.add_row("all, by Redis' own count of its memory", f"{total:,.0f}")
    console.print(table)


def waiting_bytes(ground: Ground, count: int) -> tuple[float, dict[str, float]]:
    """Bytes per waiting request: in all, and by kind of key as MEMORY USAGE tells."""
    ground.empty_redis()
    [course_id] = ground.courses(1)
    with ground.redis() as client:
        before = client.info("memory")["used_memory"]
        fill(ground, [(student.student_id, course_id) for student in ground.students[:count]], keyed=True)
        total = (client.info("memory")["used_memory"] - before) / count
        queue = keys.queue(course_id)
        parts = {"its place in the queue": _bytes(client, queue) / count}
        parts |= {name: _mean_bytes(client, pattern) for name, pattern in PATTERNS.items()}
    ground.empty_redis()
    return total, parts


PATTERNS = {
    "the job, which holds the request": keys.job("*"),
    "the student's list of what waits": keys.student("*"),
    "the Idempotency-Key, kept for a day": "cr:idempotency:*",
}


def _mean_bytes(client: redis.Redis, pattern: str) -> float:
    """The mean of a sample of the keys that match."""
    found: list[Any] = []
    for key in client.scan_iter(pattern, count=1_000):
        found.append(key)
        if len(found) == SAMPLES_EACH:
            break
    return sum(_bytes(client, key) for key in found) / len(found)


def _bytes(client: redis.Redis, key: Any) -> int:
    """All of it: without `samples=0` Redis looks at five elements and guesses the others."""
    return client.memory_usage(key, samples=0) or 0


if __name__ == "__main__":
    typer.run(main)
