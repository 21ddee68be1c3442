"""Load students from a CSV file, hashing their passwords on every core: all of it or nothing."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from scripts.csv_rows import FirstLines, Problems, RowReader, read_rows
from scripts.terminal import problems_told, progress_bar, say
from shared.database import command_engine, reading, writing
from shared.errors import ImportFileError, RegistrationSystemError
from shared.security import PASSWORD_BYTES_MAX, hash_cost, hash_password
from shared.settings import load_settings
from shared.store import imports

STUDENT_NUMBER_LENGTH_MAX = 64
# A higher cost would keep a process that checks logins busy for seconds with each.
BCRYPT_HASH = re.compile(r"\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}")
HASHES_PER_TASK = 8
TASKS_WAITING_PER_PROCESS = 4
CHUNK_SIZE = 1_000
# Measured on one core of a small virtual machine.
SECONDS_AT_COST_10 = 0.06

Credential = tuple[str, str]
"""A student number with a password, or with its hash."""


def import_students(
    file: Annotated[Path, typer.Argument(help="CSV file in UTF-8.", exists=True, dir_okay=False)],
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that hash; by default one per core.")
    ] = None,
    cost: Annotated[
        int | None, typer.Option(min=4, max=16, help="bcrypt cost; by default the BCRYPT_COST of the logins.")
    ] = None,
    keep_existing: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--keep-existing", help="Leave students that exist as they are, unhashed.")
    ] = False,
) -> None:
    """Load students from a CSV file: all of it or nothing. Safe to repeat; use --keep-existing to repeat quickly.

    Columns: student_number, and either password or password_hash (bcrypt: $2a$, $2b$ or $2y$). No hash may cost more than
    the BCRYPT_COST of the logins: then the time that a wrong password takes would tell who is a student.

    A password takes a core about 60 ms at cost 10 and 235 ms at cost 12, so 100,000 take 100 minutes of one core at cost
    10 and six and a half hours at cost 12; that divides by the cores. Best give password_hash, made where the passwords
    are. Or give every student a long random initial password (16 random letters and digits: no cost makes them easier to
    guess) and use --cost 10: the first login hashes again at the configured cost.
    """
    with problems_told():
        settings = load_settings()
        cost = permitted_cost(cost, settings.bcrypt_cost)
        credentials, ready = read_students(file, settings.bcrypt_cost)
        engine = command_engine(settings, "import-students")
        kept = 0
        if keep_existing:
            credentials, kept = _without_existing(engine, credentials)
        if not ready and credentials:
            workers = min(processes or os.cpu_count() or 1, len(credentials))
            credentials = hash_all(credentials, cost, workers)
        write_students(engine, credentials)
        told = f", {kept} existed and were left as they are" if keep_existing else ""
        say(f"{len(credentials)} students written{told}")


def permitted_cost(cost: int | None, cost_max: int) -> int:
    """The cost to hash at: `cost_max` unless a lower one is given. Raises RegistrationSystemError for a higher one."""
    if cost is not None and cost > cost_max:
        message = f"--cost {_too_dear(cost, cost_max)}"
        raise RegistrationSystemError(message)
    return cost or cost_max


def read_students(file: Path, cost_max: int) -> tuple[list[Credential], bool]:
    """The file's students, and whether their passwords are hashed already, at `cost_max` at the most.

    Raises ImportFileError naming every bad row.
    """
    problems = Problems()
    rows = read_rows(file, ["student_number"], ["password", "password_hash"], problems)
    columns = rows[0].values.keys()
    if ("password" in columns) == ("password_hash" in columns):
        raise ImportFileError(
            ["line 1: there must be one column password or password_hash, not both or neither"]
        )
    ready = "password_hash" in columns
    seen = FirstLines("student_number")
    credentials: list[Credential] = []
    for row in rows:
        read = RowReader(row, problems)
        student_number = read.required_text("student_number", STUDENT_NUMBER_LENGTH_MAX)
        seen.check(student_number, row.line, problems)
        secret = read.required_text("password_hash") if ready else row.values["password"]
        reason = _hash_problem(secret, cost_max) if ready else _password_problem(secret)
        if reason:
            problems.add(row.line, reason)
        credentials.append((student_number, secret))
    problems.require_none()
    return credentials, ready


def _hash_problem(password_hash: str, cost_max: int) -> str | None:
    """What is wrong with a hash that is not empty."""
    if not password_hash:
        return None
    if not BCRYPT_HASH.fullmatch(password_hash):
        return "password_hash is not a bcrypt hash ($2a$, $2b$ or $2y$, cost 04 to 16, 53 characters)"
    cost = hash_cost(password_hash)
    return f"password_hash of cost {_too_dear(cost, cost_max)}" if cost > cost_max else None


def _too_dear(cost: int, cost_max: int) -> str:
    return (
        f"{cost} is above the BCRYPT_COST of {cost_max}, so that the time of a failed login would tell who exists;"
        " raise BCRYPT_COST first"
    )


def _password_problem(password: str) -> str | None:
    if not password:
        return "password is empty"
    size = len(password.encode())
    if size > PASSWORD_BYTES_MAX:
        return f"password has {size} bytes; bcrypt takes at most {PASSWORD_BYTES_MAX}"
    return None


def _without_existing(engine: Engine, credentials: Sequence[Credential]) -> tuple[list[Credential], int]:
    with reading(engine) as connection:
        existing = imports.stored_hashes(connection, [number for number, _ in credentials])
    missing = [credential for credential in credentials if credential[0] not in existing]
    return missing, len(credentials) - len(missing)


def hash_all(credentials: Sequence[Credential], cost: int, processes: int) -> list[Credential]:
    """The same students with hashes in place of passwords, in any order."""
    seconds = len(credentials) * SECONDS_AT_COST_10 * 2 ** (cost - 10) / processes
    say(
        f"hashing {len(credentials)} passwords at cost {cost} in {processes} processes: about {_duration(seconds)}"
    )
    hashed: list[Credential] = []
    # A fresh interpreter per process: a fork would copy the progress bar's thread and its locks.
    with (
        ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool,
        progress_bar() as progress,
    ):
        task = progress.add_task("passwords", total=len(credentials))
        for part in _in_parallel(pool, credentials, cost, processes * TASKS_WAITING_PER_PROCESS):
            hashed += part
            progress.advance(task, len(part))
    return hashed


def _duration(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"  # noqa: PLR2004 - two hours


def _in_parallel(
    pool: ProcessPoolExecutor, credentials: Sequence[Credential], cost: int, tasks_max: int
) -> Iterator[list[Credential]]:
    """Hashed parts as they are done; no more than `tasks_max` wait, so that an interrupt takes effect soon."""
    parts = iter(
        credentials[start : start + HASHES_PER_TASK] for start in range(0, len(credentials), HASHES_PER_TASK)
    )
    running: set[Future[list[Credential]]] = set()
    while True:
        free = tasks_max - len(running)
        running |= {pool.submit(hash_part, part, cost) for part in islice(parts, free)}
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def hash_part(part: Sequence[Credential], cost: int) -> list[Credential]:
    """Hash a few passwords; runs in a process of the pool."""
    return [(student_number, hash_password(password, cost)) for student_number, password in part]


def write_students(engine: Engine, credentials: Sequence[Credential]) -> None:
    """Insert students with their hashes, or replace the hashes, in one transaction."""
    # In one order, so that two imports at a time wait for each other instead of deadlocking.
    ordered = sorted(credentials)
    with writing(engine) as connection, progress_bar() as progress:
        task = progress.add_task("students", total=len(ordered))
        for start in range(0, len(ordered), CHUNK_SIZE):
            chunk = ordered[start : start + CHUNK_SIZE]
            rows = [
                {"student_number": number, "password_hash": password_hash} for number, password_hash in chunk
            ]
            imports.upsert_students(connection, rows)
            progress.advance(task, len(chunk))


if __name__ == "__main__":
    typer.run(import_students)
