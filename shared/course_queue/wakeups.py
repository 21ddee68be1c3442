"""Hints that a shard has work. They only shorten the wait: the worker looks by itself as well."""

from collections.abc import Collection

import redis

from shared.course_queue import keys


class WakeUps:
    """Listens for the shards that one worker owns. Every method may raise redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._pubsub = redis.client.PubSub(client.connection_pool, ignore_subscribe_messages=True)
        self._shards: frozenset[int] = frozenset()

    def listen_to(self, shards: Collection[int]) -> None:
        """Hear about these shards and no others."""
        wanted = frozenset(shards)
        added, gone = wanted - self._shards, self._shards - wanted
        if added:
            self._pubsub.subscribe(*map(keys.wake_channel, sorted(added)))
        if gone:
            self._pubsub.unsubscribe(  # type: ignore[no-untyped-call]
                *map(keys.wake_channel, sorted(gone))
            )
        self._shards = wanted

    def wait(self, timeout_s: float) -> bool:
        """Wait for a hint, at most that long; all hints that are there count as one. True when there was one."""
        if not self._pubsub.subscribed:
            return False
        heard = self._pubsub.get_message(timeout=timeout_s) is not None
        while self._pubsub.get_message(timeout=0) is not None:
            heard = True
        return heard

    def close(self) -> None:
        """Stop listening."""
        self._shards = frozenset()
        self._pubsub.close()
