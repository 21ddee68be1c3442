"""The RQ dashboard of the drill's system, as an operator's browser asks it."""

import os
import secrets
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from scripts.drill_stack import PROJECT_ROOT, DrillStack
from scripts.processes import Child, http_status
from scripts.server_process import ServerError, free_port

START_LIMIT_S = 30.0
LOOK_PAUSE_S = 0.1
HTTP_LIMIT_S = 10.0
USERNAME = "ops"
NO_QUEUE, NO_WORKER = "no queue", "no worker"


class DrillDashboard:
    """A dashboard of its own, with a password of its own."""

    def __init__(self, stack: DrillStack, directory: Path) -> None:
        self._port = free_port()
        self._password = secrets.token_urlsafe(16)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT_ROOT),
            "REDIS_URL": stack.valkey.url,
            "RQ_DASHBOARD_PASSWORD": self._password,
            "DASHBOARD_PORT": str(self._port),
        }
        command = [sys.executable, "-m", "scripts.dashboard"]
        self._child = Child("dashboard", command, PROJECT_ROOT, environment, directory / "dashboard.log")

    def __enter__(self) -> Self:
        """Start it. Raises ServerError when it does not answer."""
        self._child.start()
        deadline = time.monotonic() + START_LIMIT_S
        while http_status(self._port, "/") is None:
            if time.monotonic() > deadline:
                self._child.stop()
                message = f"the dashboard did not answer:\n{self._child.log_end}"
                raise ServerError(message)
            time.sleep(LOOK_PAUSE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()

    def url(self, path: str) -> str:
        """A page's address, with the password in it."""
        return f"http://{USERNAME}:{self._password}@127.0.0.1:{self._port}{path}"

    def page(self) -> str:
        """What somebody sees who opens it, as status and text."""
        answer = self._get("/")
        return f"{answer.status_code} {answer.text}"

    def queues(self) -> str:
        """The overview from top to bottom: title, what waits, what failed."""
        answer = self._get("/0/data/queues.json")
        if not answer.is_success:
            return f"{answer.status_code} {answer.text}"
        rows = [_queue_row(queue) for queue in answer.json()["queues"]]
        return ", ".join(rows) or NO_QUEUE

    def workers(self) -> str:
        """The list of workers: name and state, and `suspended` as the page shows it."""
        answer = self._get("/0/data/workers.json")
        if not answer.is_success:
            return f"{answer.status_code} {answer.text}"
        return ", ".join(f"{each['name']} {each['state']}" for each in answer.json()["workers"]) or NO_WORKER

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(self.url(path), timeout=HTTP_LIMIT_S)


def _queue_row(queue: dict[str, Any]) -> str:
    title = queue["name"].partition(" · ")[0]
    return f"{title}: {queue['count']} queued, {queue['failed_job_registry_count']} failed"
