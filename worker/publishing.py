"""Publishing one round's outcomes while the next is applied: Redis works for the one, PostgreSQL for the other."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from shared.course_queue.rounds import CourseQueues
from shared.tracing import RoundTimes
from worker.applying import AppliedRound
from worker.records import Stopwatch


@dataclass(frozen=True, slots=True)
class Published:
    """What clients can see now, and what was wrong with keys in Redis."""

    applied: AppliedRound
    times: RoundTimes
    wrong_keys: list[str]


class Publisher:
    """A thread that takes committed entries off their queues and publishes them, one round's at a time."""

    def __init__(self, queues: CourseQueues) -> None:
        self._queues = queues
        self._thread = ThreadPoolExecutor(1, "publisher")
        self._under_way: Future[Published] | None = None

    def start(self, applied: AppliedRound, apply_s: float, pace_us: int) -> None:
        """Publish what a round has committed in `apply_s` seconds; `wait` for what was started before, first."""
        self._under_way = self._thread.submit(self._publish, applied, apply_s, pace_us)

    def wait(self) -> Published | None:
        """Wait for what was started, if anything was. Raises redis.RedisError when Redis is away."""
        under_way, self._under_way = self._under_way, None
        return under_way.result() if under_way else None

    def _publish(self, applied: AppliedRound, apply_s: float, pace_us: int) -> Published:
        watch = Stopwatch()
        wrong_keys = self._queues.finish(applied.finished, applied.problems, pace_us)
        return Published(applied, RoundTimes.ending_now(apply_s, watch.lap("publish")), wrong_keys)
