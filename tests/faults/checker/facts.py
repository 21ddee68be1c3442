"""What is checked: the calls as the clients saw them, and the tables as they stand when everything is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Document = dict[str, Any]

QUEUED = "QUEUED"
FAILED = "FAILED"
ACCEPTED_STATUSES = (200, 202)


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: which, for which course and requests, and how."""

    kind: str
    course_id: str | None
    request_ids: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        where = f" course {self.course_id}" if self.course_id else ""
        who = f" request {' '.join(self.request_ids)}" if self.request_ids else ""
        return f"{self.kind}:{where}{who}: {self.what}"


@dataclass(frozen=True)
class Call:
    """One HTTP call. A submission names course, operation and key; a look names the request it asks for."""

    number: str
    sent_ns: int
    student_id: str
    course_id: str | None = None
    operation: str | None = None
    key: str | None = None
    asked_id: str | None = None
    answered_ns: int | None = None
    status: int | None = None
    document: Document | None = None
    text: str = ""

    @property
    def request_id(self) -> str | None:
        """The request that the answer is about."""
        return self.document["request_id"] if self.document else self.asked_id


@dataclass(frozen=True)
class ClientView:
    """All calls, in the order in which they were sent, and what a test did on purpose.

    `damaged` are the requests that it destroyed, each with the time before which it was sound; `at_edges` the courses
    about whose window it made the API's clock wrong.
    """

    calls: Sequence[Call]
    damaged: Mapping[str, int] = field(default_factory=dict)
    at_edges: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LedgerRow:
    """A row of `registration_requests`."""

    request_id: str
    course_id: str
    student_id: str | None
    operation: str | None
    generation: str | None
    sequence: int | None
    accepted_at: datetime | None
    applied_at: datetime
    applied_index: int
    status: str
    result: str | None
    reason: str | None
    reserve_position: int | None
    promoted_student_id: str | None


@dataclass(frozen=True)
class CourseFacts:
    """A course, its roster as student -> (status, reserve position), and its ledger by applied index.

    `lives` tells of each generation in the ledger the highest sequence with which it began in another course, or here with
    its very first request.
    """

    course_id: str
    max_capacity: int
    reserve_limit: int
    enrolled_count: int
    reserved_count: int
    applied_count: int
    opens_at: datetime
    closes_at: datetime
    roster: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    ledger: Sequence[LedgerRow] = ()
    lives: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueFacts:
    """What Redis holds of a course when everything is over."""

    course_id: str
    waiting: Sequence[str]
    ready: bool
