"""What the local stack is going to run: ports, secrets, and the environment of every child."""

import errno
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.processes import Child
from scripts.server_process import write_private

PROJECT_ROOT = Path(__file__).resolve().parents[1]
STATE_DIR = PROJECT_ROOT / ".local"
SECRETS_FILE = STATE_DIR / "secrets.env"
LOG_DIR = STATE_DIR / "logs"
# For other commands on the running stack; a shell can source it.
ENVIRONMENT_FILE = STATE_DIR / "stack.env"
PUBLISHED = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "QUEUE_SHARDS")
PORT_LIMIT_S = 2.0
PORT_PAUSE_S = 0.1
SECRET_BYTES = 48
DASHBOARD_USERNAME = "ops"
DASHBOARD_PASSWORD_BYTES = 15


class PortBusyError(Exception):
    """Something else listens on a port that the stack needs."""


@dataclass(frozen=True)
class Ports:
    """The TCP ports on 127.0.0.1; None for a server that is not ours to start."""

    api: int
    dashboard: int
    postgres: int | None
    redis: int | None
    metrics: Sequence[int]
    """One per worker."""

    def check_free(self) -> None:
        """Raise PortBusyError, naming the port and the variable that changes it, when one is taken."""
        wanted = {
            "API_PORT": self.api,
            "DASHBOARD_PORT": self.dashboard,
            "LOCAL_POSTGRES_PORT": self.postgres,
            "LOCAL_REDIS_PORT": self.redis,
        }
        seen: dict[int, str] = {}
        for variable, port in [*wanted.items(), *(("METRICS_PORT", port) for port in self.metrics)]:
            if port is None:
                continue
            if port in seen:
                message = f"{seen[port]} and {variable} are both {port}. Set one of them to another port."
                raise PortBusyError(message)
            if not _becomes_free(port):
                message = (
                    f"Port {port} is in use (is the stack running already?). "
                    f"Stop what uses it, or set {variable}, for example: {variable}={port + 1} make run"
                )
                raise PortBusyError(message)
            seen[port] = variable


def _becomes_free(port: int) -> bool:
    """Whether the port is free within a moment: a stack that has just been killed needs one to go down."""
    deadline = time.monotonic() + PORT_LIMIT_S
    while not (is_free := _is_free(port)) and time.monotonic() < deadline:
        time.sleep(PORT_PAUSE_S)
    return is_free


def _is_free(port: int) -> bool:
    """Whether a server could bind the port; connections of an earlier one that still linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def kept_secrets() -> dict[str, str]:
    """The secrets of this working copy, made up on the first run; what the environment sets wins."""
    if not SECRETS_FILE.exists():
        fresh = {
            "SECRET_KEY": secrets.token_urlsafe(SECRET_BYTES),
            "RQ_DASHBOARD_USERNAME": DASHBOARD_USERNAME,
            "RQ_DASHBOARD_PASSWORD": secrets.token_urlsafe(DASHBOARD_PASSWORD_BYTES),
        }
        write_private(SECRETS_FILE, "".join(f"{name}={value}\n" for name, value in fresh.items()))
    lines = SECRETS_FILE.read_text(encoding="utf-8").splitlines()
    kept = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: os.environ.get(name) or value for name, value in kept.items()}


def child_environment(ports: Ports, database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of every child: ours, and what makes them one system."""
    search_path = [str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")]
    return (
        dict(os.environ)
        | kept_secrets()
        | {
            "ENVIRONMENT": "development",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "DASHBOARD_HOST": "127.0.0.1",
            "DASHBOARD_PORT": str(ports.dashboard),
            "METRICS_PORT": str(ports.metrics[0] if ports.metrics else 0),
            "PYTHONPATH": os.pathsep.join(filter(None, search_path)),
            "PYTHONUNBUFFERED": "1",
        }
    )


def publish_environment(environment: Mapping[str, str]) -> None:
    """Write what another command needs to reach this stack, for our eyes only."""
    lines = [f"{name}={shlex.quote(environment[name])}\n" for name in PUBLISHED if name in environment]
    write_private(ENVIRONMENT_FILE, "".join(lines))


def planned_children(
    ports: Ports, api_processes: int, worker_processes: int, environment: Mapping[str, str]
) -> list[Child]:
    """API, workers and dashboard, in the order in which they are started and stopped."""
    modules = {
        "api": ["api", "--host", "127.0.0.1", "--port", str(ports.api), "--processes", str(api_processes)],
        "workers": ["worker", "--processes", str(worker_processes)],
        "dashboard": ["scripts.dashboard"],
    }
    return [
        Child(name, [sys.executable, "-m", *module], PROJECT_ROOT, environment, LOG_DIR / f"{name}.log")
        for name, module in modules.items()
    ]
