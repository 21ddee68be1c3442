"""Opening morning on demand: many students ask at once, every request is followed to its outcome, the ledger is audited."""

import random
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from sqlalchemy import Engine, Row

from scripts.registration_client import UnansweredError
from scripts.rush_crowd import Happened, Member, Plan, logged_in, minted, run
from scripts.rush_demand import Section, draw_asks
from scripts.rush_summary import differing_from_ledger, print_summary
from scripts.terminal import console, problems_told, say
from shared.audit import audit, print_report
from shared.database import command_engine, reading
from shared.errors import RegistrationSystemError
from shared.rules import Window
from shared.settings import load_settings
from shared.store import imports, ledger

FILES_BESIDE_CONNECTIONS = 100


def rush(  # noqa: PLR0913, PLR0917 - the options of a command
    students: Annotated[int, typer.Option(min=1, help="How many students ask.")],
    courses: Annotated[
        int | None, typer.Option(min=1, help="How many open courses they ask for; all by default.")
    ] = None,
    requests_per_student: Annotated[int, typer.Option(min=1, help="Courses each student asks for.")] = 1,
    base_url: Annotated[str, typer.Option(help="Where the API listens.")] = "http://127.0.0.1:8500",
    semester: Annotated[str | None, typer.Option(help="Only courses of the semester of that name.")] = None,
    login: Annotated[
        Path | None,
        typer.Option(
            help="Log in with this CSV's student_number,password, instead of signing tokens with SECRET_KEY.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    oversubscribe: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--oversubscribe", help="Ask for each course a fifth more than it has places.")
    ] = False,
    drop_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Part of those placed that drop right away.")
    ] = 0.0,
    connections: Annotated[
        int, typer.Option(min=1, help="Clients at work at a time, with a connection each.")
    ] = 1_000,
    prefer_wait: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option(help="Let the POST wait for the outcome (Prefer: wait), instead of polling only.")
    ] = True,
    patience: Annotated[float, typer.Option(min=1, help="Seconds until a client gives up.")] = 300.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same demand.")] = 1,
    log: Annotated[
        Path | None, typer.Option(help="Append a JSON line per event to this file.", dir_okay=False)
    ] = None,
    no_audit: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--no-audit", help="Leave out the audit at the end.")
    ] = False,
) -> None:
    """Send a rush of registrations, follow each to its outcome, compare with the ledger, and audit that.

    Students and courses come from the database (DATABASE_URL), which must be the API's. Latency counts from a client's
    first try until it knows the outcome, repetitions included. Kill any process meanwhile: nothing may get lost.
    Exit code 1 if anything got lost, was never answered, or differs.
    """
    with problems_told():
        plan = Plan(base_url, connections, prefer_wait, patience, drop_fraction, seed, log)
        engine = command_engine(load_settings(), "rush")
        try:
            _allow_connections(connections)
            sections = _choose_courses(engine, semester, courses, seed)
            asks = draw_asks(students, sections, requests_per_student, oversubscribe=oversubscribe, seed=seed)
            members = _members(engine, plan, login, students)
            happened = uvloop.run(run(plan, members, asks))
        except (ValueError, UnansweredError) as error:
            raise RegistrationSystemError(str(error)) from error
        print_summary(happened, console)
        sound = _is_sound(engine, happened, with_audit=not no_audit)
    raise typer.Exit(0 if sound else 1)


def _allow_connections(count: int) -> None:
    """Raise this process's limit of open files if it is too low. Raises ValueError where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + FILES_BESIDE_CONNECTIONS
    if soft >= needed:
        return
    if resource.RLIM_INFINITY != hard < needed:
        message = f"--connections {count} needs {needed} open files, and this system allows {hard}"
        raise ValueError(message)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _choose_courses(engine: Engine, semester: str | None, count: int | None, seed: int) -> list[Section]:
    """Courses that are open now, `count` of them drawn by the seed. Raises ValueError when there are too few."""
    with reading(engine) as connection:
        rows = [row for row in ledger.courses(connection, None) if semester in (None, row.semester)]
    opened = [row for row in rows if _is_open(row)]
    if not opened or len(opened) < (count or 0):
        message = (
            f"{len(opened)} courses are open, too few; load a catalogue with scripts/import_catalogue.py"
        )
        raise ValueError(message)
    chance = random.Random(seed)  # noqa: S311 - demand, not secrets
    drawn = opened if count is None else chance.sample(opened, count)
    return [Section(row.id, row.max_capacity + row.reserve_limit) for row in drawn]


def _is_open(row: Row[Any]) -> bool:
    return Window(row.registration_start, row.registration_end).refusal(datetime.now(UTC)) is None


def _members(engine: Engine, plan: Plan, login: Path | None, count: int) -> list[Member]:
    """As many students with tokens. Raises ValueError when there are too few."""
    if login is not None:
        members = uvloop.run(logged_in(plan, login, count))
    else:
        with reading(engine) as connection:
            students = imports.students(connection, count)
        members = minted(load_settings(), students)
    if len(members) < count:
        message = (
            f"{len(members)} students, too few; for tests there is scripts/make_students.py --count {count}"
        )
        raise ValueError(message)
    return members


def _is_sound(engine: Engine, happened: Happened, *, with_audit: bool) -> bool:
    """Whether nothing got lost, the ledger says what the clients were told, and the audit finds nothing."""
    differing = differing_from_ledger(engine, happened)
    say(f"answers that the ledger does not confirm: {len(differing)}")
    for request_id in differing[:10]:
        say(f"  {request_id}", style="red")
    sound = not (happened.lost or happened.unanswered or differing)
    if not with_audit:
        return sound
    report = audit(engine, progress=console.is_terminal)
    print_report(report, console)
    return sound and not report.differences


if __name__ == "__main__":
    typer.run(rush)
