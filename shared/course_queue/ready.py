"""Which courses have requests waiting, read so that a shard's overwritten key hides its own courses and no others."""

from collections.abc import Sequence

import redis

from shared.course_queue import keys
from shared.course_queue.connection import is_wrong_type


def ready_members(client: redis.Redis, shards: Sequence[int]) -> tuple[set[bytes], list[str]]:
    """The members of these shards' ready sets, and which keys are no sets, each with what Redis says of it.

    Raises redis.RedisError.
    """
    names = list(map(keys.ready, shards))
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.smembers(name)
        found = pipeline.execute(raise_on_error=False)
    members: set[bytes] = set()
    wrong: list[str] = []
    for name, answer in zip(names, found, strict=True):
        if not isinstance(answer, Exception):
            members |= answer
        elif is_wrong_type(answer):
            wrong.append(f"{name}: {answer}")
        else:
            raise answer
    return members, wrong
