"""The rules of registration: pure decisions over one course's roster, without I/O and without a clock.

The worker applies them and the audit replays them. `docs/state-diagram.md` draws them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

StudentId = str


class Operation(StrEnum):
    """What a student asks for."""

    REGISTER = "REGISTER"
    DROP = "DROP"


class Status(StrEnum):
    """How far a request has come; all but QUEUED are final."""

    QUEUED = "QUEUED"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class Result(StrEnum):
    """What an APPLIED request made of the student's registration."""

    ENROLLED = "ENROLLED"
    RESERVED = "RESERVED"
    DROPPED = "DROPPED"


class Reason(StrEnum):
    """Why a request was REJECTED or FAILED."""

    COURSE_FULL = "course_full"
    ALREADY_REGISTERED = "already_registered"
    NOT_REGISTERED = "not_registered"
    REGISTRATION_NOT_OPEN = "registration_not_open"
    REGISTRATION_CLOSED = "registration_closed"
    INTERNAL_ERROR = "internal_error"


WINDOW_REASONS = frozenset({Reason.REGISTRATION_NOT_OPEN, Reason.REGISTRATION_CLOSED})


@dataclass(frozen=True, slots=True)
class Window:
    """When a semester takes requests: from `opens_at` on, up to but not including `closes_at`."""

    opens_at: datetime
    closes_at: datetime

    def refusal(self, accepted_at: datetime) -> Reason | None:
        """Why a request accepted at that moment is outside the window, or None."""
        if accepted_at < self.opens_at:
            return Reason.REGISTRATION_NOT_OPEN
        if accepted_at >= self.closes_at:
            return Reason.REGISTRATION_CLOSED
        return None


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one request, and who moved up because of it."""

    status: Status
    result: Result | None = None
    reason: Reason | None = None
    reserve_position: int | None = None
    promoted: StudentId | None = None


@dataclass(slots=True)
class Roster:
    """A course's registrations as far as the requests at hand can touch them.

    `enrolled` need only name the enrolled students among those who ask; `reserve` is the whole reserve list, head first.
    """

    max_capacity: int
    reserve_limit: int
    enrolled_count: int = 0
    enrolled: set[StudentId] = field(default_factory=set)
    reserve: list[StudentId] = field(default_factory=list)

    def apply(self, student: StudentId, decision: Decision) -> None:
        """Carry a decision out on this roster."""
        match decision.result:
            case Result.ENROLLED:
                self._enroll(student)
            case Result.RESERVED:
                self.reserve.append(student)
            case Result.DROPPED:
                self._remove(student)
                if decision.promoted is not None:
                    self.reserve.remove(decision.promoted)
                    self._enroll(decision.promoted)

    def _enroll(self, student: StudentId) -> None:
        self.enrolled.add(student)
        self.enrolled_count += 1

    def _remove(self, student: StudentId) -> None:
        if student in self.enrolled:
            self.enrolled.remove(student)
            self.enrolled_count -= 1
        else:
            self.reserve.remove(student)


def decide(
    roster: Roster, window: Window, operation: Operation, student: StudentId, accepted_at: datetime
) -> Decision:
    """What becomes of one request, given the roster that all earlier requests left behind."""
    outside = window.refusal(accepted_at)
    if outside is not None:
        return _rejected(outside)
    if operation is Operation.REGISTER:
        return _decide_register(roster, student)
    return _decide_drop(roster, student)


def _decide_register(roster: Roster, student: StudentId) -> Decision:
    if student in roster.enrolled or student in roster.reserve:
        return _rejected(Reason.ALREADY_REGISTERED)
    if roster.enrolled_count < roster.max_capacity:
        return Decision(Status.APPLIED, Result.ENROLLED)
    if len(roster.reserve) < roster.reserve_limit:
        return Decision(Status.APPLIED, Result.RESERVED, reserve_position=len(roster.reserve) + 1)
    return _rejected(Reason.COURSE_FULL)


def _decide_drop(roster: Roster, student: StudentId) -> Decision:
    if student in roster.enrolled:
        head = roster.reserve[0] if roster.reserve else None
        return Decision(Status.APPLIED, Result.DROPPED, promoted=head)
    if student in roster.reserve:
        return Decision(Status.APPLIED, Result.DROPPED)
    return _rejected(Reason.NOT_REGISTERED)


def _rejected(reason: Reason) -> Decision:
    return Decision(Status.REJECTED, reason=reason)
