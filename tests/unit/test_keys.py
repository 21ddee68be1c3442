"""Key names and shards, which every process and every version must agree on."""

import pytest

from shared.course_queue import keys

COURSE = "b81e2c55-0c39-4d42-8a8a-2f6f6f7c0a11"


@pytest.mark.parametrize(
    ("course_id", "shards", "shard"),
    [
        (COURSE, 64, 11),
        (COURSE, 1024, 523),
        ("00000000-0000-0000-0000-000000000000", 64, 9),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 64, 15),
    ],
)
def test_a_course_keeps_its_shard_in_every_version(course_id: str, shards: int, shard: int) -> None:
    """Worked out once and written down: a change would send old and new workers to different shards."""
    assert keys.shard_of(course_id, shards) == shard


def test_with_one_shard_all_courses_are_in_it() -> None:
    """Shards count from 0."""
    assert keys.shard_of(COURSE, 1) == 0


def test_queue_keys_are_the_ones_rq_makes_of_the_queue_name() -> None:
    """`rq info` and the dashboard find our queues and jobs."""
    assert keys.queue(COURSE) == f"rq:queue:{keys.queue_name(COURSE)}"
    assert keys.job("id") == "rq:job:id"


def test_an_idempotency_key_is_kept_per_student_and_always_short() -> None:
    """Two students may use the same key; a long key makes no long Redis key."""
    assert keys.idempotency("ann", "k") != keys.idempotency("ben", "k")
    assert keys.idempotency("ann", "k") != keys.idempotency("ann", "K")
    assert len(keys.idempotency("ann", "k" * 255)) == len(keys.idempotency("ann", "k"))
