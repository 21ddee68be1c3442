"""One round: contiguous prefixes of several courses' queues, decided and written in one transaction (rule B).

What the data of a single request breaks is narrowed down to that request, which ends as FAILED at its own place.
Where not even that can be written, the course's own rows are damaged: it is held, and the rest of the round goes on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shared.course_queue.rounds import disowned
from shared.database import is_request_fault, transaction
from shared.requests import Outcome, Poisoned, QueueEntry, Submission
from shared.rules import Status
from shared.store import rounds
from shared.store.rounds import LockedCourse
from worker.deciding import Changes, Decided, Standings, changes, decide_entry, standings

log = structlog.get_logger()

PROBLEM_LENGTH_MAX = 500


@dataclass(slots=True)
class AppliedRound:
    """Entries whose outcomes are committed, in order, and what was wrong with the failed ones, by request id.

    Entries of a course that somebody else has locked are in neither: they wait for the next round.
    So are those of a course that is `held` because its own rows refuse every outcome: course -> what is wrong with it.
    """

    finished: list[tuple[QueueEntry, Outcome]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


def apply_rounds(
    connection: Connection, entries: Sequence[QueueEntry], size: int, worker: str
) -> Iterator[AppliedRound]:
    """Apply the entries in rounds of at most `size`. What is left over of a course keeps the rest of it waiting.

    Raises as `apply_round`.
    """
    while entries:
        applied = apply_round(connection, entries[:size], worker)
        entries = _without_left_over(entries[size:], entries[:size], applied)
        yield applied


def _without_left_over(
    later: Sequence[QueueEntry], earlier: Sequence[QueueEntry], applied: AppliedRound
) -> Sequence[QueueEntry]:
    """The later entries without those of courses of whose earlier ones something was left over."""
    if len(applied.finished) == len(earlier):
        return later
    finished = {(entry.course_id, entry.raw_id) for entry, _ in applied.finished}
    left_over = {entry.course_id for entry in earlier if (entry.course_id, entry.raw_id) not in finished}
    return [entry for entry in later if entry.course_id not in left_over]


def apply_round(connection: Connection, entries: Sequence[QueueEntry], worker: str) -> AppliedRound:
    """Bring every entry to its outcome: the one the ledger already has, or a new one, committed.

    `entries` are heads of their queues, in order. Locks the courses' rows. Raises SQLAlchemyError when PostgreSQL, not
    a request, is at fault; then any part of the round may be committed, and applying the same heads again is right.
    """
    if not entries:
        return AppliedRound()
    applied = _try(connection, entries, worker)
    if isinstance(applied, AppliedRound):
        return applied
    if len(entries) == 1:
        return _fail(connection, entries[0], worker, problem=applied)
    return _apply_halves(connection, entries, worker)


def _try(
    connection: Connection, entries: Sequence[QueueEntry], worker: str, failing: str | None = None
) -> AppliedRound | str:
    """One transaction, or what is wrong with the data; then nothing of it is written. Raises as `apply_round`."""
    try:
        return _apply(connection, entries, worker, failing)
    except SQLAlchemyError as error:
        if not is_request_fault(error):
            raise
        return _describe(error)
    except Exception as error:  # noqa: BLE001 - a bug must end one request, not the queue
        return _describe(error)


def _apply_halves(connection: Connection, entries: Sequence[QueueEntry], worker: str) -> AppliedRound:
    """Apply the earlier half, then the later one without the courses of which the earlier half left something over."""
    middle = len(entries) // 2
    earlier = apply_round(connection, entries[:middle], worker)
    rest = _without_left_over(entries[middle:], entries[:middle], earlier)
    later = apply_round(connection, rest, worker)
    return AppliedRound(
        earlier.finished + later.finished, earlier.problems | later.problems, earlier.held | later.held
    )


def _fail(connection: Connection, entry: QueueEntry, worker: str, problem: str) -> AppliedRound:
    """End one entry as FAILED. The second try leaves out what the entry says of itself, should that be the fault.

    When neither can be written, the entry is not to blame: it stays at the head of its queue, and its course is held.
    """
    poisoned = Poisoned(entry.raw_id, entry.request_id, entry.course_id, problem)
    applied = _try(connection, [entry], worker, failing=problem)
    if isinstance(applied, str):
        applied = _try(connection, [poisoned], worker)
    return applied if isinstance(applied, AppliedRound) else AppliedRound(held={entry.course_id: applied})


def _describe(error: Exception) -> str:
    """The error without the statement's parameters, which hold other students' requests."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {cause}"[:PROBLEM_LENGTH_MAX]


def _apply(
    connection: Connection, entries: Sequence[QueueEntry], worker: str, failing: str | None = None
) -> AppliedRound:
    """One transaction; with `failing`, every fresh entry ends as FAILED for that problem."""
    with transaction(connection):
        courses = _lock(connection, {entry.course_id for entry in entries})
        entries = [entry for entry in entries if entry.course_id in courses]
        entries, recorded = _look_up(connection, entries)
        fresh = _first_of_each(entry for entry in entries if entry.request_id not in recorded)
        decided = _decide(connection, courses, fresh, worker, failing) if fresh else []
    _log_failures(decided)
    outcomes = recorded | {one.outcome.request_id: one.outcome for one in decided}
    return AppliedRound(
        [(entry, outcomes[entry.request_id]) for entry in entries],
        {one.outcome.request_id: one.problem for one in decided if one.problem},
    )


def _lock(connection: Connection, course_ids: set[str]) -> dict[str, LockedCourse]:
    """Lock the courses' rows; those held by somebody else are left out, those without a row are stood in for."""
    courses = rounds.lock_courses(connection, sorted(course_ids))
    missing = sorted(course_ids - courses.keys())
    existing = rounds.existing_courses(connection, missing) if missing else set()
    unknown = [course_id for course_id in missing if course_id not in existing]
    return courses | {course_id: rounds.unknown_course(connection, course_id) for course_id in unknown}


def _look_up(
    connection: Connection, entries: Sequence[QueueEntry]
) -> tuple[Sequence[QueueEntry], dict[str, Outcome]]:
    """The outcomes that the ledger has of these entries; one whose id is another course's request is disowned."""
    recorded = rounds.recorded_outcomes(connection, [entry.request_id for entry in entries])
    strange = {one.request_id: one.course_id for one in recorded.values()}
    owned = [
        disowned(entry) if strange.get(entry.request_id, entry.course_id) != entry.course_id else entry
        for entry in entries
    ]
    if owned != list(entries):
        recorded = rounds.recorded_outcomes(connection, [entry.request_id for entry in owned])
    return owned, recorded


def _first_of_each(entries: Iterable[QueueEntry]) -> list[QueueEntry]:
    """A request delivered twice is applied once, at its first place."""
    first: dict[str, QueueEntry] = {}
    for entry in entries:
        first.setdefault(entry.request_id, entry)
    return list(first.values())


def _decide(
    connection: Connection,
    courses: dict[str, LockedCourse],
    entries: Sequence[QueueEntry],
    worker: str,
    failing: str | None,
) -> list[Decided]:
    """Decide fresh entries in order and write what they change. The caller holds the courses' rows."""
    asking = [(entry.course_id, entry.student_id) for entry in entries if isinstance(entry, Submission)]
    strangers = rounds.fill_rosters(connection, courses, asking)
    before = {course_id: standings(course) for course_id, course in courses.items()}
    decided = [decide_entry(entry, courses[entry.course_id], strangers, worker, failing) for entry in entries]
    touched = [courses[course_id] for course_id in dict.fromkeys(entry.course_id for entry in entries)]
    _write_registrations(connection, touched, before)
    rounds.append_to_ledger(connection, [one.outcome for one in decided], touched)
    return decided


def _write_registrations(
    connection: Connection, touched: Sequence[LockedCourse], before: dict[str, Standings]
) -> None:
    each: list[Changes] = [
        changes(course.course_id, before[course.course_id], standings(course)) for course in touched
    ]
    rounds.write_registrations(
        connection,
        [row for one in each for row in one.gone],
        [row for one in each for row in one.changed],
        [row for one in each for row in one.added],
    )


def _log_failures(decided: Sequence[Decided]) -> None:
    for one in decided:
        if one.outcome.status is Status.FAILED:
            log.error(
                "request failed",
                request_id=one.outcome.request_id,
                course_id=one.outcome.course_id,
                problem=one.problem,
            )
