"""`python -m shared.audit`: whether every roster is what its course's ledger says, row by row."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import Connection, Engine

from shared.database import command_engine, reading, snapshot
from shared.errors import DatabaseUnavailableError, RegistrationSystemError
from shared.replay import Difference, StoredCourse, replay
from shared.rules import Decision, Window
from shared.settings import load_settings
from shared.store import ledger

EXIT_DIFFERENCES = 1
EXIT_UNKNOWN_COURSE = 2
EXIT_UNAVAILABLE = 3


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


def audit(engine: Engine, course_id: str | None = None) -> AuditReport:
    """Replay the ledger of every course, or of one, and compare. Only reads; takes no lock.

    Each course is read at one moment, so that a running system can be audited. Raises UnknownCourseError and
    DatabaseUnavailableError.
    """
    report = AuditReport()
    for _ in auditing(engine, course_ids(engine, course_id), report):
        pass
    if course_id is None:
        _audit_courses_gone(engine, report)
    return report


def course_ids(engine: Engine, course_id: str | None) -> list[str]:
    """The ids of all courses, or the one asked for. Raises UnknownCourseError."""
    if course_id is not None:
        course_id = _canonical(course_id)
    with reading(engine) as connection:
        found = [row.id for row in ledger.courses(connection, course_id)]
    if course_id is not None and not found:
        raise UnknownCourseError
    return found
