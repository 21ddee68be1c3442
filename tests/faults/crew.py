"""A system whose workers are processes of their own, each started, ended and placed by itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from tests.e2e.program import Program
from tests.e2e.stack import SHARDS, Stack

WORKERS = 2


class Crew(Stack, ABC):
    """One running system with WORKERS workers; `crew` are their programs. Subclasses say where each runs."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, worker_processes=WORKERS, **settings)
        self.crew: list[Program] = []

    @abstractmethod
    def launch_worker(self, number: int, **overrides: str) -> Program:
        """Start the worker of this number, 0 to WORKERS - 1, where it belongs."""

    def start_workers(self, processes: int | None = None, **overrides: str) -> None:  # noqa: ARG002 - the form of the base
        """Start every worker and wait until each owns its share of the shards."""
        self.crew = [self.launch_worker(number, **overrides) for number in range(WORKERS)]
        self.wait_for_owners(WORKERS)

    def require_workers(self) -> None:
        """Which of them run is the faults' business."""

    def worker_pids(self) -> list[int]:
        """The processes that apply requests."""
        return [program.pid for program in self.crew if program.running]

    def kill_workers(self) -> None:
        """End the workers with SIGKILL."""
        for program in self.crew:
            program.kill()

    def close(self) -> None:
        """End every process and delete the data."""
        self.kill_workers()
        super().close()

    def shards_of(self, worker_pid: int) -> set[int]:
        """The shards that a worker's session holds the locks of."""
        rows = self.sql(
            "SELECT l.objid::int AS shard FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.classid = 731401 AND l.granted AND a.application_name LIKE %s",
            f"%.{worker_pid}.%",
        )
        return {row["shard"] for row in rows}

    def courses_of(self, worker_pid: int, course_ids: Sequence[str]) -> list[str]:
        """Those of the courses that this worker owns."""
        shards = self.shards_of(worker_pid)
        return [course_id for course_id in course_ids if shard_of(course_id) in shards]


def shard_of(course_id: str) -> int:
    """The shard that a course belongs to, as the protocol defines it."""
    return crc32(course_id.encode()) % SHARDS
