"""`python -m tests.faults.check`: whether what clients saw and what the database holds keep every promise."""

from pathlib import Path
from typing import Annotated

import psycopg2
import redis
import typer
from rich.console import Console

from tests.faults.checker.reading import SHARDS, HistoryError
from tests.faults.checker.verdict import check

EXIT_VIOLATIONS = 1
EXIT_UNREADABLE = 3


def main(
    history: Annotated[list[Path], typer.Option(help="A client-side log; may be given several times.")],
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="PostgreSQL.")],
    redis_url: Annotated[
        str | None,
        typer.Option(envvar="REDIS_URL", help="Redis; if given, nothing may be left waiting there."),
    ] = None,
    queue_shards: Annotated[
        int, typer.Option(envvar="QUEUE_SHARDS", min=1, help="The system's QUEUE_SHARDS.")
    ] = SHARDS,
) -> None:
    """Check clients' logs against the database, after every client is through and the queues are empty.

    Decides: every accepted request ended exactly once; per course the ledger is in the order of acceptance, without a
    gap and without a repeat, also in real time; no seat was ever sold twice; the ledger replays to the very rosters;
    nothing that a client was told changed, vanished or differs from the ledger.
    Exit code: 0 nothing is wrong, 1 something is, 2 the call is wrong, 3 a log, PostgreSQL or Redis cannot be read.
    """
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        verdict = check(history, database_url, redis_url, queue_shards)
    except (HistoryError, OSError, psycopg2.Error, redis.RedisError) as error:
        errors.print(str(error).strip(), markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_UNREADABLE) from error
    for violation in verdict.violations:
        console.print(str(violation), markup=False, soft_wrap=True)
    console.print(str(verdict), style="red" if verdict.violations else "green")
    if verdict.violations:
        raise typer.Exit(EXIT_VIOLATIONS)


if __name__ == "__main__":
    typer.run(main)
