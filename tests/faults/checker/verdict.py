"""All checks together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker.facts import ClientView, CourseFacts, QueueFacts, Violation
from tests.faults.checker.order import check_order
from tests.faults.checker.outcomes import check_outcomes
from tests.faults.checker.reading import (
    SHARDS,
    courses_in,
    read_courses,
    read_histories,
    read_queues,
)
from tests.faults.checker.rosters import check_queues, check_rosters


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and what was wrong."""

    calls: int
    requests: int
    courses: int
    violations: Sequence[Violation]

    def __str__(self) -> str:
        return (
            f"{self.courses} courses, {self.calls} calls, {self.requests} requests,"
            f" {len(self.violations)} violations"
        )


def judge(view: ClientView, courses: Sequence[CourseFacts], queues: Sequence[QueueFacts] = ()) -> Verdict:
    """Hold the facts against every promise that can be checked afterwards."""
    ledger = [row for course in courses for row in course.ledger]
    violations = [*check_something_happened(view), *check_missing_courses(view, courses)]
    violations += check_outcomes(view, ledger)
    for course in courses:
        violations += check_order(view, course)
        violations += check_rosters(course)
    violations += check_queues(queues)
    return Verdict(len(view.calls), len(ledger), len(courses), violations)


def check_something_happened(view: ClientView) -> list[Violation]:
    """A log without a single accepted request proves nothing, and must not pass for a proof."""
    if any(call.document for call in view.calls):
        return []
    return [Violation("nothing to check", None, (), "no client was ever told of an accepted request")]


def check_missing_courses(view: ClientView, courses: Sequence[CourseFacts]) -> list[Violation]:
    """A course that clients used must be there, or nothing about it was checked."""
    missing = set(courses_in(view)) - {course.course_id for course in courses}
    return [Violation("no course", course_id, (), "not in the database") for course_id in sorted(missing)]


def check(
    histories: Sequence[Path], database_url: str, redis_url: str | None, shards: int = SHARDS
) -> Verdict:
    """Read the facts and judge them; `shards` is the system's QUEUE_SHARDS.

    Raises HistoryError, OSError, psycopg2.Error and redis.RedisError.
    """
    view = read_histories(histories)
    course_ids = courses_in(view)
    queues = read_queues(redis_url, course_ids, shards) if redis_url else []
    return judge(view, read_courses(database_url, course_ids), queues)
