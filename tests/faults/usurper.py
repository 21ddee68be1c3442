"""`python -m tests.faults.usurper`: a worker that takes every shard for its own without asking. Only for fault tests."""

import time

from sqlalchemy import text

from shared.course_queue.connection import RedisFailure
from shared.database import owner_engine, transaction
from shared.settings import load_settings
from worker.ownership import ShardOwner
from worker.registration_worker import RegistrationWorker


class GreedyOwner(ShardOwner):
    """Owns everything, locks nothing; only keeps its session alive."""

    def refresh(self) -> None:
        """Claim all shards, whoever has them."""
        if time.monotonic() >= self._due_at:
            with transaction(self.connection) as connection:
                connection.execute(text("SELECT 1"))
            self._due_at = time.monotonic() + self._interval_s
        self.owned = frozenset(range(self._shards))


class Usurper(RegistrationWorker):
    """The usual worker but for its idea of ownership."""

    def __init__(self) -> None:
        settings = load_settings()
        super().__init__(settings)
        self._owner = GreedyOwner(owner_engine(settings, self.name), settings, 0)


if __name__ == "__main__":
    try:
        Usurper().work()
    except RedisFailure as error:
        raise SystemExit(str(error)) from error
