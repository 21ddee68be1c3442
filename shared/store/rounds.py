"""The statements of one round of a worker, in the order in which a round runs them.

All take the connection of one open transaction. `lock_courses` comes first and everything else reads after it (rule B).
Ids are lower-case UUID strings throughout.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, RowMapping, text

from shared.requests import Outcome
from shared.rules import Operation, Reason, Result, Roster, Status, StudentId, Window

LOCK_COURSES = text("""
    SELECT c.id::text, c.max_capacity, c.reserve_limit, c.enrolled_count, c.applied_count,
           s.registration_start, s.registration_end, clock_timestamp() AS now
      FROM courses c JOIN semesters s ON s.id = c.semester_id
     WHERE c.id = ANY(CAST(:course_ids AS uuid[]))
     ORDER BY c.id
       FOR UPDATE OF c SKIP LOCKED
""")

EXISTING_COURSES = text("SELECT id::text FROM courses WHERE id = ANY(CAST(:course_ids AS uuid[]))")

RECORDED_OUTCOMES = text("""
    SELECT request_id::text, course_id::text, student_id::text, operation, generation::text, sequence, accepted_at,
           applied_at, applied_index, status, result, reason, reserve_position, promoted_student_id::text, worker
      FROM registration_requests
     WHERE request_id = ANY(CAST(:request_ids AS uuid[]))
""")

# One round trip for two questions: who stands on the reserve lists, and what is known of those who ask.
STANDINGS = text("""
    SELECT course_id::text, student_id::text, reserve_position, true AS exists
      FROM course_registrations
     WHERE course_id = ANY(CAST(:course_ids AS uuid[])) AND reserve_position IS NOT NULL
     UNION ALL
    SELECT asked.course_id::text, asked.student_id::text, NULL, s.id IS NOT NULL
      FROM unnest(CAST(:asked_course_ids AS uuid[]), CAST(:student_ids AS uuid[])) AS asked (course_id, student_id)
      LEFT JOIN students s ON s.id = asked.student_id
      LEFT JOIN course_registrations r
             ON r.course_id = asked.course_id AND r.student_id = asked.student_id AND r.status = 'ENROLLED'
     WHERE s.id IS NULL OR r.status IS NOT NULL
     ORDER BY course_id, reserve_position
""")

LAST_INDEX = text("""
    SELECT coalesce(max(applied_index), 0) AS last, clock_timestamp() AS now
      FROM registration_requests
     WHERE course_id = :course_id
""")

DELETE_REGISTRATIONS = text("""
    DELETE FROM course_registrations r
     USING json_to_recordset(:rows) AS gone (course_id uuid, student_id uuid)
     WHERE r.course_id = gone.course_id AND r.student_id = gone.student_id
""")

UPDATE_REGISTRATIONS = text("""
    UPDATE course_registrations r
       SET status = changed.status, reserve_position = changed.reserve_position, updated_at = now()
      FROM json_to_recordset(:rows)
           AS changed (course_id uuid, student_id uuid, status registration_status, reserve_position int)
     WHERE r.course_id = changed.course_id AND r.student_id = changed.student_id
""")

INSERT_REGISTRATIONS = text("""
    INSERT INTO course_registrations (course_id, student_id, status, reserve_position)
    SELECT course_id, student_id, status, reserve_position
      FROM json_to_recordset(:rows)
           AS added (course_id uuid, student_id uuid, status registration_status, reserve_position int)
""")

APPEND_TO_LEDGER = text("""
    WITH counted AS (
        UPDATE courses c
           SET enrolled_count = now_is.enrolled_count, reserved_count = now_is.reserved_count,
               applied_count = now_is.applied_count, updated_at = now()
          FROM json_to_recordset(:counts)
               AS now_is (course_id uuid, enrolled_count int, reserved_count int, applied_count bigint)
         WHERE c.id = now_is.course_id
    )
    INSERT INTO registration_requests
           (request_id, course_id, student_id, operation, generation, sequence, accepted_at, applied_at,
            applied_index, status, result, reason, reserve_position, promoted_student_id, worker)
    SELECT request_id, course_id, student_id, operation, generation, sequence, accepted_at, applied_at,
           applied_index, status, result, reason, reserve_position, promoted_student_id, worker
      FROM json_to_recordset(:rows)
           AS ended (request_id uuid, course_id uuid, student_id uuid, operation request_operation, generation uuid,
                     sequence bigint, accepted_at timestamptz, applied_at timestamptz, applied_index bigint,
                     status request_status, result request_result, reason text, reserve_position int,
                     promoted_student_id uuid, worker text)
""")


@dataclass(slots=True)
class LockedCourse:
    """A course whose row this transaction holds, and its roster as the requests change it.

    A course without a row is `unknown`: nothing but failures can be recorded there.
    """

    course_id: str
    window: Window
    roster: Roster
    applied_count: int
    now: datetime
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class RegistrationRow:
    """A registration as it shall stand after the round."""

    course_id: str
    student_id: StudentId
    status: str
    reserve_position: int | None


def lock_courses(connection: Connection, course_ids: Sequence[str]) -> dict[str, LockedCourse]:
    """Lock the rows of these courses `FOR UPDATE` in id order and read them as they then are.

    A course that somebody else holds is missing from the answer, so that it keeps no other course waiting; so is one
    that does not exist (see `existing_courses`).
    """
    rows = connection.execute(LOCK_COURSES, {"course_ids": list(course_ids)})
    return {
        row.id: LockedCourse(
            row.id,
            Window(row.registration_start, row.registration_end),
            Roster(row.max_capacity, row.reserve_limit, row.enrolled_count),
            row.applied_count,
            row.now,
        )
        for row in rows
    }


def existing_courses(connection: Connection, course_ids: Sequence[str]) -> set[str]:
    """Those of the courses that exist, locked or not."""
    return set(connection.scalars(EXISTING_COURSES, {"course_ids": list(course_ids)}))


def recorded_outcomes(connection: Connection, request_ids: Sequence[str]) -> dict[str, Outcome]:
    """Those of the requests that the ledger already has. The caller holds the locks of their courses."""
    rows = connection.execute(RECORDED_OUTCOMES, {"request_ids": list(request_ids)})
    return {row["request_id"]: _outcome(row) for row in rows.mappings()}


def _outcome(row: RowMapping) -> Outcome:
    return Outcome(
        **{
            **row,
            "operation": Operation(row["operation"]) if row["operation"] else None,
            "status": Status(row["status"]),
            "result": Result(row["result"]) if row["result"] else None,
            "reason": Reason(row["reason"]) if row["reason"] else None,
        }
    )


def fill_rosters(
    connection: Connection, courses: Mapping[str, LockedCourse], asking: Sequence[tuple[str, StudentId]]
) -> set[StudentId]:
    """Read the whole reserve lists, and which of the asking (course, student) pairs are enrolled.

    Returns those of the asking students that do not exist.
    """
    parameters = {
        "course_ids": list(courses),
        "asked_course_ids": [course_id for course_id, _ in asking],
        "student_ids": [student_id for _, student_id in asking],
    }
    strangers = set()
    for course_id, student_id, reserve_position, exists in connection.execute(STANDINGS, parameters):
        if not exists:
            strangers.add(student_id)
        elif reserve_position is None:
            courses[course_id].roster.enrolled.add(student_id)
        else:
            courses[course_id].roster.reserve.append(student_id)
    return strangers


def unknown_course(connection: Connection, course_id: str) -> LockedCourse:
    """A stand-in for a course that has no row, counting on from its newest ledger row."""
    row = connection.execute(LAST_INDEX, {"course_id": course_id}).one()
    return LockedCourse(course_id, Window(row.now, row.now), Roster(0, 0), row.last, row.now, unknown=True)


def write_registrations(
    connection: Connection,
    gone: Sequence[tuple[str, StudentId]],
    changed: Sequence[RegistrationRow],
    added: Sequence[RegistrationRow],
) -> None:
    """Bring the registrations of locked courses to their new state, set-wise."""
    if gone:
        rows = ({"course_id": course_id, "student_id": student_id} for course_id, student_id in gone)
        connection.execute(DELETE_REGISTRATIONS, {"rows": _json(rows)})
    if changed:
        connection.execute(UPDATE_REGISTRATIONS, {"rows": _registrations_json(changed)})
    if added:
        connection.execute(INSERT_REGISTRATIONS, {"rows": _registrations_json(added)})


def _registrations_json(rows: Sequence[RegistrationRow]) -> str:
    return _json(
        {
            "course_id": row.course_id,
            "student_id": row.student_id,
            "status": row.status,
            "reserve_position": row.reserve_position,
        }
        for row in rows
    )


def append_to_ledger(
    connection: Connection, outcomes: Sequence[Outcome], touched: Iterable[LockedCourse]
) -> None:
    """Write the rows that make these requests final, and the counts of their locked courses.

    A CHECK refuses counts that would oversell.
    """
    counts = (
        {
            "course_id": course.course_id,
            "enrolled_count": course.roster.enrolled_count,
            "reserved_count": len(course.roster.reserve),
            "applied_count": course.applied_count,
        }
        for course in touched
        if not course.unknown
    )
    rows = (
        {
            "request_id": outcome.request_id,
            "course_id": outcome.course_id,
            "student_id": outcome.student_id,
            "operation": outcome.operation,
            "generation": outcome.generation,
            "sequence": outcome.sequence,
            "accepted_at": outcome.accepted_at,
            "applied_at": outcome.applied_at,
            "applied_index": outcome.applied_index,
            "status": outcome.status,
            "result": outcome.result,
            "reason": outcome.reason,
            "reserve_position": outcome.reserve_position,
            "promoted_student_id": outcome.promoted_student_id,
            "worker": outcome.worker,
        }
        for outcome in outcomes
    )
    connection.execute(APPEND_TO_LEDGER, {"counts": _json(counts), "rows": _json(rows)})


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    return to_json(list(rows)).decode()
