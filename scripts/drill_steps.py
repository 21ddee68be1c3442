"""The steps of the drill: what is done to the system, and which signals must then say what.

A step's checks are a list; a new signal is one more line in the steps that it belongs to.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scripts.drill_checks import Looks
from scripts.drill_dashboard import NO_WORKER
from scripts.drill_pictures import ALERTS, TOP
from scripts.drill_signals import Check
from scripts.drill_stack import QUEUE_LIMIT, WORKERS, DrillStack

SHARDS = 64
OPEN_COURSE = "CS 101"
FULL_COURSE = "CS 225"


@dataclass(frozen=True, slots=True)
class Step:
    """`cause` does it; then each check must come true, in order. `pictures`: file name -> what it shows, in the end.

    `passing`: the same for what soon passes, taken after the first check.
    """

    name: str
    cause: Callable[[], object]
    checks: list[Check]
    pictures: dict[str, str] = field(default_factory=dict)
    passing: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Drill:
    """All steps on one system, which is whole again after the last."""

    stack: DrillStack
    look: Looks
    _killed: int = 0

    def steps(self) -> Iterator[Step]:
        """The steps, in order; each begins once the one before has been checked."""
        for step in (
            self._whole,
            self._worker_killed,
            self._paused,
            self._queue_full,
            self._resumed,
            self._postgresql_stopped,
            self._postgresql_started,
            self._valkey_stopped,
            self._valkey_started,
        ):
            self.look.mark()
            yield step()

    def _whole(self) -> Step:
        return Step(
            "all is well",
            self._read_courses,
            [
                self.look.ready('200 … "status":"ok"'),
                self.look.top("workers share the shards", f"idle {SHARDS // WORKERS} "),
                self.look.register("register", 0, OPEN_COURSE, "200 … ENROLLED"),
                self.look.manage("drain", "exit code 0"),
                self.look.queues_page(f"{OPEN_COURSE} A: 0 queued, 0 failed"),
                self.look.workers_page("idle … idle"),
                self.look.metric("registration_ready", 2),
                self.look.metric("registration_shard_owned", SHARDS),
                self.look.moved("registration_accepted_total", 1),
                self.look.moved("registration_outcomes_total", 1, result="ENROLLED"),
                *self.look.targets(),
                *self.look.alerts(),
            ],
        )

    def _worker_killed(self) -> Step:
        return Step(
            "a worker is killed",
            self._kill_worker,
            [
                *self.look.alerts("TargetDown pending"),
                self.look.log("workers", '"event": "worker died"'),
                self.look.register("another worker applies", 1, OPEN_COURSE, "200 … ENROLLED"),
                Check("manage top: all shards owned again", '"unowned_shards": 0', self.look.top_json),
                Check("manage top: it has left RQ's list", "gone", self._killed_worker_in_top),
                Check("RQ dashboard: it has left the workers", "gone", self._killed_worker_in_dashboard),
                self.look.queues_page(f"{OPEN_COURSE} A: 0 queued, 0 failed"),
                self.look.ready('200 … "status":"ok"'),
                self.look.moved("registration_shard_changes_total", SHARDS // WORKERS, change="gained"),
                self.look.metric("registration_shard_owned", SHARDS),
                self.look.metric("rq_workers", WORKERS, state="idle"),
                *self.look.alerts(),
            ],
            passing={"drill-top-worker-killed": TOP},
        )

    def _paused(self) -> Step:
        return Step(
            "manage pause",
            _nothing,
            [
                self.look.manage("pause", "Paused … exit code 0"),
                self.look.ready('200 … degraded … "workers":"paused"'),
                self.look.top("says so", "PAUSED since"),
                self.look.top("workers are suspended", f"suspended {SHARDS // WORKERS} "),
                self.look.workers_page("suspended … suspended"),
                self.look.log("workers", '"event": "paused"'),
                self.look.submit("accepting goes on", 2, OPEN_COURSE, "202 … QUEUED"),
                self.look.manage("drain", "workers are paused … exit code 1"),
                self.look.queues_page(f"{OPEN_COURSE} A: 1 queued"),
                self.look.metric("rq_workers", WORKERS, state="suspended"),
                self.look.metric("registration_workers_paused", 1),
                self.look.moved("registration_accepted_total", 1),
                self.look.metric("registration_shard_waiting_requests", 1),
            ],
            {"drill-dashboard-workers-suspended": "/0/view/workers"},
        )

    def _queue_full(self) -> Step:
        return Step(
            "a queue is filled (paused)",
            self._fill_queue,
            [
                self.look.submit("one too many", QUEUE_LIMIT, FULL_COURSE, "503 Retry-After … queue_full"),
                self.look.submit("other courses", 3, OPEN_COURSE, "202 … QUEUED"),
                self.look.top("the fullest queue first", f"{FULL_COURSE} A {QUEUE_LIMIT} "),
                self.look.manage(f"course {FULL_COURSE} A", f"queue {QUEUE_LIMIT} waiting"),
                self.look.queues_page(f"{FULL_COURSE} A: {QUEUE_LIMIT} queued … {OPEN_COURSE} A: 2 queued"),
                self.look.metric(
                    "registration_course_waiting_requests", QUEUE_LIMIT, course=f"{FULL_COURSE} A"
                ),
                self.look.moved("registration_accepted_total", QUEUE_LIMIT + 1),
                self.look.moved("registration_refused_total", 1, reason="queue_full"),
                *self.look.alerts_of_impatience(QUEUE_LIMIT, FULL_COURSE, "SubmissionsRefused firing"),
                *self.look.alerts("OldestRequestTooOld firing", "WorkersPaused firing"),
            ],
            {"drill-dashboard-queue-full": "/", "drill-top-queue-full": TOP},
        )

    def _resumed(self) -> Step:
        return Step(
            "manage resume",
            _nothing,
            [
                self.look.manage("resume", "Resumed … exit code 0"),
                self.look.log("workers", '"event": "resumed"'),
                self.look.manage("drain", "Nothing waits … exit code 0"),
                self.look.manage(f"course {FULL_COURSE} A", f"seats {QUEUE_LIMIT} of"),
                self.look.queues_page(f"{FULL_COURSE} A: 0 queued, 0 failed"),
                self.look.workers_page("idle … idle"),
                self.look.ready('200 … "status":"ok"'),
                self.look.metric("registration_workers_paused", 0),
                self.look.metric("registration_shard_waiting_requests", 0),
                self.look.moved("registration_outcomes_total", QUEUE_LIMIT + 2, result="ENROLLED"),
                self.look.metric("rq_workers", WORKERS, state="idle"),
                *self.look.alerts(),
            ],
        )

    def _postgresql_stopped(self) -> Step:
        return Step(
            "PostgreSQL is stopped",
            self.stack.postgres.stop_immediately,
            [
                self.look.ready("200 … degraded … PostgreSQL did not answer"),
                self.look.submit("accepting goes on", 4, OPEN_COURSE, "202 … QUEUED"),
                self.look.log("workers", '"part": "PostgreSQL" … trying again'),
                self.look.log_in("503 Retry-After … database_unavailable"),
                self.look.top("PostgreSQL", "PostgreSQL does not answer"),
                self.look.top("what waits", "waiting 1 in 1 courses"),
                self.look.queues_page(f"{OPEN_COURSE} A: 1 queued"),
                self.look.workers_page(NO_WORKER),
                self.look.metric("registration_ready", 0, part="postgresql"),
                self.look.metric("registration_ready", 1, part="redis"),
                self.look.metric("registration_shard_owned", None),
                self.look.moved("registration_accepted_total", 1),
                self.look.moved("registration_retries_total", 1, part="PostgreSQL"),
                *self.look.alerts("PostgresqlNotReady firing", "WorkersTryAgain firing"),
            ],
            {"drill-top-postgresql-stopped": TOP},
        )

    def _postgresql_started(self) -> Step:
        return Step(
            "PostgreSQL is started",
            self.stack.postgres.start,
            [
                self.look.ready('200 … "status":"ok"'),
                self.look.manage("drain", "Nothing waits … exit code 0"),
                self.look.register("the same student again", 4, OPEN_COURSE, "200 … already_registered"),
                self.look.log_in("200 … access_token"),
                self.look.queues_page(f"{OPEN_COURSE} A: 0 queued, 0 failed"),
                self.look.workers_page("idle … idle"),
                self.look.metric("registration_ready", 1, part="postgresql"),
                self.look.metric("registration_shard_owned", SHARDS),
                self.look.moved("registration_outcomes_total", 1, result="ENROLLED"),
                *self.look.alerts(),
            ],
        )

    def _valkey_stopped(self) -> Step:
        return Step(
            "Valkey is stopped",
            self.stack.valkey.stop,
            [
                self.look.ready('503 … unavailable … "redis":"does not answer"'),
                self.look.submit("refused at once", 5, OPEN_COURSE, "503 Retry-After … queue_unavailable"),
                self.look.log("workers", '"part": "Redis" … trying again'),
                self.look.top("Redis", "Redis does not answer"),
                self.look.manage("pause", "Redis: … exit code 3"),
                self.look.front_page("503 … Redis does not answer"),
                self.look.queues_page("503 … Redis does not answer"),
                self.look.metric("registration_ready", 0, part="redis"),
                self.look.metric("registration_shard_waiting_requests", None),
                self.look.moved("registration_refused_total", 1, reason="queue_unavailable"),
                self.look.moved("registration_retries_total", 1, part="Redis"),
                *self.look.alerts(
                    "RedisNotReady firing", "ShardWithoutOwner firing", "WorkersTryAgain firing"
                ),
            ],
            {"drill-top-valkey-stopped": TOP, "drill-alerts-valkey-stopped": ALERTS},
        )

    def _valkey_started(self) -> Step:
        return Step(
            "Valkey is started",
            self.stack.valkey.start,
            [
                self.look.ready('200 … "status":"ok"'),
                self.look.register("register", 5, OPEN_COURSE, "200 … ENROLLED"),
                self.look.top("workers are back", f"idle {SHARDS // WORKERS} "),
                self.look.manage("audit", "0 differences … exit code 0"),
                self.look.queues_page(f"{OPEN_COURSE} A: 0 queued, 0 failed"),
                self.look.workers_page("idle … idle"),
                self.look.metric("registration_ready", 1, part="redis"),
                self.look.metric("registration_shard_owned", SHARDS),
                self.look.moved("registration_outcomes_total", 1, result="ENROLLED"),
                *self.look.alerts(),
            ],
        )

    def _read_courses(self) -> None:
        """Learn the courses' ids from the API, once it is up."""
        self.look.course_ids = self.stack.course_ids()

    def _kill_worker(self) -> None:
        picture = json.loads(self.look.top_json().rpartition("\n")[0])
        self._killed = int(picture["workers"][0]["name"].split(".")[-2])
        self.stack.kill(self._killed)

    def _killed_worker_in_top(self) -> str:
        return self._killed_worker_in(self.look.top_json())

    def _killed_worker_in_dashboard(self) -> str:
        return self._killed_worker_in(self.look.dashboard.workers())

    def _killed_worker_in(self, listed: str) -> str:
        return listed if f".{self._killed}." in listed else "gone"

    def _fill_queue(self) -> None:
        for student in range(QUEUE_LIMIT):
            self.look.post(student, FULL_COURSE)


def _nothing() -> None:
    """The step's first check does it."""
