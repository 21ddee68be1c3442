"""Pictures of the drill's system for the documentation: the RQ dashboard in Chromium, and `manage top`."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.drill_stack import PROJECT_ROOT, DrillStack
from scripts.processes import Child, http_status
from scripts.server_process import ServerError, free_port

START_LIMIT_S = 30.0
LOOK_PAUSE_S = 0.1
PICTURE_LIMIT_S = 60.0
# The page's own clock runs ahead by this, so that its tables are there.
PAGE_TIME_MS = 8000
CHROMIUM = (
    "chromium",
    "--headless",
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1500,520",
    f"--virtual-time-budget={PAGE_TIME_MS}",
)
# Instead of a page of the dashboard.
TOP = "manage top"


class DrillPictures:
    """Files in `folder`, taken while a step's state lasts."""

    def __init__(self, stack: DrillStack, directory: Path, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
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
        self._dashboard = Child("dashboard", command, PROJECT_ROOT, environment, directory / "dashboard.log")

    def __enter__(self) -> Self:
        """Start the dashboard. Raises ServerError when it or Chromium is missing."""
        if shutil.which(CHROMIUM[0]) is None:
            message = (
                "no chromium on this machine, which takes the pictures (Debian: apt-get install chromium)"
            )
            raise ServerError(message)
        self._dashboard.start()
        deadline = time.monotonic() + START_LIMIT_S
        while http_status(self._port, "/") is None:
            if time.monotonic() > deadline:
                self._dashboard.stop()
                message = f"the dashboard did not answer:\n{self._dashboard.log_end}"
                raise ServerError(message)
            time.sleep(LOOK_PAUSE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dashboard.stop()

    def take(self, name: str, shown: str) -> None:
        """Write one picture: of the dashboard's page at the path `shown`, or of TOP."""
        if shown == TOP:
            self._stack.manage("top", "--svg", str((self._folder / f"{name}.svg").resolve()))
            return
        url = f"http://ops:{self._password}@127.0.0.1:{self._port}{shown}"
        target = (self._folder / f"{name}.png").resolve()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        with tempfile.TemporaryDirectory(prefix="drill-browser-", ignore_cleanup_errors=True) as profile:
            options = [*sandbox, f"--user-data-dir={profile}", f"--screenshot={target}"]
            subprocess.run(
                [*CHROMIUM, *options, url], check=True, capture_output=True, timeout=PICTURE_LIMIT_S
            )
