"""`manage course`: one course with its roster, its reserve list and its queue."""

from typing import Annotated, Any

import typer
from sqlalchemy import Row

from shared.course_queue import keys
from shared.course_queue.connection import RedisFailure
from shared.course_queue.inspection import CourseQueue, inspect_queues
from shared.database import snapshot
from shared.manage.parts import EXIT_UNKNOWN, Parts, running_system
from shared.manage.terminal import (
    columns,
    console,
    duration,
    moment_text,
    say,
    say_facts,
    say_json,
    tell_problem,
)
from shared.store import inspection
from shared.store.ownership import shard_owners

CHOICES_SHOWN_MAX = 50


def course(
    name: Annotated[list[str], typer.Argument(help="Its id, its external id, or its code and section.")],
    semester: Annotated[str | None, typer.Option(help="The semester's name, where several have it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,  # noqa: FBT002 - a flag on the command line
) -> None:
    """Show a course: seats, roster, reserve list in order, what waits in its queue, and who works on it.

    Exit code 2 if no course, or more than one, is meant.
    """
    with running_system() as parts:
        with snapshot(parts.engine) as connection:
            row = _the_one(inspection.courses_named(connection, " ".join(name), semester), " ".join(name))
            roster = inspection.roster(connection, row.id)
            owners = shard_owners(connection)
        shard = keys.shard_of(row.id, parts.settings.queue_shards)
        owner = owners[shard][0] if shard in owners else None
        queue = _queue(parts, row.id)
        if as_json:
            say_json(_document(row, roster, queue, owner))
        else:
            _show(row, roster, _queue_text(queue), f"shard {shard}, {owner or 'nobody'}")


def _the_one(found: list[Row[Any]], name: str) -> Row[Any]:
    if len(found) == 1:
        return found[0]
    tell_problem(f"{len(found) or 'No'} courses are named {name}")
    for row in found[:CHOICES_SHOWN_MAX]:
        tell_problem(f"  {row.id}  {row.code} {row.section}  {row.semester}")
    raise typer.Exit(EXIT_UNKNOWN)


def _queue(parts: Parts, course_id: str) -> CourseQueue | str:
    """The queue, or what is wrong with Redis: the roster can be read without it."""
    try:
        return inspect_queues(parts.redis, [course_id])[0]
    except RedisFailure as error:
        return f"Redis does not answer: {error}"


def _queue_text(queue: CourseQueue | str) -> str:
    if isinstance(queue, str):
        return queue
    if not queue.waiting:
        return f"empty; {queue.sequence} accepted so far"
    return (
        f"{queue.waiting} waiting, head {queue.head} for {duration(queue.oldest_age_s)}, {queue.sequence} accepted"
        f" so far, {queue.pace_us / 1000:.1f} ms each"
    )


def _show(row: Row[Any], roster: list[Row[Any]], queue: str, owner: str) -> None:
    say_facts(
        {
            "course": f"{row.code} {row.section}, {row.course_name}",
            "id": f"{row.id} (external {row.external_id})",
            "semester": f"{row.semester}, open {moment_text(row.registration_start)} to"
            f" {moment_text(row.registration_end)}",
            "seats": f"{row.enrolled_count} of {row.max_capacity} taken",
            "reserve": f"{row.reserved_count} of {row.reserve_limit} positions taken",
            "ledger": f"{row.applied_count} requests decided",
            "queue": queue,
            "worker": owner,
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
    row: Row[Any], roster: list[Row[Any]], queue: CourseQueue | str, owner: str | None
) -> dict[str, Any]:
    return {
        **row._mapping,  # noqa: SLF001 - SQLAlchemy's documented name
        "owner": owner,
        "queue": queue,
        "roster": [dict(place._mapping) for place in roster],  # noqa: SLF001 - the same
    }
