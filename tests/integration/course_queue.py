"""One course's queue on a real Redis: our scripts called with exactly the arguments that the API and a worker send."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from shared.course_queue import keys, scripts
from shared.course_queue.accepting import Asked, accept_arguments
from shared.course_queue.rounds import CourseQueues
from shared.requests import Outcome, Poisoned, QueueEntry, Submission
from shared.rules import Operation, Reason, Result, Status
from shared.settings import Settings

PACE_US = 250
WORKER = "test-worker"


def outcome_of(entry: QueueEntry, status: Status = Status.APPLIED) -> Outcome:
    """A ledger row for an entry, as a worker would write it."""
    asked = entry if isinstance(entry, Submission) else None
    return Outcome(
        request_id=entry.request_id,
        course_id=entry.course_id,
        student_id=asked.student_id if asked else None,
        operation=asked.operation if asked else None,
        generation=asked.generation if asked else None,
        sequence=asked.sequence if asked else None,
        accepted_at=asked.accepted_at if asked else None,
        applied_at=datetime.now(UTC),
        applied_index=1,
        status=status,
        result=Result.ENROLLED if status is Status.APPLIED else None,
        reason=None if status is Status.APPLIED else Reason.INTERNAL_ERROR,
        reserve_position=None,
        promoted_student_id=None,
        worker=WORKER,
    )


class CourseQueueOnRedis:
    """Accepts, peeks and finishes one at a time, and looks at the keys from outside."""

    def __init__(self, client: redis.Redis, settings: Settings, course_id: str | None = None) -> None:
        self.client = client
        self.settings = settings
        self.course_id = course_id or str(uuid4())
        self.student_id = str(uuid4())
        self.queues = CourseQueues(client, settings, WORKER)

    @property
    def shard(self) -> int:
        """The shard of the course."""
        return keys.shard_of(self.course_id, self.settings.queue_shards)

    def accept(
        self,
        operation: Operation = Operation.REGISTER,
        *,
        limits: Mapping[str, Any] | None = None,
        **asked: Any,
    ) -> list[Any]:
        """Run the accept script; `asked` and `limits` change the request and the settings. Returns its reply."""
        request = {
            "request_id": str(uuid4()),
            "student_id": self.student_id,
            "course_id": self.course_id,
            "course_title": "TST1 001",
            "operation": operation,
            "idempotency_key": None,
        } | asked
        arguments = accept_arguments([Asked(**request)], self.settings.model_copy(update=limits or {}))
        (reply,) = self.client.eval(scripts.ACCEPT.source, 0, *arguments)
        return [part.decode() if isinstance(part, bytes) else part for part in reply]

    def accepted(self, operation: Operation = Operation.REGISTER, **asked: Any) -> str:
        """Accept a request that must be new; returns its id."""
        reply = self.accept(operation, **asked)
        assert reply[0] == "accepted"
        return str(reply[1])

    def accepted_from_new_students(self, count: int) -> list[str]:
        """Requests of that many different students, in order."""
        return [self.accepted(student_id=str(uuid4())) for _ in range(count)]

    def head(self, count: int = 100) -> list[QueueEntry]:
        """The first entries of the queue."""
        return self.queues.peek([self.course_id], count)

    def finish(
        self,
        entries: Sequence[QueueEntry],
        status: Status = Status.APPLIED,
        problems: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Finish these entries, all with the same status; returns what was wrong in Redis."""
        pairs = [
            (entry, outcome_of(entry, Status.FAILED if isinstance(entry, Poisoned) else status))
            for entry in entries
        ]
        return self.queues.finish(pairs, problems or {}, PACE_US)

    def waiting(self) -> list[str]:
        """The ids in the queue."""
        return [raw.decode(errors="replace") for raw in self.client.lrange(keys.queue(self.course_id), 0, -1)]

    def is_ready(self) -> bool:
        """Whether a worker is told that the course has work."""
        return bool(self.client.sismember(keys.ready(self.shard), self.course_id))

    def job(self, request_id: str) -> Job:
        """The request as RQ reads it."""
        return Job.fetch(request_id, connection=self.client, serializer=JSONSerializer)

    def everything(self) -> dict[str, Any]:
        """Every key with its whole value."""
        return {key.decode(errors="replace"): self._value(key) for key in self.client.scan_iter()}

    def _value(self, key: bytes) -> Any:
        readers = {
            b"string": self.client.get,
            b"hash": self.client.hgetall,
            b"set": self.client.smembers,
            b"list": lambda name: self.client.lrange(name, 0, -1),
            b"zset": lambda name: self.client.zrange(name, 0, -1, withscores=True),
            b"stream": self.client.xrange,
        }
        return readers[self.client.type(key)](key)
