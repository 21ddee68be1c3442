"""A request on its way: as accepted into a queue, and as decided, with its one form on the wire."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from shared.rules import Operation, Reason, Result, Status

RANDOM_BITS = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted request, read back from its course's queue."""

    raw_id: bytes
    """The element of the Redis list, by which it is removed."""
    request_id: str
    course_id: str
    student_id: str
    operation: Operation
    generation: str
    sequence: int
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A queue entry that is no request of ours: it ends as FAILED at its own place."""

    raw_id: bytes
    request_id: str
    course_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an accepted request stands: behind `ahead` others of its course, each taking `pace_us` microseconds."""

    request_id: str
    sequence: int
    accepted_at: datetime
    ahead: int
    pace_us: int


QueueEntry = Submission | Poisoned


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the ledger. What a poisoned entry did not tell is None."""

    request_id: str
    course_id: str
    student_id: str | None
    operation: Operation | None
    generation: str | None
    sequence: int | None
    accepted_at: datetime | None
    applied_at: datetime
    applied_index: int
    status: Status
    result: Result | None
    reason: Reason | None
    reserve_position: int | None
    promoted_student_id: str | None
    worker: str


def new_request_id(student_id: str) -> str:
    """A fresh UUID (version 8, RFC 9562): 60 random bits and a mark of the student they are for.

    By the mark a student can be told of a request of which nothing else is left to read.
    """
    return _marked(secrets.randbits(RANDOM_BITS), student_id)


def bears_mark_of(request_id: str, student_id: str) -> bool:
    """Whether the id was made for this student; ids made elsewhere bear nobody's mark."""
    value = UUID(request_id).int
    chance = value >> 80 << 12 | (value >> 64) & 0xFFF
    return request_id == _marked(chance, student_id)


def _marked(chance: int, student_id: str) -> str:
    digest = sha256(f"{chance} {student_id}".encode()).digest()
    mark = int.from_bytes(digest[:8]) >> 2
    version, variant = 8, 0b10
    return str(UUID(int=(chance >> 12) << 80 | version << 76 | (chance & 0xFFF) << 64 | variant << 62 | mark))


def moment(microseconds: int) -> datetime:
    """The UTC time that many microseconds after the Unix epoch, exactly."""
    return EPOCH + timedelta(microseconds=microseconds)


def rfc3339(value: datetime | None) -> str | None:
    """A time as RFC 3339 in UTC, to the microsecond."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def outcome_document(outcome: Outcome) -> str:
    """The JSON text that every client sees of a finished request."""
    return to_json(
        {
            "request_id": outcome.request_id,
            "course_id": outcome.course_id,
            "operation": outcome.operation,
            "status": outcome.status,
            "result": outcome.result,
            "reason": outcome.reason,
            "reserve_position": outcome.reserve_position,
            "sequence": outcome.sequence,
            "ahead": None,
            "estimated_wait_ms": None,
            "accepted_at": rfc3339(outcome.accepted_at),
            "applied_at": rfc3339(outcome.applied_at),
        }
    ).decode()


def waiting_document(course_id: str, operation: str, place: Place) -> dict[str, Any]:
    """The same document for a request that still waits."""
    return {
        "request_id": place.request_id,
        "course_id": course_id,
        "operation": operation,
        "status": Status.QUEUED,
        "result": None,
        "reason": None,
        "reserve_position": None,
        "sequence": place.sequence,
        "ahead": place.ahead,
        "estimated_wait_ms": (place.ahead + 1) * place.pace_us // 1000,
        "accepted_at": rfc3339(place.accepted_at),
        "applied_at": None,
    }
