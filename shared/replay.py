"""Replaying a course's ledger through the rules, without I/O, and naming every difference to what was recorded."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from shared.requests import Outcome
from shared.rules import (
    WINDOW_REASONS,
    Decision,
    Reason,
    Result,
    Roster,
    Status,
    StudentId,
    Window,
    decide,
)

ALWAYS_OPEN = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class StoredCourse:
    """A course as the tables hold it at one moment; `roster` is (student, status, reserve position)."""

    course_id: str
    title: str
    max_capacity: int
    reserve_limit: int
    window: Window
    window_set_at: datetime
    enrolled_count: int
    reserved_count: int
    applied_count: int
    roster: Sequence[tuple[StudentId, str, int | None]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the ledger's replay says; `applied_index` is None where it concerns no single request."""

    course_id: str
    title: str
    applied_index: int | None
    what: str
    expected: object
    found: object


@dataclass(slots=True)
class Findings:
    """The differences of one course, as they are found."""

    course: StoredCourse
    differences: list[Difference] = field(default_factory=list)

    def compare(self, index: int | None, what: str, expected: object, found: object) -> None:
        """Note a difference unless both are equal."""
        if expected != found:
            course = self.course
            self.differences.append(Difference(course.course_id, course.title, index, what, expected, found))


def replay(course: StoredCourse, ledger: Sequence[Outcome]) -> list[Difference]:
    """Every way in which the stored course and its ledger, in applied order, disagree with the rules."""
    findings = Findings(course)
    roster = _replay_outcomes(findings, ledger)
    _check_order(findings, ledger)
    _check_recorded_seats(findings, ledger)
    _check_stored_roster(findings, roster)
    findings.compare(None, "enrolled_count", roster.enrolled_count, course.enrolled_count)
    findings.compare(None, "reserved_count", len(roster.reserve), course.reserved_count)
    findings.compare(None, "applied_count", len(ledger), course.applied_count)
    return findings.differences


def _replay_outcomes(findings: Findings, ledger: Sequence[Outcome]) -> Roster:
    """Decide every request again and compare row by row; returns the roster that the rules arrive at."""
    roster = Roster(findings.course.max_capacity, findings.course.reserve_limit)
    for row in ledger:
        recorded = Decision(row.status, row.result, row.reason, row.reserve_position, row.promoted_student_id)
        expected = _expected(findings.course, roster, row, recorded)
        findings.compare(row.applied_index, "outcome", expected, recorded)
        if row.student_id is not None:
            roster.apply(row.student_id, expected)
    return roster


def _expected(course: StoredCourse, roster: Roster, row: Outcome, recorded: Decision) -> Decision:
    """What the rules say, given the roster so far. What failed changed nothing, and is taken as recorded.

    A window that was changed after the request was applied cannot judge it: then a refusal for the window is taken as
    recorded, and any other outcome must be right for an open one.
    """
    if row.status is Status.FAILED:
        return Decision(Status.FAILED, reason=Reason.INTERNAL_ERROR)
    if row.operation is None or row.student_id is None or row.accepted_at is None:
        return Decision(Status.FAILED, reason=Reason.INTERNAL_ERROR)
    window = course.window
    if row.applied_at <= course.window_set_at:
        if row.status is Status.REJECTED and row.reason in WINDOW_REASONS:
            return Decision(Status.REJECTED, reason=recorded.reason)
        window = ALWAYS_OPEN
    return decide(roster, window, row.operation, row.student_id, row.accepted_at)


def _check_order(findings: Findings, ledger: Sequence[Outcome]) -> None:
    """Indexes without gaps; sequences and times of each life of the queue never going back."""
    generations: dict[str, list[Outcome]] = defaultdict(list)
    for place, row in enumerate(ledger, start=1):
        findings.compare(row.applied_index, "applied_index", place, row.applied_index)
        if row.generation is not None and row.sequence is not None:
            generations[row.generation].append(row)
    missing = sum(
        _check_generation(findings, rows, 1 if life == 0 else _place(rows[0])[0])
        for life, rows in enumerate(generations.values())
    )
    # An entry that nobody could read was recorded without its sequence, and leaves a gap.
    excused = sum(row.status is Status.FAILED and row.sequence is None for row in ledger)
    findings.compare(None, "sequences skipped without a FAILED request", 0, max(0, missing - excused))


def _check_generation(findings: Findings, rows: Sequence[Outcome], first: int) -> int:
    """Compare each request with the one before it; returns how many sequences are missing from `first` on.

    A later life of the queue may go on counting where a restored copy of Redis stood.
    """
    for earlier, later in pairwise(rows):
        before, after = _place(earlier), _place(later)
        if after[0] <= before[0]:
            findings.compare(later.applied_index, "sequence", f"more than {before[0]}", after[0])
        if after[1] < before[1]:
            findings.compare(later.applied_index, "accepted_at", f"not before {before[1]}", after[1])
    sequences = {_place(row)[0] for row in rows}
    return max(sequences) - first + 1 - len(sequences)


def _place(row: Outcome) -> tuple[int, datetime]:
    assert row.sequence is not None
    return row.sequence, row.accepted_at or row.applied_at


def _check_recorded_seats(findings: Findings, ledger: Iterable[Outcome]) -> None:
    """Count the seats by what was recorded alone, so that a wrong rule cannot hide an oversold course."""
    course = findings.course
    enrolled: set[StudentId] = set()
    reserved: set[StudentId] = set()
    for row in ledger:
        student = row.student_id or ""
        match row.result:
            case Result.ENROLLED:
                enrolled.add(student)
            case Result.RESERVED:
                reserved.add(student)
            case Result.DROPPED:
                enrolled.discard(student)
                reserved.discard(student)
                if row.promoted_student_id is not None:
                    reserved.discard(row.promoted_student_id)
                    enrolled.add(row.promoted_student_id)
        if len(enrolled) > course.max_capacity:
            findings.compare(
                row.applied_index, "seats taken", f"at most {course.max_capacity}", len(enrolled)
            )
        if len(reserved) > course.reserve_limit:
            findings.compare(
                row.applied_index, "reserve positions taken", f"at most {course.reserve_limit}", len(reserved)
            )


def _check_stored_roster(findings: Findings, roster: Roster) -> None:
    expected: dict[StudentId, str] = dict.fromkeys(roster.enrolled, "ENROLLED")
    expected |= {student: f"RESERVED {position}" for position, student in enumerate(roster.reserve, start=1)}
    found = {
        student: status if position is None else f"{status} {position}"
        for student, status, position in findings.course.roster
    }
    for student in sorted(expected.keys() | found.keys()):
        findings.compare(
            None,
            f"registration of student {student}",
            expected.get(student, "none"),
            found.get(student, "none"),
        )
