"""`make run`: the whole system on this machine, from servers to dashboard, ended by one Ctrl-C."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from scripts.local_servers import LocalPostgres, LocalValkey
from scripts.processes import Child, http_status
from scripts.server_process import ServerError, ServerProcess, end_with_parent, log_tail
from scripts.stack_guide import print_guide
from scripts.stack_plan import (
    LOG_DIR,
    PROJECT_ROOT,
    STATE_DIR,
    PortBusyError,
    Ports,
    child_environment,
    planned_children,
    publish_environment,
)
from shared.database import command_engine, reading
from shared.settings import DEVELOPMENT_SECRET_KEY, Environment, Settings
from shared.store.ownership import shard_owners

READY_LIMIT_S = 60.0
SETUP_LIMIT_S = 300.0
WATCH_PAUSE_S = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

console = Console(highlight=False, soft_wrap=True)


class StartError(Exception):
    """The stack did not come up; the message says why and quotes the log."""


class StopRequestedError(Exception):
    """Someone asked the stack to end: Ctrl-C, SIGTERM, or a closed terminal."""


def run(  # noqa: PLR0913, PLR0917 - one per setting, all by name
    api_port: Annotated[int, typer.Option(envvar="API_PORT", min=1, max=65535)] = 8500,
    dashboard_port: Annotated[int, typer.Option(envvar="DASHBOARD_PORT", min=1, max=65535)] = 9181,
    postgres_port: Annotated[int, typer.Option(envvar="LOCAL_POSTGRES_PORT", min=1, max=65535)] = 54329,
    redis_port: Annotated[int, typer.Option(envvar="LOCAL_REDIS_PORT", min=1, max=65535)] = 63799,
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="Use this PostgreSQL.")] = "",
    redis_url: Annotated[str, typer.Option(envvar="REDIS_URL", help="Use this Redis or Valkey.")] = "",
    api_processes: Annotated[int, typer.Option(envvar="API_PROCESSES", min=1)] = 1,
    worker_processes: Annotated[int, typer.Option(envvar="WORKER_PROCESSES", min=1)] = 2,
    metrics_port: Annotated[
        int, typer.Option(envvar="METRICS_PORT", min=0, max=65000, help="The first worker's; 0 is none.")
    ] = 8501,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, API, workers and the RQ dashboard.

    Data, secrets and logs are kept in `.local`. PostgreSQL and Valkey come from wheels, unless DATABASE_URL or REDIS_URL
    name servers of your own. Ctrl-C ends everything.
    """
    ports = Ports(
        api_port,
        dashboard_port,
        None if database_url else postgres_port,
        None if redis_url else redis_port,
        range(metrics_port, metrics_port + worker_processes) if metrics_port else (),
    )
    for number in STOP_SIGNALS:
        signal.signal(number, _request_stop)
    try:
        ports.check_free()
        with ExitStack() as running, _stopping_in_peace():
            servers, environment = _start_servers(running, ports, database_url, redis_url)
            publish_environment(environment)
            _set_up(environment)
            children = planned_children(ports, api_processes, worker_processes, environment)
            _start_children(running, children)
            _wait_until_up(
                {
                    f"API on port {ports.api}": lambda: (
                        http_status(ports.api, "/health/ready") == HTTPStatus.OK
                    ),
                    f"{worker_processes} workers": lambda: (
                        _owners(environment["DATABASE_URL"]) >= worker_processes
                    ),
                    f"dashboard on port {ports.dashboard}": lambda: (
                        http_status(ports.dashboard, "/") == HTTPStatus.UNAUTHORIZED
                    ),
                },
                children,
            )
            print_guide(console, ports, environment)
            _watch(servers, children)
    except StopRequestedError:
        console.print("Stopped.")
    except (StartError, ServerError, PortBusyError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    raise StopRequestedError


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _stopping_in_peace() -> Iterator[None]:
    """However the block ends, what is stopped after it is stopped undisturbed by a second Ctrl-C."""
    try:
        yield
    except BaseException as reason:
        _ignore_signals()
        if isinstance(reason, StopRequestedError):
            console.print("\nStopping …")
        raise


def _start_servers(
    running: ExitStack, ports: Ports, database_url: str, redis_url: str
) -> tuple[list[ServerProcess], dict[str, str]]:
    """Start the servers that no URL stands in for; they are stopped last."""
    LOG_DIR.mkdir(parents=True, exist_ok=True)
    servers: list[ServerProcess] = []
    if ports.redis is not None:
        valkey = LocalValkey(STATE_DIR / "valkey", ports.redis, log_path=LOG_DIR / "valkey.log")
        _start_server(running, valkey)
        servers.append(valkey)
        redis_url = valkey.url
    if ports.postgres is not None:
        postgres = LocalPostgres(STATE_DIR / "postgres", ports.postgres, log_path=LOG_DIR / "postgres.log")
        _start_server(running, postgres)
        if postgres.relocated_to:
            console.print(f"  its data are in {postgres.relocated_to}: its user cannot reach {STATE_DIR}")
        servers.append(postgres)
        database_url = postgres.url
    return servers, child_environment(ports, database_url, redis_url)


def _start_server(running: ExitStack, server: ServerProcess) -> None:
    with _step(f"{server.name} on port {server.port}"):
        running.callback(server.stop)
        server.start()


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Show a step while it runs, and a line with its time when it is done."""
    began = time.monotonic()
    with console.status(f"{title} …"):
        yield
    console.print(f"[green]✓[/green] {title} [dim]({time.monotonic() - began:.1f} s)[/dim]")


def _set_up(environment: Mapping[str, str]) -> None:
    """Migrate and seed; both may be repeated."""
    commands = {
        "tables up to date": ("migrations", ["-m", "alembic", "upgrade", "head"]),
        "demo students and courses": ("seed", ["scripts/seed_student.py"]),
    }
    for title, (name, arguments) in commands.items():
        with _step(title):
            _run_once(name, [sys.executable, *arguments], environment)


def _run_once(name: str, command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command to its end. Raises StartError with the end of its log when it fails."""
    log_path = LOG_DIR / f"{name}.log"
    with log_path.open("wb") as log:
        try:
            finished = subprocess.run(
                command,
                check=False,
                cwd=PROJECT_ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
                timeout=SETUP_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            finished = subprocess.CompletedProcess(command, returncode=1)
    if finished.returncode != 0:
        message = f"{name} failed. The end of {log_path}:\n{log_tail(log_path)}"
        raise StartError(message)


def _start_children(running: ExitStack, children: list[Child]) -> None:
    running.callback(_stop_children, children)
    for child in children:
        child.start()


def _stop_children(children: list[Child]) -> None:
    """Stop in the order given: first what accepts, then what applies."""
    for child in children:
        child.stop()


def _wait_until_up(checks: Mapping[str, Callable[[], bool]], children: list[Child]) -> None:
    """Wait for each check to hold. Raises StartError when a child ends meanwhile, or after the time limit."""
    deadline = time.monotonic() + READY_LIMIT_S
    for title, holds in checks.items():
        with _step(title):
            while not holds():
                _check_alive(children)
                if time.monotonic() > deadline:
                    message = f"No {title} within {READY_LIMIT_S:.0f} s; see {LOG_DIR}"
                    raise StartError(message)
                time.sleep(WATCH_PAUSE_S)
    _check_alive(children)


def _owners(database_url: str) -> int:
    """How many workers own shards."""
    engine = command_engine(
        Settings(
            _env_file=None,
            environment=Environment.DEVELOPMENT,
            secret_key=DEVELOPMENT_SECRET_KEY,
            database_url=database_url,
        ),
        "stack",
    )
    with reading(engine) as connection:
        return len({worker for worker, _ in shard_owners(connection).values()})


def _check_alive(children: list[Child]) -> None:
    for child in children:
        if child.died:
            message = (
                f"{child.name} ended while starting ({child.exit_status}). "
                f"The end of {child.log_path}:\n{child.log_end}"
            )
            raise StartError(message)


def _watch(servers: list[ServerProcess], children: list[Child]) -> NoReturn:
    """Start again whatever dies, until someone asks the stack to end."""
    while True:
        for server in servers:
            if not server.running:
                console.print(f"{server.name} died; starting it again.", style="yellow")
                server.start()
        for child in children:
            _revive(child)
        time.sleep(WATCH_PAUSE_S)


def _revive(child: Child) -> None:
    pause_s = child.schedule_restart()
    if pause_s is not None:
        console.print(f"{child.name} died ({child.exit_status}); again in {pause_s:.0f} s.", style="yellow")
        console.print(child.log_end, style="dim", markup=False)
    if child.restart_if_due():
        console.print(f"{child.name} started again.")


if __name__ == "__main__":
    typer.run(run)
