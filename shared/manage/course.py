"""`manage course`: one course with its roster, its reserve list and its queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from sqlalchemy import Row

from shared.course_queue import keys
from shared.course_queue.connection import RedisFailure
from shared.course_queue.inspection import CourseQueue, inspect_queues
from shared.database import snapshot
from shared.manage.choice import chosen_course
from shared.manage.parts import (
    EXIT_UNAVAILABLE,
    Parts,
    redis_problem,
    running_system,
    tell_missing,
    wrong_key_text,
)
from shared.manage.terminal import (
    columns,
    console,
    duration,
    moment_text,
    say,
    say_facts,
    say_json,
)
from shared.store import inspection
from shared.store.ownership import shard_owners


def course(
    name: Annotated[list[str], typer.Argument(help="Its id, its external id, or its code and section.")],
    semester: Annotated[str | None, typer.Option(help="The semester's name, where several have it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,  # noqa: FBT002 - a flag on the command line
) -> None:
    """Show a course: seats, roster, reserve list in order, what waits in its queue, and who works on it.

    Exit code 2 if no course, or more than one, is meant; 3 if its queue cannot be shown.
    """
    with running_system() as parts:
        with snapshot(parts.engine) as connection:
            row = chosen_course(connection, " ".join(name), semester)
            roster = inspection.roster(connection, row.id)
            owners = {shard: worker for shard, (worker, _) in shard_owners(connection).items()}
        queue, problems = _queue(parts, row.id, owners)
        tell_missing(problems)
        if as_json:
            say_json(_document(row, roster, queue, problems))
        else:
            _show(row, roster, queue)
        parts.require_answers(problems)
        if queue is not None and queue.found.problem:
            raise typer.Exit(EXIT_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class WorkedQueue:
    """A course's queue with who works on it: its shard's owner, or None for nobody."""

    found: CourseQueue
    shard: int
    owner: str | None


def _queue(
    parts: Parts, course_id: str, owners: Mapping[int, str]
) -> tuple[WorkedQueue | None, dict[str, str]]:
    """The queue, or what is wrong with Redis: the roster can be read without it."""
    try:
        shard = keys.shard_of(course_id, parts.shards())
        [found] = inspect_queues(parts.redis, [course_id])
    except RedisFailure as error:
        return None, {"Redis": redis_problem(error)}
    return WorkedQueue(found, shard, owners.get(shard)), {}


def _queue_text(queue: CourseQueue) -> str:
    if queue.problem:
        return wrong_key_text(queue.problem)
    if not queue.waiting:
        return f"empty; {queue.sequence} accepted so far"
    return (
        f"{queue.waiting} waiting, head {queue.head} for {duration(queue.oldest_age_s)}, {queue.sequence} accepted"
        f" so far, {queue.pace_us / 1000:.1f} ms each"
    )


def _show(row: Row[Any], roster: list[Row[Any]], queue: WorkedQueue | None) -> None:
    say_facts(
        {
            "course": f"{row.code} {row.section}, {row.course_name}",
            "id": f"{row.id} (external {row.external_id})",
            "semester": f"{row.semester}, open {moment_text(row.registration_start)} to"
            f" {moment_text(row.registration_end)}",
            "seats": f"{row.enrolled_count} of {row.max_capacity} taken",
            "reserve": f"{row.reserved_count} of {row.reserve_limit} positions taken",
            "ledger": f"{row.applied_count} requests decided",
            "queue": "unknown" if queue is None else _queue_text(queue.found),
            "worker": "unknown" if queue is None else f"shard {queue.shard}, {queue.owner or 'nobody'}",
        }
    )
    if not roster:
        return
    say("")
    table = columns("STUDENT", "STATUS", "POSITION", "SINCE")
    for place in roster:
        position = "" if place.reserve_position is None else str(place.reserve_position)
        table.add_row(place.student_number, place.status, position, moment_text(place.created_at))
    console.print(table)


def _document(
    row: Row[Any], roster: list[Row[Any]], queue: WorkedQueue | None, problems: dict[str, str]
) -> dict[str, Any]:
    return {
        **row._mapping,  # noqa: SLF001 - SQLAlchemy's documented name
        "problems": problems,
        "owner": None if queue is None else queue.owner,
        "queue": None if queue is None else queue.found,
        "roster": [dict(place._mapping) for place in roster],  # noqa: SLF001 - the same
    }
