"""`python -m worker`: run one worker, or several."""

import sys
from typing import Annotated, NoReturn

import structlog
import typer
from pydantic import ValidationError

from shared.errors import QueueShardsError, TracesUnavailableError, UnsafeRedisError
from shared.logs import configure_logging
from shared.settings import load_settings, problems_of
from shared.tracing import require_packages
from worker.processes import WorkerProcesses
from worker.registration_worker import RegistrationWorker

log = structlog.get_logger()


def main(
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many workers, a process each.")] = 1,
    supervisor_pid: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Apply the requests that wait in the course queues, in order, to PostgreSQL.

    Start as many as you like, on as many machines as you like: they share the courses among themselves.
    Each waits for Redis and PostgreSQL as long as it takes, but refuses a Redis that could lose requests,
    and one whose system has another number of shards.
    SIGTERM ends each after the round in hand. Configuration comes from the environment.
    """
    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        require_packages(settings)
        if processes > 1:
            WorkerProcesses(processes, settings.metrics_port).run()
        else:
            RegistrationWorker(settings, supervisor_pid).work()
    except ValidationError as error:
        _end(problems_of(error))
    except (UnsafeRedisError, QueueShardsError, TracesUnavailableError) as error:
        _end(str(error))


def _end(problem: str) -> NoReturn:
    typer.echo(f"The worker cannot start: {problem}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
