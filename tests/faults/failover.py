"""How long courses stand still after a fault, measured from outside: by looking at the ledger every 20 ms."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg2

from tests.faults.crew import Crew

LOOK_INTERVAL_S = 0.02
LIMIT_S = 15.0

LAST_INDEXES = """
    SELECT course_id::text, max(applied_index) FROM registration_requests
     WHERE course_id = ANY(%s::uuid[]) AND split_part(worker, '.', -2) IS DISTINCT FROM %s
     GROUP BY 1
"""


@dataclass
class Watch:
    """The victim's courses, how far each had come before the fault, and how long each stood still after it."""

    last_index: dict[str, int]
    struck_at: float = 0.0
    stood_still_s: list[float] = field(default_factory=list)

    def strike(self) -> None:
        """The fault happens now."""
        self.struck_at = time.monotonic()


@contextmanager
def watching(site: Crew, victim_pid: int, course_ids: Sequence[str], *, others_only: bool) -> Iterator[Watch]:
    """Inside the block the fault is done to the victim and `strike` is called; at its end the times are taken.

    Time runs from the strike to the next commit on each of the victim's courses, which must all have requests coming in;
    with `others_only`, to the next one by another worker. The block must let go of whatever holds up other workers.
    Without a strike nothing is timed. Fails when a course does not move within LIMIT_S.
    """
    courses = site.courses_of(victim_pid, course_ids)
    with closing(psycopg2.connect(site.postgres.url)) as connection:
        connection.autocommit = True
        watch = Watch(_last_indexes(connection, courses, None))
        yield watch
        excluded = victim_pid if others_only else None
        if watch.struck_at:
            watch.stood_still_s = _wait_for_all(connection, watch, excluded)


def _wait_for_all(
    connection: psycopg2.extensions.connection, watch: Watch, excluded: int | None
) -> list[float]:
    waiting = set(watch.last_index)
    times_s: list[float] = []
    look_at = time.monotonic()
    while waiting:
        found = _last_indexes(connection, sorted(waiting), excluded)
        stood_still_s = time.monotonic() - watch.struck_at
        moved = {course_id for course_id in waiting if found[course_id] > watch.last_index[course_id]}
        times_s += [stood_still_s] * len(moved)
        waiting -= moved
        assert stood_still_s < LIMIT_S, f"no commit on {waiting} {stood_still_s:.1f} s after the fault"
        look_at += LOOK_INTERVAL_S
        time.sleep(max(0.0, look_at - time.monotonic()))
    return times_s


def _last_indexes(
    connection: psycopg2.extensions.connection, course_ids: Sequence[str], excluded: int | None
) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(LAST_INDEXES, (list(course_ids), None if excluded is None else str(excluded)))
        return dict.fromkeys(course_ids, 0) | dict(cursor.fetchall())


def percentile(times_s: Sequence[float], share: float) -> float:
    """The smallest measured time that at least this share of all did not exceed."""
    ranked = sorted(times_s)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]
