"""The throw-away system that the drill breaks: servers, API and workers in a directory of their own, on free ports."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from scripts.local_servers import LocalPostgres, LocalValkey, free_port
from scripts.processes import Child
from scripts.server_process import ServerError
from shared.database import command_engine, reading
from shared.security import issue_token
from shared.settings import Settings
from shared.store import imports

PROJECT_ROOT = Path(__file__).resolve().parents[1]
COMMAND_LIMIT_S = 120.0
HTTP_LIMIT_S = 20.0
LOOK_PAUSE_S = 0.1
PORT_ATTEMPTS = 100
QUEUE_LIMIT = 20
WORKERS = 2
STUDENTS = QUEUE_LIMIT + 1
SETTINGS = {
    "ENVIRONMENT": "development",
    "QUEUE_LIMIT": str(QUEUE_LIMIT),
    "BCRYPT_COST": "4",
    "CATALOGUE_REFRESH_S": "1",
    "PYTHONUNBUFFERED": "1",
}


def free_ports(count: int) -> list[int]:
    """That many free ports in a row. Raises ServerError when there are none."""
    for _attempt in range(PORT_ATTEMPTS):
        first = free_port()
        ports = list(range(first, first + count))
        if all(map(_is_free, ports)):
            return ports
    message = f"no {count} free ports in a row"
    raise ServerError(message)


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError, OverflowError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


class DrillStack:
    """One running system with QUEUE_LIMIT places per queue, demo courses, and students with tokens."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._secret_key = secrets.token_urlsafe(48)
        self.postgres = LocalPostgres(directory / "postgres", free_port())
        self.valkey = LocalValkey(directory / "valkey", free_port())
        self.api_port = free_port()
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=HTTP_LIMIT_S)
        self._running = ExitStack()
        self._logs: dict[str, Path] = {}
        self._worker_ports = free_ports(WORKERS)
        self.tokens: list[str] = []

    def __enter__(self) -> Self:
        """Start everything. Raises ServerError when a part does not come up."""
        try:
            self._start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self) -> None:
        self._running.callback(self.postgres.discard_data)
        for server in (self.postgres, self.valkey):
            self._running.callback(server.stop)
            server.start()
        self._running.callback(self._http.close)
        for arguments in (
            ["-m", "alembic", "upgrade", "head"],
            ["-m", "scripts.seed_student"],
            ["-m", "scripts.make_students", "--count", str(STUDENTS)],
        ):
            code, output = self.command(*arguments)
            if code:
                message = f"{arguments} failed:\n{output}"
                raise ServerError(message)
        self.tokens = self._minted()
        self._start_child("workers", ["worker", "--processes", str(WORKERS)])
        self._start_child("api", ["api", "--port", str(self.api_port)])

    def _start_child(self, name: str, module: list[str]) -> None:
        self._logs[name] = self._directory / f"{name}.log"
        child = Child(name, [sys.executable, "-m", *module], PROJECT_ROOT, self.environment, self._logs[name])
        self._running.callback(child.stop)
        child.start()

    @property
    def environment(self) -> dict[str, str]:
        """What makes the parts one system; nothing of the caller's own settings gets in."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **inherited,
            **SETTINGS,
            "PYTHONPATH": str(PROJECT_ROOT),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "SECRET_KEY": self._secret_key,
            "METRICS_PORT": str(self._worker_ports[0]),
        }

    @property
    def metrics_ports(self) -> dict[str, list[int]]:
        """Where Prometheus finds what: its job -> ports."""
        return {"api": [self.api_port], "worker": self._worker_ports}

    def _minted(self) -> list[str]:
        settings = Settings(database_url=self.postgres.url, secret_key=self._secret_key)
        with reading(command_engine(settings, "drill")) as connection:
            students = imports.students(connection, STUDENTS)
        return [issue_token(settings, *student)[0] for student in students]

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run `python <arguments>` to its end; returns its exit code and all it printed."""
        finished = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        return finished.returncode, finished.stdout + finished.stderr

    def manage(self, *arguments: str) -> str:
        """What `python -m shared.manage` prints, and its exit code on a line of its own."""
        code, output = self.command("-m", "shared.manage", *arguments)
        return f"{output.rstrip()}\nexit code {code}"

    def call(self, method: str, path: str, student: int | None = None, **sent: Any) -> str:
        """One HTTP call as status, waiting time and body in one line; `student` is whose token it carries."""
        headers = sent.pop("headers", {})
        if student is not None:
            headers["Authorization"] = f"Bearer {self.tokens[student]}"
        try:
            answer = self._http.request(method, path, headers=headers, **sent)
        except httpx.TransportError as error:
            return f"no answer: {error}"
        retry = answer.headers.get("Retry-After")
        told = "" if retry is None else f" Retry-After {retry}"
        return f"{answer.status_code}{told} {answer.text}"

    def course_ids(self) -> dict[str, str]:
        """Code -> id of the demo courses, once the API answers. Raises ServerError when it does not."""
        deadline = time.monotonic() + COMMAND_LIMIT_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                semester_id = self._http.get("/semesters/").json()["semesters"][0]["id"]
                courses = self._http.get(f"/semesters/{semester_id}/courses").json()["courses"]
                return {course["code"]: course["id"] for course in courses}
            time.sleep(LOOK_PAUSE_S)
        message = f"the API did not answer:\n{self.log('api')[-2000:]}"
        raise ServerError(message)

    def log(self, name: str) -> str:
        """Everything that the `api` or the `workers` have logged so far."""
        return self._logs[name].read_text(encoding="utf-8", errors="replace")

    @staticmethod
    def kill(pid: int) -> None:
        """End a process with SIGKILL."""
        os.kill(pid, signal.SIGKILL)
