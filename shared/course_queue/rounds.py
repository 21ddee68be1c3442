"""The worker's side of the queues: peek at the heads, and after the commit take off what the ledger has."""

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import redis

from shared import metrics
from shared.course_queue import keys, scripts
from shared.course_queue.connection import ScriptMissing, is_wrong_type
from shared.course_queue.ready import ready_members, shown_courses
from shared.requests import Outcome, Poisoned, QueueEntry, Submission, moment, outcome_document
from shared.rules import Operation, Status
from shared.settings import Settings

INTERNAL_ERROR_TEXT = "The request could not be applied: "
# Sequences and microseconds since 1970 stay below this for longer than anyone will ask.
COUNT_LIMIT = 2**53
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class CourseQueues:
    """The queues of all courses, as one worker works on them. Every method may raise redis.RedisError."""

    def __init__(self, client: redis.Redis, settings: Settings, worker: str) -> None:
        self._client = client
        self._settings = settings
        self._worker = worker
        self.paused = False
        """Whether an operator has paused all workers, as of the last `ready_courses`."""
        self.held: frozenset[str] = frozenset()
        """Courses with a request of another release within the last `peek`: it waits for a worker that reads it."""
        self.wrong_keys: list[str] = []
        """Shards' and queues' keys that hold something else, as of the last `ready_courses` and the `peek` after it."""

    def ready_courses(self, shards: Sequence[int]) -> list[str]:
        """The courses of these shards that have requests waiting, in no particular order; none while paused."""
        with metrics.REDIS_TIME.labels("ready").time(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.exists(keys.PAUSED)
            if shards:
                pipeline.sunion(list(map(keys.ready, shards)))
            answers = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not is_wrong_type(answer):
                raise answer
        paused, *ready = answers
        self.paused, self.wrong_keys = bool(paused), []
        if self.paused or not ready:
            return []
        found = ready[0]
        if isinstance(found, Exception):
            found, self.wrong_keys = ready_members(self._client, shards)
        members = [course.decode(errors="replace") for course in found]
        return [course_id for course_id in members if is_canonical_uuid(course_id)]

    def peek(self, course_ids: Sequence[str], limit: int) -> list[QueueEntry]:
        """The first entries of these courses' queues, each in order, `limit` in all; nothing is taken off.

        Every course has an equal share, and what it does not need the others have. There are at most `limit` courses.
        A course's entries end before the first one of another release (see `held`).
        """
        heads, wrong = self._run(scripts.PEEK, [], [limit, *course_ids]) if course_ids else ([], [])
        self.wrong_keys += [text.decode(errors="replace") for text in wrong]
        held: set[str] = set()
        entries = [
            entry
            for course_id, head in zip(course_ids, heads, strict=True)
            for entry in _readable(course_id, head, held)
        ]
        self.held = frozenset(held)
        return entries

    def finish(
        self, finished: Sequence[tuple[QueueEntry, Outcome]], problems: Mapping[str, str], pace_us: int
    ) -> list[str]:
        """Take entries off whose outcomes are committed, show them as ended RQ jobs and publish the outcomes.

        `problems` says what was wrong with failed requests, by request id; `pace_us` is the time each request took.
        Returns which keys somebody has overwritten, each with what Redis says of it; all others are as they should be.
        """
        settings = self._settings
        now = datetime.now(UTC)
        arguments: list[Any] = [
            int(now.timestamp()),
            now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            self._worker,
            settings.finished_ttl_s,
            settings.failed_ttl_s,
            pace_us,
            keys.OUTCOMES_CHANNEL,
            keys.JOB_FUNCTION,
        ]
        for entry, outcome in finished:
            arguments += self._finish_arguments(entry, outcome, problems.get(outcome.request_id, ""))
        wrong: list[bytes] = self._run(scripts.FINISH, [], arguments)
        return [text.decode(errors="replace") for text in dict.fromkeys(wrong)]

    def _finish_arguments(self, entry: QueueEntry, outcome: Outcome, problem: str) -> list[Any]:
        return [
            entry.raw_id,
            outcome.request_id,
            entry.course_id,
            keys.shard_of(entry.course_id, self._settings.queue_shards),
            outcome.student_id or "",
            outcome.sequence or 0,
            outcome_document(outcome),
            _error_text(problem) if outcome.status is Status.FAILED else "",
        ]

    def queued_courses(self) -> list[str]:
        """Every course whose queue RQ shows; none, and one more of `wrong_keys`, where its list of them is overwritten."""
        found, wrong = shown_courses(self._client)
        self.wrong_keys += wrong
        return found

    def retire(self, course_ids: Sequence[str]) -> int:
        """Take the drained and forgotten ones of these queues out of RQ's set; returns how many."""
        return int(self._run(scripts.RETIRE, [keys.QUEUES], course_ids)) if course_ids else 0

    def _run(self, script: scripts.LuaScript, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        with metrics.REDIS_TIME.labels(script.name).time():
            try:
                return self._client.evalsha(script.digest, len(names), *names, *arguments)
            except ScriptMissing:
                return self._client.eval(script.source, len(names), *names, *arguments)


def _error_text(problem: str) -> bytes:
    """An error as RQ keeps it in a result."""
    return b64encode(zlib.compress((INTERNAL_ERROR_TEXT + problem).encode()))


PROBLEM_LENGTH_MAX = 500


def _readable(course_id: str, head: Sequence[Any], held: set[str]) -> Iterator[QueueEntry]:
    """A queue's entries up to the first one of another release, which adds the course to `held`."""
    for raw_id, data in zip(head[::2], head[1::2], strict=True):
        entry = read_entry(course_id, raw_id, data)
        if entry is None:
            held.add(course_id)
            return
        yield entry


class _ForeignEntryError(ValueError):
    """The entry names another request or course than the place it stands in."""


class _OtherReleaseError(ValueError):
    """The entry is a request in the next release's form, which this one does not read."""


def read_entry(course_id: str, raw_id: bytes, data: bytes | None) -> QueueEntry | None:
    """Read an element of a course's queue with its job's data. Never raises: what is no request of ours is Poisoned.

    None is a request of another release, which must be left where it is.
    """
    text_id = raw_id.decode(errors="replace")
    own_id = text_id if is_canonical_uuid(text_id) else _derived_id(course_id, raw_id)
    if data is None:
        return Poisoned(raw_id, own_id, course_id, "its payload is missing")
    try:
        return _read_submission(course_id, raw_id, data)
    except _OtherReleaseError:
        return None
    except _ForeignEntryError as error:
        return Poisoned(raw_id, _derived_id(course_id, raw_id), course_id, str(error))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        problem = f"its payload is not ours: {error!r}"
        return Poisoned(raw_id, own_id, course_id, problem[:PROBLEM_LENGTH_MAX])


def disowned(entry: QueueEntry) -> Poisoned:
    """The entry under an id of its own, once the ledger has shown that its id is another course's request."""
    own_id = _derived_id(entry.course_id, entry.raw_id)
    return Poisoned(entry.raw_id, own_id, entry.course_id, str(_ForeignEntryError.__doc__))


def _read_submission(course_id: str, raw_id: bytes, data: bytes) -> Submission:
    function, instance, positional, payload = json.loads(data)
    if function != keys.JOB_FUNCTION or instance is not None or positional:
        message = f"function {str(function)[:80]!r}"
        raise ValueError(message)
    version = _positive(payload["version"])
    if version == keys.JOB_VERSION + 1:
        raise _OtherReleaseError
    if version not in keys.JOB_VERSIONS_READ:
        message = f"version {version}, which is no release's beside this one"
        raise ValueError(message)
    request_id = _canonical_uuid(payload["request_id"])
    if request_id.encode() != raw_id or payload["course_id"] != course_id:
        raise _ForeignEntryError(_ForeignEntryError.__doc__)
    return Submission(
        raw_id,
        request_id,
        course_id,
        _canonical_uuid(payload["student_id"]),
        Operation(payload["operation"]),
        _canonical_uuid(payload["generation"]),
        _positive(payload["sequence"]),
        moment(_positive(payload["accepted_at_us"])),
    )


def is_canonical_uuid(value: Any) -> bool:
    """Whether this is the text of a UUID as PostgreSQL prints it."""
    return isinstance(value, str) and CANONICAL_UUID.fullmatch(value) is not None


def _canonical_uuid(value: Any) -> str:
    if not isinstance(value, str) or not is_canonical_uuid(value):
        message = f"not a UUID in canonical form: {str(value)[:80]!r}"
        raise ValueError(message)
    return value


def _positive(value: Any) -> int:
    if type(value) is not int or not 0 < value < COUNT_LIMIT:
        message = f"not a positive number: {str(value)[:80]!r}"
        raise ValueError(message)
    return value


def _derived_id(course_id: str, raw_id: bytes) -> str:
    """A ledger id for an entry that has none of its own, so that it can never take a real request's."""
    return str(uuid5(NAMESPACE_OID, f"{course_id} {raw_id!r}"))
