"""The check after each trial: nothing oversold, lost, duplicated or out of order, or the trial is void."""

from collections.abc import Sequence

from bench.ground import Ground
from bench.streams import StreamReport
from shared.audit import audit, describe

AUDITED_MAX = 200
GRANTED = ("ENROLLED", "RESERVED")

OVERSOLD = """
    SELECT c.id::text FROM courses c JOIN course_registrations r ON r.course_id = c.id
     WHERE c.id = ANY(CAST(:course_ids AS uuid[]))
     GROUP BY c.id, c.max_capacity, c.reserve_limit
    HAVING count(*) FILTER (WHERE r.status = 'ENROLLED') > c.max_capacity
        OR count(*) FILTER (WHERE r.status = 'RESERVED') > c.reserve_limit
        OR coalesce(max(r.reserve_position), 0) <> count(*) FILTER (WHERE r.status = 'RESERVED')
"""

PLACES = "SELECT count(*) FROM course_registrations WHERE course_id = ANY(CAST(:course_ids AS uuid[]))"

IN_LEDGER = """
    SELECT count(*) FROM registration_requests
     WHERE course_id = ANY(CAST(:course_ids AS uuid[])) AND request_id = ANY(CAST(:request_ids AS uuid[]))
"""

BUSIEST = """
    SELECT id::text FROM courses WHERE id = ANY(CAST(:course_ids AS uuid[]))
     ORDER BY applied_count DESC, id LIMIT :limit
"""


def rosters_against_answers(ground: Ground, course_ids: Sequence[str], granted: int) -> list[str]:
    """What is wrong with the rosters of these courses, given how many clients were told that they have a place."""
    problems = [
        f"oversold, or a gap on the reserve list: {row[0]}"
        for row in ground.rows(OVERSOLD, course_ids=list(course_ids))
    ]
    [[places]] = ground.rows(PLACES, course_ids=list(course_ids))
    if places < granted:
        problems.append(f"lost: {granted} were granted, {places} are there")
    if places > granted:
        problems.append(f"duplicated: {granted} were granted, {places} are there")
    return problems


def places_granted(report: StreamReport) -> int:
    """How many clients were told that they have a seat or a reserve position."""
    return sum(report.results.get(result, 0) for result in GRANTED)


def ledger_against_promises(
    ground: Ground, course_ids: Sequence[str], request_ids: Sequence[str]
) -> list[str]:
    """Requests that were promised an outcome and have none, and what the audit finds in the busiest courses."""
    ids = {"course_ids": list(course_ids), "request_ids": list(set(request_ids))}
    [[recorded]] = ground.rows(IN_LEDGER, **ids)
    problems = [] if recorded == len(ids["request_ids"]) else [f"lost: {len(ids['request_ids']) - recorded}"]
    for row in ground.rows(BUSIEST, course_ids=list(course_ids), limit=AUDITED_MAX):
        problems += [describe(difference) for difference in audit(ground.engine, row[0]).differences[:3]]
    return problems
