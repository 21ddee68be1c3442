"""Keys in Redis that somebody overwrote: the commands name them, hide nothing behind them, and mend them."""

import pytest

from shared.course_queue.keys import shard_of
from tests.e2e.campus import Campus, Student
from tests.e2e.operators import NOT_AS_WISHED, UNAVAILABLE, Operator
from tests.e2e.stack import SHARDS, Stack
from tests.e2e.waiting import wait_until


@pytest.mark.parametrize("what", ["queue", "ready"])
def test_what_waits_behind_an_overwritten_key_is_never_told_as_nothing(
    what: str, stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """Drain does not end well, top names the key, and nobody says that Redis does not answer."""
    key = f"rq:queue:course-{course_id}" if what == "queue" else f"cr:ready:{shard_of(course_id, SHARDS)}"
    with stack.held(course_id), stack.redis() as client:
        answer = student.register(course_id)
        client.rename(key, "aside")
        client.set(key, "overwritten")
        told = operator.run("drain", "--timeout", "0", code=NOT_AS_WISHED)
        assert "Nothing waits" not in told
        assert f"A key in Redis was overwritten: {key}: WRONGTYPE" in told
        shown = operator.run("top", "--once")
        assert f"A key in Redis was overwritten: {key}: WRONGTYPE" in shown
        assert "does not answer" not in shown
        wait_until(lambda: f"{key}: WRONGTYPE" in stack.workers.log(), "a worker names the key")
        client.rename("aside", key)
    assert student.outcome(answer)["result"] == "ENROLLED"


def test_a_course_whose_queue_cannot_be_shown_is_told_by_the_exit_code_too(
    stack: Stack, course_id: str, operator: Operator
) -> None:
    """As its help promises; the key is named."""
    key = f"rq:queue:course-{course_id}"
    with stack.redis() as client:
        client.set(key, "overwritten")
        assert key in operator.run("course", course_id, code=UNAVAILABLE)
        client.delete(key)
    assert "empty" in operator.run("course", course_id)


@pytest.mark.parametrize("key", ["rq:queue:course-{}", "cr:course:{}", "cr:ready:{}"])
def test_a_request_behind_an_overwritten_key_comes_to_its_outcome_once_the_course_is_rebuilt(
    key: str, stack: Stack, campus: Campus, operator: Operator
) -> None:
    """P2: as the runbook says, while API and workers run."""
    course_id = campus.course(seats=2)
    first, second = campus.students(2)
    name = key.format(shard_of(course_id, SHARDS) if "ready" in key else course_id)
    with stack.held(course_id), stack.redis() as client:
        answer = first.register(course_id)
        client.set(name, "overwritten")
        assert first.get(answer.headers["Location"]).json()["status"] == "QUEUED"
        assert "put back" in operator.run("rebuild-queue", course_id)
    assert first.outcome(answer)["result"] == "ENROLLED"
    assert second.registered(course_id)["result"] == "ENROLLED"
    assert "Nothing waits" in operator.run("drain", "--timeout", "30")
    assert "1 courses, 2 requests, 0 differences" in operator.run("audit", "--course", course_id)
