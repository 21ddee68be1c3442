"""The system as if on several hosts: every worker a process of its own, and proxies on the wires that can be broken.

The first worker is connected directly. The second one, the API and the clients go through proxies.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import httpx
import psutil

from scripts.local_servers import free_port
from tests.e2e.program import Program
from tests.e2e.stack import HTTP_TIMEOUT_S, SHARDS, Stack, uvicorn
from tests.faults.proxy import Proxy

LOOPBACK = "127.0.0.1"
WORKERS = 2
WIRED = 1
WIRES = ("client-api", "api-redis", "api-postgresql", "worker-redis", "worker-postgresql")


class Site(Stack):
    """One running system with two workers; `wires` are its proxies by name, `crew` its workers."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, worker_processes=WORKERS, **settings)
        self.crew: list[Program] = []
        targets = {"api": self.api_port, "redis": self.valkey.port, "postgresql": self.postgres.port}
        self.wires = {name: Proxy(targets[name.split("-")[1]]).start() for name in WIRES}
        self.api_url = f"http://{LOOPBACK}:{self.wires['client-api'].port}"
        self.http = httpx.Client(base_url=self.api_url, timeout=HTTP_TIMEOUT_S, verify=False)

    def route(self, part: str) -> dict[str, str]:
        """The server addresses that make a part (`api` or `worker`) go through its proxies."""
        return {
            "DATABASE_URL": self._through(self.postgres.url, self.postgres.port, f"{part}-postgresql"),
            "REDIS_URL": self._through(self.valkey.url, self.valkey.port, f"{part}-redis"),
        }

    def _through(self, url: str, port: int, wire: str) -> str:
        return url.replace(f"{LOOPBACK}:{port}/", f"{LOOPBACK}:{self.wires[wire].port}/")

    def start_api(self, **overrides: str) -> None:
        """Start the API on a new port and lead the clients there."""
        self.api_port = free_port()
        self.wires["client-api"].target = self.api_port
        super().start_api(**self.route("api"), **overrides)

    def roll_api(self, **overrides: str) -> None:
        """Replace the API as a rolling deployment does: the new one is ready before the old one is told to go."""
        old, port = self.api, free_port()
        self._api = self.launch(uvicorn(port), **self.route("api"), **overrides)
        self._wait_for_api(self._api, f"http://{LOOPBACK}:{port}")
        self.api_port = self.wires["client-api"].target = port
        # uvicorn ends with the signal it was sent, after it has finished.
        assert old.stop() in (0, -signal.SIGTERM), f"the API did not end well:\n{old.log()}"

    def start_workers(self, processes: int | None = None, **overrides: str) -> None:  # noqa: ARG002 - the form of the base
        """Start both workers and wait until each owns its share of the shards."""
        self.crew = [self._launch_worker(number, **overrides) for number in range(WORKERS)]
        self.wait_for_owners(WORKERS)

    def _launch_worker(self, number: int, **overrides: str) -> Program:
        route = self.route("worker") if number == WIRED else {}
        return self.launch(["worker"], **route, **overrides)

    def restart_worker(self, number: int, **overrides: str) -> None:
        """End a worker, by SIGTERM if it still runs, and start it again."""
        if self.crew[number].running:
            assert self.crew[number].stop() == 0, f"the worker did not end well:\n{self.crew[number].log()}"
        self.crew[number] = self._launch_worker(number, **overrides)

    def require_workers(self) -> None:
        """Which of them run is the faults' business."""

    def worker_pids(self) -> list[int]:
        """The processes that apply requests."""
        return [program.pid for program in self.crew if program.running]

    def kill_workers(self) -> None:
        """End the workers with SIGKILL."""
        for program in self.crew:
            program.kill()

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

    def heal(self) -> None:
        """Wake whatever is frozen and mend every wire."""
        pids = [program.pid for program in (*self.crew, self.api) if program.running]
        if self.valkey.running:
            pids.append(self.valkey.pid)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for wire in self.wires.values():
            wire.heal()

    def mend(self) -> None:
        """Bring every part back as it was at the start."""
        self.heal()
        self.postgres.start()
        self.valkey.start()
        for program in self._extra:
            program.kill()
        self._extra.clear()
        for number, program in enumerate(self.crew):
            usual = self.environment(**(self.route("worker") if number == WIRED else {}))
            if not program.running or program.environment != usual:
                self.restart_worker(number)
        if not self.api.running or self.api.environment != self.environment(**self.route("api")):
            self.kill_api()
            self.start_api()
        self.wait_for_owners(WORKERS)

    def add(self, arguments: Sequence[str], **overrides: str) -> Program:
        """Start one more program, which ends when the site is mended."""
        program = self.launch(arguments, **overrides)
        self._extra.append(program)
        return program

    def close(self) -> None:
        """End every process and delete the data."""
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, AssertionError):
            self.heal()
        self.kill_workers()
        super().close()
        for wire in self.wires.values():
            wire.close()


def shard_of(course_id: str) -> int:
    """The shard that a course belongs to, as the protocol defines it."""
    return crc32(course_id.encode()) % SHARDS
