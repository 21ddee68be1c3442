"""Deciding the entries of a round over locked courses: no I/O, only rosters and outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.requests import Outcome, QueueEntry, Submission
from shared.rules import Decision, Reason, Status, StudentId, decide
from shared.store.rounds import LockedCourse, RegistrationRow

FAILURE = Decision(Status.FAILED, reason=Reason.INTERNAL_ERROR)

Standings = dict[StudentId, tuple[str, int | None]]
"""Student -> (status, reserve position), as the registrations table holds them."""


@dataclass(frozen=True, slots=True)
class Decided:
    """An outcome, and what was wrong with the request if it failed."""

    outcome: Outcome
    problem: str | None


def decide_entry(
    entry: QueueEntry, course: LockedCourse, strangers: set[StudentId], worker: str, failing: str | None
) -> Decided:
    """Decide one entry, carry it out on the course's roster and give it the course's next index.

    `strangers` are those of the round who do not exist; `failing` is a problem known before, which makes the entry FAILED.
    """
    problem = failing or _problem_of(entry, course, strangers)
    if problem is not None or not isinstance(entry, Submission):
        return Decided(record(entry, FAILURE, course, worker), problem)
    decision = decide(course.roster, course.window, entry.operation, entry.student_id, entry.accepted_at)
    course.roster.apply(entry.student_id, decision)
    return Decided(record(entry, decision, course, worker), None)


def _problem_of(entry: QueueEntry, course: LockedCourse, strangers: set[StudentId]) -> str | None:
    if not isinstance(entry, Submission):
        return entry.problem
    if course.unknown:
        return "its course does not exist"
    if entry.student_id in strangers:
        return "its student does not exist"
    return None


def record(entry: QueueEntry, decision: Decision, course: LockedCourse, worker: str) -> Outcome:
    """The ledger row of a decision, at the course's next index; a poisoned entry tells no more than its place."""
    course.applied_count += 1
    asked = entry if isinstance(entry, Submission) else None
    return Outcome(
        request_id=entry.request_id,
        course_id=entry.course_id,
        student_id=asked.student_id if asked else None,
        operation=asked.operation if asked else None,
        generation=asked.generation if asked else None,
        sequence=asked.sequence if asked else None,
        accepted_at=asked.accepted_at if asked else None,
        applied_at=course.now,
        applied_index=course.applied_count,
        status=decision.status,
        result=decision.result,
        reason=decision.reason,
        reserve_position=decision.reserve_position,
        promoted_student_id=decision.promoted,
        worker=worker,
    )


def standings(course: LockedCourse) -> Standings:
    """The registrations that the course's roster stands for, as far as it is known."""
    known: Standings = dict.fromkeys(course.roster.enrolled, ("ENROLLED", None))
    for position, student in enumerate(course.roster.reserve, start=1):
        known[student] = ("RESERVED", position)
    return known


@dataclass(frozen=True, slots=True)
class Changes:
    """What must be deleted, updated and inserted to bring a course's registrations from one standing to another."""

    gone: Sequence[tuple[str, StudentId]]
    changed: Sequence[RegistrationRow]
    added: Sequence[RegistrationRow]


def changes(course_id: str, before: Standings, after: Standings) -> Changes:
    """The difference between two standings of a course."""
    different = [
        RegistrationRow(course_id, student, *standing)
        for student, standing in after.items()
        if standing != before.get(student)
    ]
    return Changes(
        gone=[(course_id, student) for student in before if student not in after],
        changed=[row for row in different if row.student_id in before],
        added=[row for row in different if row.student_id not in before],
    )
