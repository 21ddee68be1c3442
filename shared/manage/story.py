"""One request's whole story, put together from the ledger and from what Redis remembers; it only reads."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row

from shared.course_queue import keys
from shared.course_queue.connection import RedisFailure
from shared.course_queue.inspection import JobOnRecord, job_on_record
from shared.course_queue.pausing import paused_since
from shared.database import snapshot
from shared.errors import DatabaseUnavailableError
from shared.manage.parts import Parts, postgresql_problem, redis_problem
from shared.rules import WINDOW_REASONS, Decision, Roster, Status, Window
from shared.store import inspection, ledger
from shared.store.ownership import shard_owners

LATER_SHOWN_MAX = 20


@dataclass(slots=True)
class Counts:
    """A course just before it came to a request: what the request was decided by."""

    enrolled: int
    max_capacity: int
    reserved: int
    reserve_limit: int


@dataclass(slots=True)
class Story:
    """What is known; None where nothing is. `problems` names the parts that did not answer."""

    request_id: str
    record: JobOnRecord | None = None
    shards: int | None = None
    decided: Row[Any] | None = None
    course: Row[Any] | None = None
    student_number: str | None = None
    counts: Counts | None = None
    later: list[Row[Any]] = field(default_factory=list)
    place_now: Row[Any] | None = None
    owner: str | None = None
    paused_since: str | None = None
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether there is such a request."""
        return self.record is not None or self.decided is not None

    @property
    def window_moved(self) -> bool:
        """Whether the semester's window, as it is now, contradicts the outcome: then it was judged by another one."""
        row, course = self.decided, self.course
        if row is None or course is None or row.accepted_at is None or row.status == Status.FAILED:
            return False
        window = Window(course.registration_start, course.registration_end)
        return window.refusal(row.accepted_at) != (row.reason if row.reason in WINDOW_REASONS else None)


def tell_story(parts: Parts, request_id: str) -> Story:
    """Collect what each part knows of the request. Never raises for a part that does not answer.

    Redis comes first: a request leaves it only after its ledger row is committed, so that it is not missed by both.
    """
    story = Story(request_id)
    try:
        story.record = job_on_record(parts.redis, request_id)
        story.shards = parts.shards()
        story.paused_since = paused_since(parts.redis)
    except RedisFailure as error:
        story.problems["Redis"] = redis_problem(error)
    try:
        with snapshot(parts.engine) as connection:
            _ask_ledger(connection, story)
    except DatabaseUnavailableError as error:
        story.problems["PostgreSQL"] = postgresql_problem(error)
    return story


def _ask_ledger(connection: Connection, story: Story) -> None:
    story.decided = row = inspection.decided_request(connection, story.request_id)
    course_id, student_id = _whose(story)
    if course_id is None:
        return
    story.course = next(iter(inspection.courses_named(connection, course_id, None)), None)
    if story.shards is not None:
        owners = shard_owners(connection)
        story.owner, _ = owners.get(keys.shard_of(course_id, story.shards), (None, None))
    if row is not None and story.course is not None:
        story.counts = _counts_before(connection, story.course, row.applied_index)
    if student_id is None:
        return
    story.student_number = inspection.student_number(connection, student_id)
    story.place_now = inspection.place(connection, course_id, student_id)
    if row is not None:
        story.later = inspection.later_of_student(
            connection, course_id, student_id, row.applied_index, LATER_SHOWN_MAX
        )


def _whose(story: Story) -> tuple[str | None, str | None]:
    """(course id, student id), from the ledger or else from the job."""
    if story.decided is not None:
        return story.decided.course_id, story.decided.student_id
    payload = story.record.payload if story.record is not None else {}
    return payload.get("course_id"), payload.get("student_id")


def _counts_before(connection: Connection, course: Row[Any], index: int) -> Counts | None:
    """Replay what was recorded before that index; None when it contradicts itself, which is for the audit to tell."""
    roster = Roster(course.max_capacity, course.reserve_limit)
    for row in ledger.entries(connection, course.id):
        if row.applied_index >= index:
            break
        if row.student_id is not None:
            decision = Decision(
                row.status, row.result, row.reason, row.reserve_position, row.promoted_student_id
            )
            try:
                roster.apply(row.student_id, decision)
            except ValueError:
                return None
    return Counts(roster.enrolled_count, course.max_capacity, len(roster.reserve), course.reserve_limit)
