"""`python -m shared.audit`: whether every roster is what its course's ledger says, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import track
from sqlalchemy import Engine

from shared.database import reading, snapshot
from shared.errors import RegistrationSystemError
from shared.manage.choice import chosen_course
from shared.manage.parts import EXIT_NOT_AS_WISHED, EXIT_UNKNOWN, running_system
from shared.manage.terminal import console, tell_problem
from shared.replay import Difference, StoredCourse, replay
from shared.requests import Outcome
from shared.rules import Decision, Window
from shared.store import ledger

DIFFERENCES_SHOWN_MAX = 200


class UnknownCourseError(RegistrationSystemError):
    """There is no such course."""


@dataclass(slots=True)
class AuditReport:
    """How much was replayed, and what differs."""

    courses: int = 0
    requests: int = 0
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.courses} courses, {self.requests} requests, {len(self.differences)} differences"


def audit(engine: Engine, course_id: str | None = None, *, progress: bool = False) -> AuditReport:
    """Replay the ledger of every course, or of one, and compare. Only reads, and takes no lock.

    Each course is read as of one moment, so that a running system can be audited. `progress` shows a bar.
    Raises UnknownCourseError and DatabaseUnavailableError.
    """
    report = AuditReport()
    ids = _course_ids(engine, course_id)
    for each in track(ids, "auditing", transient=True, disable=not progress):
        stored, entries = _read_course(engine, each)
        report.courses += 1
        report.requests += len(entries)
        report.differences += replay(stored, entries)
    if course_id is None:
        _audit_missing_courses(engine, report)
    return report


def _course_ids(engine: Engine, course_id: str | None) -> list[str]:
    with reading(engine) as connection:
        ids = [row.id for row in ledger.courses(connection, course_id and _canonical(course_id))]
    if course_id is not None and not ids:
        raise UnknownCourseError
    return ids


def _canonical(course_id: str) -> str:
    try:
        return str(UUID(course_id))
    except ValueError as error:
        raise UnknownCourseError from error


def _read_course(engine: Engine, course_id: str) -> tuple[StoredCourse, Sequence[Outcome]]:
    """The course, its roster and its ledger as of one moment. Raises UnknownCourseError if it went meanwhile."""
    with snapshot(engine) as connection:
        rows = ledger.courses(connection, course_id)
        if not rows:
            raise UnknownCourseError
        row = rows[0]
        stored = StoredCourse(
            course_id=course_id,
            title=f"{row.code} {row.section}".strip(),
            max_capacity=row.max_capacity,
            reserve_limit=row.reserve_limit,
            window=Window(row.registration_start, row.registration_end),
            window_set_at=row.window_set_at,
            enrolled_count=row.enrolled_count,
            reserved_count=row.reserved_count,
            applied_count=row.applied_count,
            roster=[tuple(place) for place in ledger.roster(connection, course_id)],
        )
        return stored, list(ledger.entries(connection, course_id))


def _audit_missing_courses(engine: Engine, report: AuditReport) -> None:
    """Requests that name a course which never was can only have failed."""
    with snapshot(engine) as connection:
        missing = ledger.missing_courses(connection)
    report.requests += sum(row.requests for row in missing)
    report.differences += [
        Difference(row.course_id, "no such course", None, "requests that did not fail", 0, row.not_failed)
        for row in missing
        if row.not_failed
    ]


def main(
    course: Annotated[
        str | None,
        typer.Option(help="Audit this course only: its id, its external id, or its code and section."),
    ] = None,
    semester: Annotated[str | None, typer.Option(help="The semester's name, where several have it.")] = None,
) -> None:
    """Replay every course's ledger through the rules and compare each outcome, the order, the rosters and the counts.

    Only reads, and may run while registration is open. Exit code: 0 nothing differs, 1 something differs, 2 no course, or
    more than one, is meant, 3 PostgreSQL or the configuration is not in order.
    """
    with running_system("audit") as parts:
        course_id = None
        if course is not None:
            with reading(parts.engine) as connection:
                course_id = chosen_course(connection, course, semester).id
        try:
            report = audit(parts.engine, course_id, progress=console.is_terminal)
        except UnknownCourseError as error:
            tell_problem(f"{error} It was deleted just now.")
            raise typer.Exit(EXIT_UNKNOWN) from error
    print_report(report, console)
    if report.differences:
        raise typer.Exit(EXIT_NOT_AS_WISHED)


def print_report(report: AuditReport, console: Console) -> None:
    """What differs, and the sum in one line."""
    for difference in report.differences[:DIFFERENCES_SHOWN_MAX]:
        console.print(describe(difference), markup=False, soft_wrap=True)
    hidden = len(report.differences) - DIFFERENCES_SHOWN_MAX
    if hidden > 0:
        console.print(f"and {hidden} more")
    console.print(str(report), style="red" if report.differences else "green")


def describe(difference: Difference) -> str:
    """A difference in one line."""
    place = "" if difference.applied_index is None else f" #{difference.applied_index}"
    return (
        f"{difference.title} ({difference.course_id}){place}: {difference.what}:"
        f" expected {_shown(difference.expected)}, found {_shown(difference.found)}"
    )


def _shown(value: object) -> str:
    if not isinstance(value, Decision):
        return str(value)
    parts = [value.status, value.result, value.reason]
    told = " ".join(part for part in parts if part is not None)
    position = f" at {value.reserve_position}" if value.reserve_position is not None else ""
    promoted = f", promoting {value.promoted}" if value.promoted is not None else ""
    return told + position + promoted


if __name__ == "__main__":
    typer.run(main)
