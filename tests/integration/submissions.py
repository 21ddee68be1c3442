"""Queue entries as a worker would peek them, built by hand, and the tables read back from outside."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row, text

from shared.requests import Poisoned, QueueEntry, Submission
from shared.rules import Operation
from worker.applying import AppliedRound

# What `verdicts` says of an entry: its status, result and reason.
ENROLLED = ("APPLIED", "ENROLLED", None)
FAILED = ("FAILED", "internal_error", None)
FIRST_ACCEPTED_AT = datetime(2026, 9, 1, 8, tzinfo=UTC)
REGISTER, DROP = Operation.REGISTER, Operation.DROP

LEDGER = text("SELECT * FROM registration_requests WHERE course_id = :course_id ORDER BY applied_index")
ROSTER = text(
    "SELECT student_id::text, status, reserve_position FROM course_registrations WHERE course_id = :course_id"
)
COUNTS = text("SELECT enrolled_count, reserved_count, applied_count FROM courses WHERE id = :course_id")


@dataclass
class QueueOf:
    """One course's queue: gives each entry its sequence and its time, as accepting would."""

    course_id: str
    generation: str = field(default_factory=lambda: str(uuid4()))
    sequences: Any = field(default_factory=lambda: itertools.count(1))

    def entry(self, operation: Operation, student_id: str, **changed: Any) -> Submission:
        """The next request of this course."""
        sequence = next(self.sequences)
        request_id = str(uuid4())
        fields: dict[str, Any] = {
            "raw_id": request_id.encode(),
            "request_id": request_id,
            "course_id": self.course_id,
            "student_id": student_id,
            "operation": operation,
            "generation": self.generation,
            "sequence": sequence,
            "accepted_at": FIRST_ACCEPTED_AT + timedelta(milliseconds=sequence),
        }
        return Submission(**(fields | changed))

    def register(self, student_id: str, **changed: Any) -> Submission:
        """A student asks for a place."""
        return self.entry(REGISTER, student_id, **changed)

    def drop(self, student_id: str, **changed: Any) -> Submission:
        """A student gives a place back."""
        return self.entry(DROP, student_id, **changed)

    def poisoned(self) -> Poisoned:
        """Something unreadable in the next place."""
        next(self.sequences)
        request_id = str(uuid4())
        return Poisoned(request_id.encode(), request_id, self.course_id, "its payload is not ours")


def verdicts(applied: AppliedRound) -> list[tuple[Any, ...]]:
    """What became of each entry, in order: (status, result or reason, position)."""
    return [
        (str(outcome.status), str(outcome.result or outcome.reason), outcome.reserve_position)
        for _, outcome in applied.finished
    ]


def ids(entries: Sequence[QueueEntry]) -> list[str]:
    """The request ids of these entries."""
    return [entry.request_id for entry in entries]


def finished_ids(applied: AppliedRound) -> list[str]:
    """The request ids that came to an end, in order."""
    return [entry.request_id for entry, _ in applied.finished]


def ledger_of(engine: Engine, course_id: str) -> list[Row[Any]]:
    """A course's ledger rows in the order in which they were applied."""
    with engine.connect() as connection:
        return list(connection.execute(LEDGER, {"course_id": course_id}))


def ledger_ids(engine: Engine, course_id: str) -> list[str]:
    """The request ids of a course's ledger, in order."""
    return [str(row.request_id) for row in ledger_of(engine, course_id)]


def roster_of(engine: Engine, course_id: str) -> dict[str, tuple[str, int | None]]:
    """Student -> (status, reserve position)."""
    with engine.connect() as connection:
        rows = connection.execute(ROSTER, {"course_id": course_id})
        return {row.student_id: (row.status, row.reserve_position) for row in rows}


def counts_of(engine: Engine, course_id: str) -> tuple[int, int, int]:
    """(enrolled, reserved, applied) as the course's row says."""
    with engine.connect() as connection:
        return tuple(connection.execute(COUNTS, {"course_id": course_id}).one())


def hold_row(connection: Connection, course_id: str) -> None:
    """Lock a course's row, as an import or another worker would, until this connection's transaction ends."""
    connection.execute(text("SELECT 1 FROM courses WHERE id = :id FOR UPDATE"), {"id": course_id})
