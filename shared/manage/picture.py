"""The whole system at one moment, as far as its parts answer: queues, workers, owners, and the rates between two looks."""

import time
from dataclasses import dataclass, field

from shared.course_queue import keys
from shared.course_queue.connection import RedisFailure
from shared.course_queue.inspection import CourseQueue, course_counters, ready_queues
from shared.course_queue.pausing import paused_since
from shared.course_queue.ready import shown_courses
from shared.course_queue.roll_call import ListedWorker, listed_workers
from shared.database import reading
from shared.errors import DatabaseUnavailableError
from shared.manage.parts import Parts, postgresql_problem, redis_problem
from shared.store.ownership import shard_owners

# PostgreSQL cuts a session's name off after so many characters.
SESSION_NAME_LENGTH_MAX = 63


@dataclass(slots=True)
class Picture:
    """What was seen, None where nothing could be, and which parts did not answer (`problems`).

    What belongs under an overwritten key in Redis (`wrong_keys`) is missing from what is shown. `owners` maps shards to workers' names.
    """

    taken_at: float = field(default_factory=time.monotonic)
    shards: int | None = None
    paused_since: str | None = None
    queues: list[CourseQueue] | None = None
    counters: dict[str, tuple[int, int]] | None = None
    workers: list[ListedWorker] | None = None
    owners: dict[int, str] | None = None
    problems: dict[str, str] = field(default_factory=dict)
    wrong_keys: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int | None:
        """Requests in all queues."""
        return None if self.queues is None else sum(queue.waiting for queue in self.queues)

    @property
    def oldest_age_s(self) -> float | None:
        """How long the request that waits longest has been waiting; None also when none waits."""
        return max((queue.oldest_age_s or 0.0 for queue in self.queues or []), default=None)

    @property
    def unowned_shards(self) -> int | None:
        """How many shards nobody works on."""
        if self.shards is None or self.owners is None:
            return None
        return len(set(range(self.shards)) - self.owners.keys())

    def shards_of(self, worker: str) -> int | None:
        """How many shards a worker holds."""
        if self.owners is None:
            return None
        return sum(owner == worker[:SESSION_NAME_LENGTH_MAX] for owner in self.owners.values())

    def shard_of(self, course_id: str) -> int | None:
        """The shard that a course belongs to."""
        return None if self.shards is None else keys.shard_of(course_id, self.shards)

    def owner_of(self, course_id: str) -> str:
        """Who works on a course."""
        shard = self.shard_of(course_id)
        return "unknown" if shard is None or self.owners is None else self.owners.get(shard, "nobody")

    def rates_since(self, earlier: "Picture") -> tuple[float, float] | None:
        """(accepted, applied) requests a second since an earlier look."""
        if self.counters is None or earlier.counters is None:
            return None
        elapsed_s = max(self.taken_at - earlier.taken_at, 0.001)
        accepted = applied = 0
        for course_id, (sequence, taken_off) in self.counters.items():
            before = earlier.counters.get(course_id, (sequence, taken_off))
            accepted += sequence - before[0]
            applied += taken_off - before[1]
        return accepted / elapsed_s, applied / elapsed_s


def take_picture(parts: Parts) -> Picture:
    """Look at everything. Never raises for a part that does not answer: at such times the other one matters most."""
    picture = Picture()
    try:
        picture.shards = parts.shards()
        picture.paused_since = paused_since(parts.redis)
        picture.queues, picture.wrong_keys = ready_queues(parts.redis)
        shown, hidden = shown_courses(parts.redis)
        picture.wrong_keys += hidden
        picture.counters = course_counters(parts.redis, shown)
        picture.workers = listed_workers(parts.redis)
    except RedisFailure as error:
        picture.problems["Redis"] = redis_problem(error)
    try:
        with reading(parts.engine) as connection:
            owners = shard_owners(connection)
        picture.owners = {shard: worker for shard, (worker, _) in owners.items()}
    except DatabaseUnavailableError as error:
        picture.problems["PostgreSQL"] = postgresql_problem(error)
    return picture
