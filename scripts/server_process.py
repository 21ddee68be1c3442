"""One server running as our child: starting it, waiting for it, stopping it, and showing its log when it dies."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
POLL_PAUSE_S = 0.02
LOG_TAIL_LINES = 20
PASSWORD_BYTES = 24
PR_SET_PDEATHSIG = 1

# Loaded before any fork: between fork and exec nothing may import or allocate much.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerError(Exception):
    """A local server did not start or did not stop; the message says why, with the end of its log."""


@dataclass(frozen=True)
class Account:
    """The system user a server runs as."""

    name: str
    uid: int
    gid: int


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file; empty when there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, complete or not at all."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def kept_password(path: Path) -> str:
    """The password in this file (mode 0600), made up and written on the first call."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(PASSWORD_BYTES))
    return path.read_text(encoding="utf-8").strip()


def end_with_parent(signal_number: int) -> Callable[[], None] | None:
    """What a child must run before exec so that the kernel signals it when this process dies; None where it cannot.

    Linux sends the signal when the *thread* that started the child ends, so children of other threads go without.
    """
    libc = _LIBC
    if libc is None or threading.current_thread() is not threading.main_thread():
        return None
    parent = os.getpid()

    def ask_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal_number)
        # The parent may have died before the request was in place.
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


class ServerProcess(ABC):
    """A server with a life of its own directory, port and log; subclasses say how it is begun and ended."""

    name: str
    stop_signal = signal.SIGTERM

    def __init__(self, port: int, log_path: Path) -> None:
        self.port = port
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises ServerError when it is not running."""
        if self._process is None or not self.running:
            message = f"{self.name} is not running"
            raise ServerError(message)
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers; the data directory is made on the first start.

        Does nothing when it runs already. Raises ServerError, with the end of the log, when it dies or takes longer
        than START_LIMIT_S.
        """
        if self.running:
            return
        deadline = time.monotonic() + START_LIMIT_S
        self._prepare(deadline)
        try:
            self._launch()
            self._wait_until_ready(deadline)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it cleanly; killed when it takes longer than STOP_LIMIT_S."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would, and wait until every process of it is gone."""
        self._end(signal.SIGKILL)

    @abstractmethod
    def _prepare(self, deadline: float) -> None:
        """Make the data directory ready for a start."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the process by calling `_spawn`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server serves; called again and again while it starts."""

    def _predecessor_lingers(self) -> bool:
        """Whether the process just ended only because an earlier server has not quite gone, so that it may try again."""
        return False

    def _log_since_launch(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _spawn(
        self,
        command: list[str],
        directory: Path,
        account: Account | None = None,
        inherited: tuple[int, ...] = (),
    ) -> None:
        """Run the server in a session of its own, so that a Ctrl-C in the terminal reaches only us."""
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(self.stop_signal),  # noqa: PLW1509 - one prctl call, loaded beforehand
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                pass_fds=inherited,
            )

    def _wait_until_ready(self, deadline: float) -> None:
        while not self._answers():
            if time.monotonic() > deadline:
                message = f"{self.name} did not answer on port {self.port} within {START_LIMIT_S:.0f} s"
                raise self._failure(message)
            time.sleep(POLL_PAUSE_S)
            if not self.running:
                self._launch_again()

    def _launch_again(self) -> None:
        if not self._predecessor_lingers():
            message = f"{self.name} ended while starting on port {self.port}"
            raise self._failure(message)
        self._launch()

    def _failure(self, message: str) -> ServerError:
        return ServerError(f"{message}. The end of {self.log_path}:\n{log_tail(self.log_path)}")

    def _end(self, signal_number: int) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
