"""Which shards this worker owns: those its writing PostgreSQL session holds the advisory locks of.

The lock and the commits live and die with one session, so a dead owner cannot commit and no lease is needed.
A frozen owner is cut off by the server when its session has been silent for `session_timeout_ms`.
"""

import time
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from shared import metrics
from shared.database import transaction
from shared.settings import Settings
from shared.store import ownership


class ShardOwner:
    """One worker's session and the shards it holds. Every method may raise SQLAlchemyError; then call `give_up`."""

    def __init__(self, engine: Engine, settings: Settings, first_choice: int) -> None:
        self._engine = engine
        self._shards = settings.queue_shards
        self._interval_s = settings.ownership_interval_ms / 1000
        self._connection: Connection | None = None
        self._due_at = 0.0
        # Workers that start looking at different shards seldom reach for the same one.
        self._preference = [(first_choice + offset) % self._shards for offset in range(self._shards)]
        self.owned: frozenset[int] = frozenset()

    @property
    def connection(self) -> Connection:
        """The session that holds the locks, and the only one that may commit rounds."""
        if self._connection is None or self._connection.closed:
            self._connection = self._engine.connect()
            with transaction(self._connection):
                ownership.announce_worker(self._connection)
        return self._connection

    def refresh(self) -> None:
        """When it is due: keep the session alive, hand back what exceeds the fair share, take what is free."""
        if time.monotonic() < self._due_at:
            return
        connection = self.connection
        with transaction(connection):
            fair_share = -(-self._shards // ownership.worker_count(connection))
            surplus = sorted(self.owned)[fair_share:]
            gained: list[int] = []
            if surplus:
                ownership.unlock_shards(connection, surplus)
            elif len(self.owned) < fair_share:
                free = [shard for shard in self._preference if shard not in self.owned]
                gained = ownership.lock_shards(connection, free, fair_share - len(self.owned))
        self.owned = (self.owned | frozenset(gained)) - frozenset(surplus)
        metrics.SHARD_CHANGES.labels("gained").inc(len(gained))
        metrics.SHARD_CHANGES.labels("handed_back").inc(len(surplus))
        self._due_at = time.monotonic() + self._interval_s

    def give_up(self) -> None:
        """Forget the session and its shards; the next use starts a new one."""
        connection, self._connection = self._connection, None
        metrics.SHARD_CHANGES.labels("lost").inc(len(self.owned))
        self.owned = frozenset()
        self._due_at = 0.0
        if connection is not None:
            connection.invalidate()
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_up()
