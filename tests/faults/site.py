"""The system as if on several hosts: every worker a process of its own, and proxies on the wires that can be broken.

The first worker is connected directly. The second one, the API and the clients go through proxies.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil

from scripts.local_servers import free_port
from tests.e2e.program import Program
from tests.e2e.stack import HTTP_TIMEOUT_S, api
from tests.faults.crew import WORKERS, Crew
from tests.faults.proxy import Proxy

LOOPBACK = "127.0.0.1"
WIRED = 1
WIRES = ("client-api", "api-redis", "api-postgresql", "worker-redis", "worker-postgresql")


class Site(Crew):
    """One running system with two workers; `wires` are its proxies by name, `crew` its workers."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, **settings)
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
        self._api = self.launch(api(port), **self.route("api"), **overrides)
        self._wait_for_api(self._api, f"http://{LOOPBACK}:{port}")
        self.api_port = self.wires["client-api"].target = port
        # uvicorn ends with the signal it was sent, after it has finished.
        assert old.stop() in (0, -signal.SIGTERM), f"the API did not end well:\n{old.log()}"

    def launch_worker(self, number: int, **overrides: str) -> Program:
        """Start a worker; the second one goes through the proxies."""
        route = self.route("worker") if number == WIRED else {}
        return self.launch(["worker"], **route, **overrides)

    def restart_worker(self, number: int, **overrides: str) -> None:
        """End a worker, by SIGTERM if it still runs, and start it again."""
        if self.crew[number].running:
            assert self.crew[number].stop() == 0, f"the worker did not end well:\n{self.crew[number].log()}"
        self.crew[number] = self.launch_worker(number, **overrides)

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
        super().close()
        for wire in self.wires.values():
            wire.close()
