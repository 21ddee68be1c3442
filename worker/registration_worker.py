"""The RQ worker that applies course queues: in process, round by round, without RQ's own pop, retry and cleanup.

RQ's part of it is to be seen: it registers, heartbeats and counts, so that `rq info` and the dashboard show it.
"""

import os
import signal
import socket
import time
from collections.abc import Iterable
from types import FrameType
from uuid import uuid4

import redis
import structlog
from rq import Queue, Worker, worker_registration
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import WorkerStatus
from sqlalchemy.exc import SQLAlchemyError

from shared import metrics
from shared.course_queue import keys
from shared.course_queue.connection import (
    RedisFailure,
    RedisUnreachable,
    is_wrong_type,
    sync_client,
    verify_durability_now,
)
from shared.course_queue.rounds import CourseQueues
from shared.course_queue.shards import claim_shards_now
from shared.course_queue.wakeups import WakeUps
from shared.course_queue.wrong_keys import WrongKeys
from shared.database import owner_engine
from shared.garbage import spare_startup_objects
from shared.rules import Status
from shared.settings import Settings
from shared.store.statement_times import observe_statements
from shared.tracing import tracer_of
from worker.applying import AppliedRound, apply_rounds
from worker.exporter import export_metrics
from worker.holding import HeldCourses
from worker.ownership import ShardOwner
from worker.publishing import Publisher
from worker.records import Stopwatch, count_round, log_committed, log_published
from worker.turns import Turns

log = structlog.get_logger()

HEARTBEAT_INTERVAL_S = 1.0
# A killed worker leaves the dashboard this long after its last heartbeat.
HEARTBEAT_TTL_S = 10
RETRY_PAUSE_MIN_S = 0.01
# While a round is applied, the outcomes of the one before are published (ADR 0019).
ROUNDS_PER_LOOK = 2


class RegistrationWorker(Worker):
    """Owns a fair share of the shards and brings their courses' requests to outcomes until told to stop."""

    def __init__(self, settings: Settings, supervisor_pid: int | None = None) -> None:
        name = f"{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:8]}"
        super().__init__([], name=name, connection=sync_client(settings), serializer=JSONSerializer)
        self._settings = settings
        self._owner = ShardOwner(observe_statements(owner_engine(settings, name)), settings, os.getpid())
        self._queues = CourseQueues(self.connection, settings, name)
        self._publisher = Publisher(self._queues)
        self._wake_ups = WakeUps(self.connection)
        self._turns = Turns(settings.round_size_max)
        self._tracer = tracer_of(settings, "registration-worker")
        self._supervisor_pid = supervisor_pid
        self._stopping = False
        self._retry_pause_s = RETRY_PAUSE_MIN_S
        self._paused = False
        self._held = HeldCourses()
        self._wrong_keys = WrongKeys()
        self._heartbeat_due_at = 0.0
        self._counts = {"successful_job_count": 0, "failed_job_count": 0}
        self._counts_shown = dict(self._counts)
        self._working_time_s = 0.0

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        """RQ would raise our time limit to minutes, for a blocking pop that we never do."""
        return connection

    def _set_ip_address(self, connection: redis.Redis) -> None:  # noqa: ARG002 - RQ's own form
        """RQ would ask Redis for it at once, which may not be there yet."""
        self.ip_address = "unknown"

    def work(self, *arguments: object, **options: object) -> bool:  # noqa: ARG002 - RQ's own loop takes them
        """Work until SIGTERM or SIGINT, then end the round in hand and leave. Until Redis answers for the first time, wait.

        Raises UnsafeRedisError at start when Redis could lose requests, QueueShardsError when its system has another
        number of shards.
        """
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        export_metrics(self._settings)
        if self._found_fit_redis():
            self._announce()
            spare_startup_objects()
            log.info("worker started", worker=self.name)
            with self._owner:
                while self._wanted():
                    self._turn()
            self._leave()
        if self._tracer is not None:
            self._tracer.close()
        return True

    def _found_fit_redis(self) -> bool:
        """Ask until Redis works; False when told to stop before."""
        while self._wanted():
            try:
                verify_durability_now(self.connection, self._settings)
                # Its settings a Redis shows while it loads; this it answers only afterwards.
                self.connection.ping()
                claim_shards_now(self.connection, self._settings)
            except RedisFailure as error:
                self._pause("Redis", error)
            else:
                self._retry_pause_s = RETRY_PAUSE_MIN_S
                return True
        return False

    def _wanted(self) -> bool:
        """False once told to stop, or once the process that was to restart and stop this one is gone."""
        return not self._stopping and self._supervisor_pid in (None, os.getppid())

    def _announce(self) -> None:
        """Show RQ that we are there. The first heartbeat says it again, and a Redis at maxmemory needs us to free memory."""
        # Heartbeats show it, also when this cannot be said now.
        self.birth_date = self.last_heartbeat = now()
        try:
            super()._set_ip_address(self.connection)
            self.register_birth()  # type: ignore[no-untyped-call]
        except RedisFailure as error:
            log.warning("registered later", problem=str(error)[:500])

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's form
        """Stop after the round in hand."""
        self._stopping = True

    def _turn(self) -> None:
        """One look at the queues. What is away now is tried again, in place, after a growing pause."""
        try:
            if not self._owner.owned:
                # Who cannot see the queues must not keep them from those who can.
                self.connection.ping()
            self._owner.refresh()
            worked = self._rounds()
            self._heartbeat_if_due()
            self._tell_wrong_keys(self._queues.wrong_keys)
            self._retry_pause_s = RETRY_PAUSE_MIN_S
            if not worked:
                self._wait_for_work()
        except SQLAlchemyError as error:
            self._owner.give_up()
            self._pause("PostgreSQL", error)
        except RedisUnreachable as error:
            self._owner.give_up()
            self._wake_ups.close()
            self._pause("Redis", error)
        except RedisFailure as error:
            self._wake_ups.close()
            self._pause("Redis", error)
        except Exception as error:
            # A bug that cost the process would only be met again by the next owner, and take its other courses down too.
            log.exception("bug in a worker's turn")
            self._owner.give_up()
            self._pause("worker", error)

    def _rounds(self) -> bool:
        """Apply what stands at the heads of our queues; False when nothing was ready or nothing could be locked."""
        watch = Stopwatch()
        ready = self._queues.ready_courses(sorted(self._owner.owned))
        chosen = self._turns.next_round(self._held.worth_trying(ready, time.monotonic()))
        size = self._settings.round_size_max
        entries = self._queues.peek(chosen, ROUNDS_PER_LOOK * size)
        self._tell_whether_paused()
        if not entries:
            self._held.settle(AppliedRound(), self._queues.held, time.monotonic())
            return False
        took_s, worked = watch.lap("peek"), False
        try:
            for applied in apply_rounds(self._owner.connection, entries, size, self.name):
                apply_s = watch.lap("apply")
                self._held.settle(applied, self._queues.held, time.monotonic())
                if applied.finished:
                    self._publish(applied, apply_s, took_s + apply_s)
                    took_s, worked = 0.0, True
        finally:
            self._wait_for_publishing()
        return worked

    def _publish(self, applied: AppliedRound, apply_s: float, took_s: float) -> None:
        """Begin to publish a round's outcomes, after those of the one before."""
        log_committed(applied.finished, self.name)
        self._count([outcome.status for _, outcome in applied.finished], took_s)
        self._wait_for_publishing()
        self._publisher.start(applied, apply_s, int(took_s * 1_000_000 / len(applied.finished)))

    def _wait_for_publishing(self) -> None:
        published = self._publisher.wait()
        if published is None:
            return
        finished = published.applied.finished
        self._tell_wrong_keys(published.wrong_keys)
        log_published(finished, self.name)
        if self._tracer is not None:
            self._tracer.applied([outcome for _, outcome in finished], published.times)
        count_round(finished)

    def _tell_whether_paused(self) -> None:
        """Log it, and show RQ at once."""
        if self._queues.paused != self._paused:
            self._paused = self._queues.paused
            self._heartbeat_due_at = 0.0
            log.warning("paused" if self._paused else "resumed", worker=self.name)

    def _tell_wrong_keys(self, wrong: Iterable[str]) -> None:
        """Log each once, until somebody has mended it."""
        for problem in self._wrong_keys.news(wrong, time.monotonic()):
            log.error("a key in Redis was overwritten", problem=problem)

    def _count(self, statuses: list[Status], took_s: float) -> None:
        failed = statuses.count(Status.FAILED)
        self._counts["failed_job_count"] += failed
        self._counts["successful_job_count"] += len(statuses) - failed
        self._working_time_s += took_s

    def _wait_for_work(self) -> None:
        self._wake_ups.listen_to(self._owner.owned)
        self._wake_ups.wait(self._settings.poll_interval_ms / 1000)

    def _pause(self, part: str, error: Exception) -> None:
        metrics.RETRIES.labels(part).inc()
        log.warning("trying again", part=part, problem=str(error)[:500], pause_s=self._retry_pause_s)
        time.sleep(self._retry_pause_s)
        self._retry_pause_s = min(2 * self._retry_pause_s, self._settings.retry_pause_max_ms / 1000)

    def _heartbeat_if_due(self) -> None:
        """Show RQ that we live, what we work on and how much we have done."""
        if time.monotonic() < self._heartbeat_due_at:
            return
        self._heartbeat_due_at = time.monotonic() + HEARTBEAT_INTERVAL_S
        names = self._own_queue_names()
        with self.connection.pipeline() as pipeline:
            if names != self.queue_names():
                worker_registration.unregister(self, pipeline)
                self.queues = [self._queue(name) for name in names]
            worker_registration.register(self, pipeline)
            self.set_state(self._status(), pipeline)
            # All of it, and totals rather than what was added: an expired heartbeat forgets nothing, and a lost reply
            # counts nothing twice.
            pipeline.hset(self.key, mapping=self.serialize() | self._counts)
            pipeline.hset(self.key, "total_working_time", str(self._working_time_s))
            self.heartbeat(HEARTBEAT_TTL_S, pipeline)
            self._send_heartbeat(pipeline)
        self._counts_shown = dict(self._counts)

    def _send_heartbeat(self, pipeline: redis.client.Pipeline) -> None:
        """A transaction carries out the rest where RQ's list of workers is overwritten: who is heard of is alive."""
        try:
            pipeline.execute()
        except redis.exceptions.ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._tell_wrong_keys([str(error)])

    def _status(self) -> WorkerStatus:
        """As RQ calls it; busy is who has finished something since it was shown last."""
        if self._paused:
            return WorkerStatus.SUSPENDED
        return WorkerStatus.IDLE if self._counts == self._counts_shown else WorkerStatus.BUSY

    def _own_queue_names(self) -> list[str]:
        """The queues of our shards that RQ shows, after those drained and forgotten are retired."""
        shards = self._settings.queue_shards
        mine = [
            course_id
            for course_id in self._queues.queued_courses()
            if keys.shard_of(course_id, shards) in self._owner.owned
        ]
        self._queues.retire(mine)
        return sorted(map(keys.queue_name, mine))

    def _queue(self, name: str) -> Queue:
        return self.queue_class(name, connection=self.connection, serializer=JSONSerializer)

    def _leave(self) -> None:
        try:
            self._heartbeat_due_at = 0.0
            self._heartbeat_if_due()
            self.register_death()  # type: ignore[no-untyped-call]
        except RedisFailure as error:
            log.warning("left without telling Redis", problem=str(error)[:500])
        log.info("worker stopped", worker=self.name)
