"""Reading the facts: the clients' logs, the tables, and what Redis still holds."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg2
import redis
from psycopg2.extras import RealDictCursor

from tests.faults.checker.facts import Call, ClientView, CourseFacts, LedgerRow, QueueFacts

# The usual QUEUE_SHARDS.
SHARDS = 64

COURSES = """
    SELECT c.id::text AS course_id, c.max_capacity, c.reserve_limit, c.enrolled_count, c.reserved_count,
           c.applied_count, s.registration_start AS opens_at, s.registration_end AS closes_at
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE c.id = ANY(%s::uuid[])
     ORDER BY c.id
"""

ROSTERS = """
    SELECT course_id::text, student_id::text, status::text, reserve_position
      FROM course_registrations WHERE course_id = ANY(%s::uuid[])
"""

LEDGER = """
    SELECT request_id::text, course_id::text, student_id::text, operation::text, generation::text, sequence,
           accepted_at, applied_at, applied_index, status::text, result::text, reason, reserve_position,
           promoted_student_id::text
      FROM registration_requests WHERE course_id = ANY(%s::uuid[])
     ORDER BY course_id, applied_index
"""

# A course is no evidence for itself, or what it lost at the beginning of a life would be excused by its own gap; only the
# request after which the life is named tells of its own course, too.
LIVES = """
    WITH begun AS (
        SELECT course_id, generation, min(sequence) AS sequence, bool_or(request_id = generation) AS first
          FROM registration_requests WHERE sequence IS NOT NULL
         GROUP BY course_id, generation
    )
    SELECT here.course_id::text, generation::text, max(there.sequence) AS sequence
      FROM begun here JOIN begun there USING (generation)
     WHERE here.course_id = ANY(%s::uuid[]) AND (there.course_id <> here.course_id OR there.first)
     GROUP BY here.course_id, generation
"""


class HistoryError(Exception):
    """A log is not one of ours."""


def read_histories(paths: Iterable[Path]) -> ClientView:
    """The calls in all these logs. Raises HistoryError naming the line that is wrong, and OSError."""
    calls: dict[str, Call] = {}
    damaged: dict[str, int] = {}
    at_edges: set[str] = set()
    for path, number, line in _lines(paths):
        try:
            event = json.loads(line)
            if event["event"] == "damaged":
                damaged[event["request_id"]] = event["at_ns"]
            elif event["event"] == "edge":
                at_edges.add(event["course_id"])
            else:
                _take(event, calls)
        except (ValueError, LookupError, TypeError) as error:
            message = f"{path}:{number}: {error!r}"
            raise HistoryError(message) from error
    return ClientView(sorted(calls.values(), key=lambda call: call.sent_ns), damaged, frozenset(at_edges))


def _lines(paths: Iterable[Path]) -> Iterator[tuple[Path, int, str]]:
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield path, number, line


def _take(event: dict[str, Any], calls: dict[str, Call]) -> None:
    if event["event"] == "sent":
        calls[event["call"]] = Call(
            event["call"],
            event["at_ns"],
            event["student_id"],
            event.get("course_id"),
            event.get("operation"),
            event.get("key"),
            event.get("request_id"),
        )
    elif event["event"] == "answered":
        calls[event["call"]] = replace(
            calls[event["call"]],
            answered_ns=event["at_ns"],
            status=event["status"],
            document=event.get("document"),
            text=event.get("text", ""),
        )


def courses_in(view: ClientView) -> list[str]:
    """Every course that a client used."""
    return sorted({call.course_id for call in view.calls if call.course_id is not None})


def read_courses(database_url: str, course_ids: Sequence[str]) -> list[CourseFacts]:
    """These courses with rosters and ledgers as of one moment. Raises psycopg2.Error."""
    with closing(psycopg2.connect(database_url, cursor_factory=RealDictCursor)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            courses = _select(cursor, COURSES, course_ids)
            rosters = _select(cursor, ROSTERS, course_ids)
            ledger = _select(cursor, LEDGER, course_ids)
            lives = _select(cursor, LIVES, course_ids)
    return [_course(course, rosters, ledger, lives) for course in courses]


def _select(cursor: Any, statement: str, course_ids: Sequence[str]) -> list[dict[str, Any]]:
    cursor.execute(statement, (list(course_ids),))
    return [dict(row) for row in cursor.fetchall()]


def _course(
    course: dict[str, Any],
    rosters: Sequence[dict[str, Any]],
    ledger: Sequence[dict[str, Any]],
    lives: Sequence[dict[str, Any]],
) -> CourseFacts:
    columns = [field.name for field in fields(LedgerRow)]
    return CourseFacts(
        **course,
        roster={
            row["student_id"]: (row["status"], row["reserve_position"])
            for row in rosters
            if row["course_id"] == course["course_id"]
        },
        ledger=[
            LedgerRow(*(row[column] for column in columns))
            for row in ledger
            if row["course_id"] == course["course_id"]
        ],
        lives={
            row["generation"]: row["sequence"] for row in lives if row["course_id"] == course["course_id"]
        },
    )


def read_queues(redis_url: str, course_ids: Sequence[str], shards: int) -> list[QueueFacts]:
    """What Redis holds of these courses. Raises redis.RedisError."""
    with closing(redis.Redis.from_url(redis_url, decode_responses=True, encoding_errors="replace")) as client:
        return [
            QueueFacts(
                course_id,
                client.lrange(f"rq:queue:course-{course_id}", 0, -1),
                bool(client.sismember(f"cr:ready:{crc32(course_id.encode()) % shards}", course_id)),
            )
            for course_id in course_ids
        ]
