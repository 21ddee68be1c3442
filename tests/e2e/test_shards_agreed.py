"""One number of shards for all: whoever starts takes that of the running system, and commands ask it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from scripts.local_servers import free_port
from shared.course_queue.keys import shard_of
from tests.e2e.campus import Campus
from tests.e2e.operators import NOT_AS_WISHED, Operator
from tests.e2e.stack import SHARDS, Stack


def new_ids() -> Iterator[str]:
    """Ids for new courses, one after the other."""
    return iter(lambda: str(uuid4()), "")


def test_no_command_goes_by_a_number_of_shards_of_its_own(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """What waits is seen, and who works on it, whatever QUEUE_SHARDS says where the operator sits."""
    wrong = {"QUEUE_SHARDS": "1"}
    # Its shard is one that the operator's setting does not have.
    course_id = campus.course(course_id=next(new for new in new_ids() if shard_of(new, SHARDS) > 0))
    with stack.held(course_id):
        request_id = campus.student().register(course_id).json()["request_id"]
        left = operator.run("drain", "--timeout", "0", code=NOT_AS_WISHED, **wrong)
        picture = operator.json("top", **wrong)
        course = operator.json("course", course_id, **wrong)
        shown = operator.run("course", course_id, **wrong)
        owner = operator.json("request", request_id, **wrong)["owner"]
    assert "1 requests still wait" in left
    assert (picture["waiting"], picture["shards"], picture["unowned_shards"]) == (1, SHARDS, 0)
    assert f"shard {shard_of(course_id, SHARDS)}, " in shown
    assert f".{stack.worker_pids()[0]}." in course["owner"] == owner


@pytest.mark.parametrize("part", ["worker", "api"])
def test_nobody_starts_with_another_number_of_shards_than_the_running_system(stack: Stack, part: str) -> None:
    """Both numbers are named, and where to read how it is changed; the system is left as it was."""
    program = stack.launch(
        [part, *(["--port", str(free_port())] if part == "api" else [])], QUEUE_SHARDS="32"
    )
    assert program.wait(30) != 0
    told = program.log_path.read_text(encoding="utf-8")
    assert f"QUEUE_SHARDS is 32, but the system runs with {SHARDS} shards" in told
    assert "docs/runbooks/rolling-upgrade.md" in told
    with stack.redis() as client:
        assert client.get("cr:shards") == str(SHARDS).encode()


def test_a_running_system_goes_on_when_redis_has_forgotten_how_many_shards_there_are(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """It is asked for at start only; whoever starts next says it again."""
    with stack.redis() as client:
        client.flushdb()
        assert campus.student().registered(campus.course())["result"] == "ENROLLED"
        assert not client.exists("cr:shards")
        assert operator.json("top")["shards"] == SHARDS
        stack.restart_api()
        assert client.get("cr:shards") == str(SHARDS).encode()
