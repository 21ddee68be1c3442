"""Our own programs as children of the local stack: started, watched, started again, and stopped without leftovers."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.server_process import end_with_parent, log_tail

STOP_LIMIT_S = 15.0
RESTART_PAUSE_MIN_S = 1.0
RESTART_PAUSE_MAX_S = 30.0
# A child that lived this long before it died starts with the shortest pause again.
STEADY_AFTER_S = 60.0
HTTP_LIMIT_S = 2.0


@dataclass
class Child:
    """A program that should be running, with its log."""

    name: str
    command: list[str]
    directory: Path
    environment: Mapping[str, str]
    log_path: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _restart_at: float | None = field(default=None, init=False)
    _pause_s: float = field(default=RESTART_PAUSE_MIN_S, init=False)

    def start(self) -> None:
        """Start it in a session of its own, so that a Ctrl-C in the terminal reaches only the stack."""
        self._started_at = time.monotonic()
        self._restart_at = None
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one prctl call, loaded beforehand
            )

    @property
    def pid(self) -> int:
        """Its process id, since it was last started."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def died(self) -> bool:
        """Whether it ended on its own."""
        return self._process is not None and self._process.poll() is not None

    @property
    def exit_status(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    @property
    def log_end(self) -> str:
        """The last lines it wrote."""
        return log_tail(self.log_path)

    def schedule_restart(self) -> float | None:
        """Once per death: clear up its group and return the seconds until it is started again; None otherwise."""
        if not self.died or self._restart_at is not None:
            return None
        self._kill_group()
        if time.monotonic() - self._started_at > STEADY_AFTER_S:
            self._pause_s = RESTART_PAUSE_MIN_S
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, RESTART_PAUSE_MAX_S)
        self._restart_at = time.monotonic() + pause_s
        return pause_s

    def restart_if_due(self) -> bool:
        """Start it again once its pause is over."""
        if self._restart_at is None or time.monotonic() < self._restart_at:
            return False
        self.start()
        return True

    def stop(self) -> None:
        """End it with SIGTERM, within STOP_LIMIT_S or else by SIGKILL, and whatever it has left behind."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_LIMIT_S)
        self._kill_group()
        self._process.wait()
        self._process = None

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def http_status(port: int, path: str) -> int | None:
    """The status that 127.0.0.1 answers on this port; None when it does not answer in HTTP_LIMIT_S."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HTTP_LIMIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
