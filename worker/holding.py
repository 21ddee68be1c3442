"""Courses that stand still although their worker works: what each waits for, told once, and when it is tried again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from shared import metrics
from worker.applying import AppliedRound

log = structlog.get_logger()

DAMAGED, OTHER_RELEASE = metrics.HELD_REASONS
# To find a damaged course among the others of its round costs some twenty transactions each time.
RETRY_PAUSE_MIN_S, RETRY_PAUSE_MAX_S = 0.5, 10.0
TOLD_MAX = 20


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a course is held, and until when it is left out of the rounds."""

    reason: str
    pause_s: float
    due_at: float


class HeldCourses:
    """The courses that one worker holds. Times are seconds of one clock, and passed in."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}

    def worth_trying(self, ready: Collection[str], now: float) -> Collection[str]:
        """The ready courses without those that are damaged and were tried a moment ago. What is not ready is not held."""
        if not self._holds:
            return ready
        self._keep({course_id: self._holds[course_id] for course_id in ready if course_id in self._holds})
        return [
            course_id
            for course_id in ready
            if course_id not in self._holds or self._holds[course_id].due_at <= now
        ]

    def settle(self, applied: AppliedRound, other_release: Collection[str], now: float) -> None:
        """After a round: hold what could not be applied and what only others can read, let go what has moved on."""
        if not (self._holds or applied.held or other_release):
            return
        reasons = dict.fromkeys(other_release, OTHER_RELEASE) | dict.fromkeys(applied.held, DAMAGED)
        self._tell({course for course in reasons if self._reason(course) != reasons[course]}, applied.held)
        moved = {entry.course_id for entry, _ in applied.finished}
        kept = {course: hold for course, hold in self._holds.items() if course not in moved}
        self._keep(kept | {course: self._held(course, reason, now) for course, reason in reasons.items()})

    def _reason(self, course_id: str) -> str | None:
        hold = self._holds.get(course_id)
        return hold.reason if hold else None

    def _held(self, course_id: str, reason: str, now: float) -> Hold:
        """Requests of another release cost nothing to look at; a damaged course is tried ever more seldom."""
        if reason == OTHER_RELEASE:
            return Hold(reason, 0.0, now)
        before = self._holds.get(course_id)
        pause_s = min(max(RETRY_PAUSE_MIN_S, 2 * before.pause_s if before else 0.0), RETRY_PAUSE_MAX_S)
        return Hold(reason, pause_s, now + pause_s)

    def _tell(self, newly: Collection[str], problems: Mapping[str, str]) -> None:
        for course_id in sorted(newly & problems.keys()):
            log.error("a course cannot be applied", course_id=course_id, problem=problems[course_id])
        waiting = sorted(newly - problems.keys())
        if waiting:
            log.warning("requests wait for a worker of another release", courses=waiting[:TOLD_MAX])

    def _keep(self, holds: dict[str, Hold]) -> None:
        self._holds = holds
        for reason in metrics.HELD_REASONS:
            metrics.HELD_COURSES.labels(reason).set(sum(hold.reason == reason for hold in holds.values()))
