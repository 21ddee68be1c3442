"""The steps of the drill: what is done to the system, and which signals must then say what.

A step's checks are a list; a new signal (a metric, an alert) is one more line in the steps that it belongs to.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scripts.drill_signals import Check
from scripts.drill_stack import QUEUE_LIMIT, WORKERS, DrillStack

SHARDS = 64
OPEN_COURSE = "CS 101"
FULL_COURSE = "CS 225"


@dataclass(frozen=True, slots=True)
class Step:
    """`cause` does it; then each check must come true, in order."""

    name: str
    cause: Callable[[], object]
    checks: list[Check]


@dataclass(slots=True)
class Drill:
    """All steps on one system, which is whole again after the last."""

    stack: DrillStack
    _course_ids: dict[str, str] = field(default_factory=dict)
    _marks: dict[str, int] = field(default_factory=dict)
    _killed: int = 0

    def steps(self) -> Iterator[Step]:
        """The steps, in order; each begins once the one before has been checked."""
        yield self._whole()
        yield self._worker_killed()
        yield self._paused()
        yield self._queue_full()
        yield self._resumed()
        yield self._postgresql_stopped()
        yield self._postgresql_started()
        yield self._valkey_stopped()
        yield self._valkey_started()

    def _whole(self) -> Step:
        return Step(
            "all is well",
            self._read_courses,
            [
                self._ready('200 … "status":"ok"'),
                self._top("workers share the shards", f"idle {SHARDS // WORKERS} "),
                self._register("register", 0, "200 … ENROLLED"),
                self._manage("drain", "exit code 0"),
            ],
        )

    def _worker_killed(self) -> Step:
        return Step(
            "a worker is killed",
            self._kill_worker,
            [
                self._log("workers", '"event": "worker died"'),
                self._register("another worker applies", 1, "200 … ENROLLED"),
                Check("manage top: all shards owned again", '"unowned_shards": 0', self._top_json),
                Check("manage top: it has left RQ's list", "gone", self._killed_worker_is_listed),
                self._ready('200 … "status":"ok"'),
            ],
        )

    def _paused(self) -> Step:
        return Step(
            "manage pause",
            self._mark_logs,
            [
                self._manage("pause", "Paused … exit code 0"),
                self._ready('200 … degraded … "workers":"paused"'),
                self._top("says so", "PAUSED since"),
                self._top("workers are suspended", f"suspended {SHARDS // WORKERS} "),
                self._log("workers", '"event": "paused"'),
                self._submit("accepting goes on", 2, OPEN_COURSE, "202 … QUEUED"),
                self._manage("drain", "workers are paused … exit code 1"),
            ],
        )

    def _queue_full(self) -> Step:
        return Step(
            "a queue is filled (paused)",
            self._fill_queue,
            [
                self._submit("one too many", QUEUE_LIMIT, FULL_COURSE, "503 Retry-After … queue_full"),
                self._submit("other courses", 3, OPEN_COURSE, "202 … QUEUED"),
                self._top("the fullest queue first", f"{FULL_COURSE} A {QUEUE_LIMIT} "),
                self._manage(f"course {FULL_COURSE} A", f"queue {QUEUE_LIMIT} waiting"),
            ],
        )

    def _resumed(self) -> Step:
        return Step(
            "manage resume",
            self._mark_logs,
            [
                self._manage("resume", "Resumed … exit code 0"),
                self._log("workers", '"event": "resumed"'),
                self._manage("drain", "Nothing waits … exit code 0"),
                self._manage(f"course {FULL_COURSE} A", f"seats {QUEUE_LIMIT} of"),
                self._ready('200 … "status":"ok"'),
            ],
        )

    def _postgresql_stopped(self) -> Step:
        def stop() -> None:
            self._mark_logs()
            self.stack.postgres.stop_immediately()

        return Step(
            "PostgreSQL is stopped",
            stop,
            [
                self._ready("200 … degraded … PostgreSQL did not answer"),
                self._submit("accepting goes on", 4, OPEN_COURSE, "202 … QUEUED"),
                self._log("workers", '"part": "PostgreSQL" … trying again'),
                Check("logins", "503 Retry-After … database_unavailable", self._log_in),
                self._top("PostgreSQL", "PostgreSQL does not answer"),
                self._top("what waits", "waiting 1 in 1 courses"),
            ],
        )

    def _postgresql_started(self) -> Step:
        return Step(
            "PostgreSQL is started",
            self.stack.postgres.start,
            [
                self._ready('200 … "status":"ok"'),
                self._manage("drain", "Nothing waits … exit code 0"),
                self._register("the same student again", 4, "200 … already_registered"),
                Check("logins", "200 … access_token", self._log_in),
            ],
        )

    def _valkey_stopped(self) -> Step:
        def stop() -> None:
            self._mark_logs()
            self.stack.valkey.stop()

        return Step(
            "Valkey is stopped",
            stop,
            [
                self._ready('503 … unavailable … "redis":"does not answer"'),
                self._submit("refused at once", 5, OPEN_COURSE, "503 Retry-After … queue_unavailable"),
                self._log("workers", '"part": "Redis" … trying again'),
                self._top("Redis", "Redis does not answer"),
                self._manage("pause", "Redis: … exit code 3"),
            ],
        )

    def _valkey_started(self) -> Step:
        return Step(
            "Valkey is started",
            self.stack.valkey.start,
            [
                self._ready('200 … "status":"ok"'),
                self._register("register", 5, "200 … ENROLLED"),
                self._top("workers are back", f"idle {SHARDS // WORKERS} "),
                self._manage("audit", "0 differences … exit code 0"),
            ],
        )

    def _ready(self, expected: str) -> Check:
        return Check("GET /health/ready", expected, lambda: self.stack.call("GET", "/health/ready"))

    def _top(self, what: str, expected: str) -> Check:
        return Check(f"manage top: {what}", expected, lambda: self.stack.manage("top", "--once"))

    def _top_json(self) -> str:
        return self.stack.manage("top", "--json")

    def _manage(self, command: str, expected: str) -> Check:
        return Check(f"manage {command}", expected, lambda: self.stack.manage(*command.split()))

    def _log(self, name: str, expected: str) -> Check:
        return Check(f"log of the {name}", expected, lambda: self.stack.log(name)[self._marks.get(name, 0) :])

    def _submit(self, what: str, student: int, course: str, expected: str) -> Check:
        return Check(f"POST register: {what}", expected, lambda: self._post(student, course))

    def _register(self, what: str, student: int, expected: str) -> Check:
        """Submitted with `Prefer: wait`, and looked at again as the student's client would: by repeating."""
        return Check(
            f"register and wait: {what}", expected, lambda: self._post(student, OPEN_COURSE, wait_s=10)
        )

    def _post(self, student: int, course: str, wait_s: int | None = None) -> str:
        path = f"/courses/{self._course_ids[course]}/register"
        preference = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
        return self.stack.call("POST", path, student, headers=preference)

    def _log_in(self) -> str:
        credentials = {"student_number": "STU001", "password": "test123"}
        answer = self.stack.call("POST", "/auth/login", json=credentials)
        # A token belongs into no log, not even one of this system.
        return re.sub(r'"access_token":"[^"]*"', '"access_token":"(hidden)"', answer)

    def _read_courses(self) -> None:
        """Learn the courses' ids from the API, once it is up."""
        self._course_ids = self.stack.course_ids()

    def _kill_worker(self) -> None:
        self._mark_logs()
        picture = json.loads(self._top_json().rpartition("\n")[0])
        self._killed = int(picture["workers"][0]["name"].split(".")[-2])
        self.stack.kill(self._killed)

    def _killed_worker_is_listed(self) -> str:
        return self._top_json() if f".{self._killed}." in self._top_json() else "gone"

    def _fill_queue(self) -> None:
        for student in range(QUEUE_LIMIT):
            self._post(student, FULL_COURSE)

    def _mark_logs(self) -> None:
        """What was logged up to now belongs to earlier steps."""
        self._marks = {name: len(self.stack.log(name)) for name in ("api", "workers")}
