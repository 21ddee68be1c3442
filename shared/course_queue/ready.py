"""Which courses have requests waiting, and which RQ shows, as far as no overwritten key hides them."""

from collections.abc import Sequence
from typing import Any

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


def shown_courses(client: redis.Redis) -> tuple[list[str], list[str]]:
    """Every course whose queue RQ shows, and RQ's key with what Redis says of it where that is no set.

    Raises redis.RedisError.
    """
    try:
        raw_names: set[Any] = client.smembers(keys.QUEUES)
    except redis.exceptions.ResponseError as error:
        if not is_wrong_type(error):
            raise
        return [], [f"{keys.QUEUES}: {error}"]
    prefix = keys.queue("")
    names = [raw.decode(errors="replace") for raw in raw_names]
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)], []
