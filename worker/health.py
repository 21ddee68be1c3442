"""`python -m worker.health`: do the workers of this host work? For container health checks, which know exit codes only."""

import socket
import sys
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from shared.course_queue.connection import RedisFailure, sync_client
from shared.course_queue.heartbeats import workers_alive_on
from shared.database import command_engine, ping
from shared.settings import Settings, load_settings


def main(
    *,
    live: Annotated[
        bool,
        typer.Option("--live", help="Fail only when the workers do nothing although their servers answer."),
    ] = False,
) -> None:
    """Exit with 0 when a worker of this host has sent a heartbeat lately, else with 1.

    A worker sends one only while both PostgreSQL and Redis answer it. Restarting it cannot mend a server, so `--live`,
    for a supervisor that restarts, lets a missing heartbeat pass during an outage.
    """
    settings = load_settings()
    sys.exit(0 if works(settings) or (live and not servers_answer(settings)) else 1)


def works(settings: Settings) -> bool:
    """Whether a worker of this host has sent a heartbeat lately."""
    try:
        return workers_alive_on(sync_client(settings), socket.gethostname()) > 0
    except RedisFailure:
        return False


def servers_answer(settings: Settings) -> bool:
    """Whether PostgreSQL and Redis are both there for a worker."""
    try:
        sync_client(settings).ping()
        with command_engine(settings, "worker-health").connect() as connection:
            ping(connection)
    except (*RedisFailure, SQLAlchemyError):
        return False
    return True


if __name__ == "__main__":
    typer.run(main)
