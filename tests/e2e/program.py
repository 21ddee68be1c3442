"""One Python program of the system as a real process: started, signalled, and cleaned up with all its children."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from scripts.server_process import end_with_parent, log_tail

STOP_LIMIT_S = 15.0


class Program:
    """`python -m <arguments>` with exactly the given environment; its output goes to a log file.

    `prefix` is a command that turns itself into the one behind it, such as `ip netns exec`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        directory: Path,
        log_path: Path,
        environment: Mapping[str, str],
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        self.arguments = list(arguments)
        self.environment = dict(environment)
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", *self.arguments],
                cwd=directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one prctl call, loaded beforehand
            )

    @property
    def pid(self) -> int:
        """Its process id, also after it has ended."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        """The end of what it has written."""
        return log_tail(self.log_path, 60)

    def children(self) -> list[psutil.Process]:
        """All processes that it, or one of them, has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def send(self, signal_number: int) -> None:
        """Send a signal to the program alone."""
        self._process.send_signal(signal_number)

    def wait(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Its return code, once it has ended. Fails with the end of its log after `limit_s`."""
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            message = f"{self.arguments} did not end within {limit_s:g} s:\n{self.log()}"
            raise AssertionError(message) from None

    def stop(self) -> int:
        """Ask it to end with SIGTERM; returns its return code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it with SIGKILL, its children with it."""
        children = self.children()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=STOP_LIMIT_S)
        self.wait()
