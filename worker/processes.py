"""Several workers on one machine: one process each, started again when it dies, stopped together."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

log = structlog.get_logger()

LOOK_INTERVAL_S = 0.2
RESTART_PAUSE_S = 0.5
STOP_LIMIT_S = 10.0


class WorkerProcesses:
    """Keeps `count` single workers running until SIGTERM or SIGINT."""

    def __init__(self, count: int, metrics_port: int = 0) -> None:
        self._count = count
        self._metrics_port = metrics_port
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = False

    def run(self) -> None:
        """Start them, replace those that die, and on a signal let each end its round."""
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)
        self._processes = [self._start(index) for index in range(self._count)]
        while not self._stopping:
            time.sleep(LOOK_INTERVAL_S)
            self._replace_dead()
        self._stop_all()

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's form
        self._stopping = True

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "worker", "--supervisor-pid", str(os.getpid())]
        port = self._metrics_port + index if self._metrics_port else 0
        environment = os.environ | {"METRICS_PORT": str(port)}
        return subprocess.Popen(  # noqa: S603 - fixed but for a number of ours
            command, start_new_session=True, env=environment
        )

    def _replace_dead(self) -> None:
        for index, process in enumerate(self._processes):
            if process.poll() is not None and not self._stopping:
                log.error("worker died", pid=process.pid, returncode=process.returncode)
                time.sleep(RESTART_PAUSE_S)
                self._processes[index] = self._start(index)

    def _stop_all(self) -> None:
        for process in self._processes:
            process.terminate()
        limit = time.monotonic() + STOP_LIMIT_S
        for process in self._processes:
            try:
                process.wait(max(0.0, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
