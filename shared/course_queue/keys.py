"""Every key in Redis, its type and its meaning.

RQ's own keys, so that `rq info` and the dashboard see what is there:

| key | type | meaning |
|---|---|---|
| `rq:queues` | set | keys of the queues that hold or recently held requests |
| `rq:queue:course-<course>` | list | ids of waiting requests, in the order of acceptance, head first |
| `rq:job:<request>` | hash | the request as an RQ job; its `result` field, the outcome, appears with the final status |
| `rq:workers` | set | keys of the workers |
| `rq:worker:<worker>` | hash | a worker's state, counts and last heartbeat; expires without one |
| `rq:results:<request>` | stream | RQ's record of what went wrong with a failed one |
| `rq:finished:course-<course>` | sorted set | finished requests, scored by when they are forgotten |
| `rq:failed:course-<course>` | sorted set | the same for failed ones |

Ours:

| key | type | meaning |
|---|---|---|
| `cr:generation` | string | UUID naming this life of the Redis data: that of its first request |
| `cr:shards` | string | the number of shards that API and workers go by; they agree on it when they start |
| `cr:course:<course>` | hash | `sequence` last given, `applied` highest sequence taken off, `pace_us` time per request |
| `cr:student:<student>` | hash | waiting request id -> "course operation sequence" |
| `cr:ready:<shard>` | set | courses of the shard whose queue is not empty |
| `cr:idempotency:<student>:<digest>` | string | "request operation course", expires after a day |
| `cr:repeated` | string | when a request was last repeated (us); written only for replicas to acknowledge |
| `cr:login/…` | string | failed logins in the current minute, by `limits` |
| `cr:known-address:<digest>` | string | a student has logged in from an address, for a month |
| `cr:probe` | string | written by readiness, to see that Redis takes writes |
| `cr:paused` | string | when an operator paused the workers; they apply nothing while it exists |
| `cr:outcomes` | channel | a JSON list of final requests, one message per round |
| `cr:wake:<shard>` | channel | a course that is the first of its shard to become ready |
"""

from hashlib import sha256
from zlib import crc32

QUEUES = "rq:queues"
WORKERS = "rq:workers"
WORKER_PREFIX = "rq:worker:"
QUEUE_PREFIX = "course-"
GENERATION = "cr:generation"
SHARDS = "cr:shards"
OUTCOMES_CHANNEL = "cr:outcomes"
LOGIN_FAILURES = "cr:login"
PROBE = "cr:probe"
PAUSED = "cr:paused"
REPEATED = "cr:repeated"

# The only function name a worker of ours takes. It names no importable code on purpose.
JOB_FUNCTION = "registration.apply"
# What this release writes, and what its workers read: its own form and that of the release before (ADR 0013). That of
# the next release waits for its workers; any other is nobody's (ADR 0015).
JOB_VERSION = 1
JOB_VERSIONS_READ = frozenset({1})


def queue_name(course_id: str) -> str:
    """RQ's name for a course's queue."""
    return f"{QUEUE_PREFIX}{course_id}"


def queue(course_id: str) -> str:
    """The list that is a course's queue."""
    return f"rq:queue:{QUEUE_PREFIX}{course_id}"


def job(request_id: str) -> str:
    """The RQ job hash of a request."""
    return f"rq:job:{request_id}"


def results(request_id: str) -> str:
    """RQ's record of a request's result."""
    return f"rq:results:{request_id}"


def course(course_id: str) -> str:
    """The counters of a course's queue."""
    return f"cr:course:{course_id}"


def student(student_id: str) -> str:
    """What a student has waiting."""
    return f"cr:student:{student_id}"


def ready(shard: int) -> str:
    """The courses of a shard that have requests waiting."""
    return f"cr:ready:{shard}"


def wake_channel(shard: int) -> str:
    """Where a shard's owner hears that a course became ready."""
    return f"cr:wake:{shard}"


def idempotency(student_id: str, key: str) -> str:
    """Where a client's Idempotency-Key is kept: digested, so that any key is short and printable."""
    return f"cr:idempotency:{student_id}:{sha256(key.encode()).hexdigest()[:32]}"


def known_address(student_number: str, address: str) -> str:
    """That a student has logged in from an address."""
    return f"cr:known-address:{sha256(f'{address} {student_number}'.encode()).hexdigest()[:32]}"


def shard_of(course_id: str, shards: int) -> int:
    """The shard a course belongs to, the same in every process and every version."""
    return crc32(course_id.encode()) % shards
