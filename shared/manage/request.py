"""`manage request`: why one request ended as it did, or where it stands."""

from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Row

from shared.course_queue.inspection import JobOnRecord, accepted_at
from shared.manage.parts import EXIT_UNKNOWN, running_system, tell_missing
from shared.manage.story import Story, tell_story
from shared.manage.terminal import duration, moment_text, say_facts, say_json, tell_problem
from shared.rules import Status


def request(
    request_id: Annotated[UUID, typer.Argument(help="The request's id, as in its Location.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,  # noqa: FBT002 - a flag on the command line
) -> None:
    """Tell a request's whole story: when it was accepted, as which number, what was decided, by whom, by which counts.

    The counts are those of the course just before the request, replayed from the ledger. Exit code 2 if there is no such
    request, 3 if a part that might know more does not answer.
    """
    with running_system() as parts:
        story = tell_story(parts, str(request_id))
        tell_missing(story.problems)
        if not story.known:
            tell_problem(
                f"There is no request {request_id}" + (", as far as can be told" if story.problems else "")
            )
        elif as_json:
            say_json(document(story))
        else:
            say_facts(_facts(story))
        parts.require_answers(story.problems)
    if not story.known:
        raise typer.Exit(EXIT_UNKNOWN)


def _facts(story: Story) -> dict[str, object]:
    facts: dict[str, object] = {"request": story.request_id, "course": _course(story)}
    if story.student_number is not None:
        facts["student"] = story.student_number
    if story.decided is not None:
        facts |= _decided_facts(story, story.decided)
    elif story.record is not None:
        facts |= _recorded_facts(story, story.record)
    if story.record is not None and story.record.problem is not None:
        facts["problem"] = story.record.problem
    return facts


def _course(story: Story) -> str:
    if story.course is not None:
        return f"{story.course.code} {story.course.section}, {story.course.course_name} ({story.course.id})"
    course_id = story.decided.course_id if story.decided is not None else None
    return str(course_id or (story.record.course.course_id if story.record is not None else "unknown"))


def _decided_facts(story: Story, row: Row[Any]) -> dict[str, object]:
    facts: dict[str, object] = {
        "asked": row.operation or "nothing that could be read",
        "accepted": _accepted(row),
        "decided": f"{moment_text(row.applied_at)}, {_took(row)}, as number {row.applied_index} of its ledger",
        "worker": row.worker,
    }
    if story.counts is not None:
        counts = story.counts
        facts["before it"] = (
            f"{counts.enrolled} of {counts.max_capacity} seats and {counts.reserved} of {counts.reserve_limit}"
            " reserve positions were taken"
        )
    if story.course is not None:
        facts["window now"] = _window(story, story.course)
    facts["outcome"] = _outcome(row.status, row.result, row.reason, row.reserve_position)
    if row.status == Status.FAILED and (story.record is None or story.record.problem is None):
        facts["problem"] = "no longer in Redis; look for the request id in the workers' logs"
    if row.promoted_number is not None:
        facts["promoted"] = f"{row.promoted_number}, the head of the reserve list"
    for number, later in enumerate(story.later, start=1):
        facts[f"later {number}"] = _later(later)
    if story.student_number is not None:
        facts["now"] = _place(story.place_now)
    return facts


def _accepted(row: Row[Any]) -> str:
    if row.accepted_at is None:
        return "unknown: the entry could not be read"
    return f"{moment_text(row.accepted_at)}, as number {row.sequence} of its course"


def _took(row: Row[Any]) -> str:
    if row.accepted_at is None:
        return "after an unknown time"
    return f"{duration((row.applied_at - row.accepted_at).total_seconds())} later"


def _window(story: Story, course: Row[Any]) -> str:
    told = f"{moment_text(course.registration_start)} to {moment_text(course.registration_end)}"
    return f"{told}; it has been moved since the request was decided" if story.window_moved else told


def _outcome(*parts: object) -> str:
    """Status, result, reason and reserve position, as far as there are such."""
    return " ".join(str(part) for part in parts if part is not None)


def _later(row: Row[Any]) -> str:
    if row.promotes:
        what = "promoted to a seat by another student's drop"
    else:
        position = "" if row.reserve_position is None else f" {row.reserve_position}"
        what = f"{row.operation}: {row.result or row.reason}{position}"
    return f"{moment_text(row.applied_at)}, number {row.applied_index}: {what} (request {row.request_id})"


def _place(place: Row[Any] | None) -> str:
    if place is None:
        return "not registered"
    return place.status if place.reserve_position is None else f"{place.status} {place.reserve_position}"


def _recorded_facts(story: Story, record: JobOnRecord) -> dict[str, object]:
    """What Redis alone tells: of a request that waits, or whose row in the ledger cannot be read now."""
    payload = record.payload
    facts: dict[str, object] = {
        "asked": payload.get("operation", "nothing that can be read"),
        "accepted": f"{moment_text(accepted_at(record))}, as number {payload.get('sequence', '?')} of its course",
    }
    if record.outcome is not None:
        told = record.outcome
        outcome = _outcome(told["status"], told["result"], told["reason"], told["reserve_position"])
        return facts | {"worker": record.worker or "unknown", "outcome": outcome}
    facts["worker"] = story.owner or ("unknown" if story.problems else "nobody owns its shard")
    return facts | _place_facts(story, record)


def _place_facts(story: Story, record: JobOnRecord) -> dict[str, object]:
    """Where a request stands that has no outcome yet, and when it may get one."""
    if record.ahead is None:
        if "PostgreSQL" in story.problems:
            return {"place": "in no queue; only the ledger knows"}
        return {"place": "in no queue and not in the ledger: look again, or it was lost with its queue"}
    queue = record.course
    facts: dict[str, object] = {"place": f"behind {record.ahead} others; {queue.waiting} wait in its queue"}
    if story.paused_since is not None:
        facts["PAUSED"] = f"since {story.paused_since}: workers apply nothing"
    elif story.owner is not None:
        # Without a worker, or with one that cannot reach PostgreSQL, there is no telling.
        facts["due in"] = duration((record.ahead + 1) * queue.pace_us / 1_000_000)
    return facts


def document(story: Story) -> dict[str, Any]:
    """The story for programs."""
    return {
        "request_id": story.request_id,
        "course": _mapping(story.course),
        "student_number": story.student_number,
        "decided": _mapping(story.decided),
        "counts_before": story.counts,
        "window_moved": story.window_moved,
        "later": [_mapping(row) for row in story.later],
        "place_now": _mapping(story.place_now),
        "redis": story.record,
        "owner": story.owner,
        "paused_since": story.paused_since,
        "problems": story.problems,
    }


def _mapping(row: Row[Any] | None) -> dict[str, Any] | None:
    return None if row is None else dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
