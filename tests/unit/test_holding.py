"""Courses that stand still are left out for a while, told once, and counted."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.requests import Poisoned
from tests.integration.course_queue import outcome_of
from worker.applying import AppliedRound
from worker.holding import RETRY_PAUSE_MAX_S, RETRY_PAUSE_MIN_S, HeldCourses

COURSE, OTHER = "a-course", "another-course"
DAMAGED = AppliedRound(held={COURSE: "UniqueViolation"})


def counted(reason: str) -> float | None:
    """What the metric says."""
    return REGISTRY.get_sample_value("registration_held_courses", {"reason": reason})


def finished(course_id: str) -> AppliedRound:
    """A round that finished something of that course."""
    entry = Poisoned(b"x", "x", course_id, "its payload is missing")
    return AppliedRound([(entry, outcome_of(entry))])


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def held(told: list[Any]) -> HeldCourses:
    """A worker's held courses, none yet."""
    return HeldCourses()


def tried_at(held: HeldCourses, now: float) -> bool:
    """Whether the course would be in a round now."""
    return COURSE in held.worth_trying([COURSE, OTHER], now)


def test_a_damaged_course_is_left_out_and_tried_ever_more_seldom(held: HeldCourses) -> None:
    """Each try costs the others of its round something; the pauses double up to a limit, and the others miss no round."""
    now, pauses = 0.0, []
    for _ in range(8):
        held.settle(DAMAGED, [], now)
        pause_s = next(step for step in range(1, 1000) if tried_at(held, now + step / 10)) / 10
        assert held.worth_trying([COURSE, OTHER], now) == [OTHER]
        pauses.append(pause_s)
        now += pause_s
    assert pauses[:3] == [RETRY_PAUSE_MIN_S, 2 * RETRY_PAUSE_MIN_S, 4 * RETRY_PAUSE_MIN_S]
    assert pauses[-1] == RETRY_PAUSE_MAX_S == max(pauses)


def test_a_held_course_is_told_once_until_it_has_moved_on(held: HeldCourses, told: list[Any]) -> None:
    """A line per turn would bury everything else; damaged again later is told again."""
    for now in range(5):
        held.settle(DAMAGED, [], now)
    [line] = told
    assert (line["log_level"], line["course_id"], line["problem"]) == ("error", COURSE, "UniqueViolation")
    held.settle(finished(COURSE), [], 6)
    held.settle(DAMAGED, [], 7)
    assert len(told) == 2


def test_requests_of_another_release_are_looked_at_in_every_round(held: HeldCourses, told: list[Any]) -> None:
    """They cost nothing, and may be gone at any moment; told once all the same."""
    for now in range(3):
        held.settle(finished(COURSE), [COURSE], now)
        assert tried_at(held, now)
    assert [line["event"] for line in told] == ["requests wait for a worker of another release"]


def test_held_courses_are_counted_by_reason_as_long_as_they_are_held(held: HeldCourses) -> None:
    """Until they move on, drain, or belong to another worker."""
    held.settle(DAMAGED, [OTHER], 0)
    assert (counted("damaged"), counted("other_release")) == (1, 1)
    held.settle(finished(OTHER), [], 1)
    assert (counted("damaged"), counted("other_release")) == (1, 0)
    assert held.worth_trying([OTHER], 2) == [OTHER]
    assert (counted("damaged"), counted("other_release")) == (0, 0)
