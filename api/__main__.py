"""`python -m api`: the API with one process or several, JSON logs, and metrics that are right for all processes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError

from shared.errors import TracesUnavailableError
from shared.logs import configure_logging
from shared.settings import load_settings, problems_of
from shared.tracing import require_packages

# At SIGTERM clients that wait are told where to go on; this is for whatever else is in hand.
SHUTDOWN_LIMIT_S = 5
METRICS_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def main(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8500,
    processes: Annotated[
        int, typer.Option(min=1, max=64, envvar="WEB_CONCURRENCY", help="How many; one fills one core.")
    ] = 1,
    *,
    access_log: Annotated[bool, typer.Option(help="A line per call: costs more than most calls do.")] = False,
) -> None:
    """Serve the HTTP API. Configuration comes from the environment; SIGTERM ends it within a few seconds."""
    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        require_packages(settings)
    except (ValidationError, TracesUnavailableError) as error:
        problem = problems_of(error) if isinstance(error, ValidationError) else error
        typer.echo(f"The API cannot start: {problem}", err=True)
        raise typer.Exit(1) from error
    with _shared_counts(processes):
        uvicorn.run(
            "api.main:app",
            host=host,
            port=port,
            workers=processes,
            http="api.door:Door",
            access_log=access_log,
            # Ours is configured, here and in every process that imports the application.
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_LIMIT_S,
        )


@contextmanager
def _shared_counts(processes: int) -> Iterator[None]:
    """A fresh directory in which several processes keep their counts; one alone needs none."""
    # A directory named from outside may hold the counts of an earlier run.
    os.environ.pop(METRICS_DIRECTORY_VARIABLE, None)
    if processes == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="registration-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ[METRICS_DIRECTORY_VARIABLE] = directory
        yield


if __name__ == "__main__":
    typer.run(main)
