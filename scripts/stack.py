"""`make run`: the whole system on this machine, from servers to dashboard, ended by one Ctrl-C."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from scripts.local_servers import LocalPostgres, LocalValkey
from scripts.processes import Child, http_status
from scripts.server_process import ServerError, ServerProcess, log_tail
from scripts.stack_plan import (
    LOG_DIR,
    PROJECT_ROOT,
    STATE_DIR,
    PortBusyError,
    Ports,
    child_environment,
    planned_children,
)

READY_LIMIT_S = 60.0
SETUP_LIMIT_S = 300.0
WATCH_PAUSE_S = 0.2
OK = 200
UNAUTHORIZED = 401

console = Console(highlight=False, soft_wrap=True)


class StartError(Exception):
    """The stack did not come up; the message says why and quotes the log."""


class StopRequestedError(Exception):
    """Someone asked the stack to end: Ctrl-C, SIGTERM, or a closed terminal."""


PortOption = Annotated[int, typer.Option(min=1, max=65535)]


def run(  # noqa: PLR0913, PLR0917 - one per setting, all by name
    api_port: Annotated[int, typer.Option(envvar="API_PORT", min=1, max=65535)] = 8500,
    dashboard_port: Annotated[int, typer.Option(envvar="DASHBOARD_PORT", min=1, max=65535)] = 9181,
    postgres_port: Annotated[int, typer.Option(envvar="LOCAL_POSTGRES_PORT", min=1, max=65535)] = 54329,
    redis_port: Annotated[int, typer.Option(envvar="LOCAL_REDIS_PORT", min=1, max=65535)] = 63799,
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="Use this PostgreSQL.")] = "",
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="Use this Redis or Valkey.")] = "",
    api_processes: Annotated[int, typer.Option(envvar="API_PROCESSES", min=1)] = 1,
    worker_processes: Annotated[int, typer.Option(envvar="WORKER_PROCESSES", min=1)] = 2,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, API, workers and the RQ dashboard.

    Data, secrets and logs are kept in `.local`. PostgreSQL and Valkey come from wheels, unless DATABASE_URL or REDIS_URL
    name servers of your own. Ctrl-C ends everything.
    """
    ports = Ports(
        api_port, dashboard_port, None if database_url else postgres_port, None if redis_url else redis_port
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _request_stop)
    try:
        ports.check_free()
        with ExitStack() as running:
            # First in, last out: from here on a second Ctrl-C must not interrupt the stopping.
            running.callback(console.print, "Stopped.")
            running.push(lambda *_: _ignore_signals())
            servers, environment = _start_servers(running, ports, database_url, redis_url)
            _set_up(environment)
            children = planned_children(ports, api_processes, worker_processes, environment)
            _start_children(running, children)
            _wait_until_up(ports, children)
            _print_guide(ports, environment)
            _watch(servers, children)
    except StopRequestedError:
        return
    except (StartError, ServerError, PortBusyError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
