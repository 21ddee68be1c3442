"""peek.lua and look_up.lua: reading only, and never kept from the good by the bad."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import pytest
import redis.asyncio

from shared.course_queue import keys
from shared.course_queue.connection import async_client
from shared.course_queue.lookups import Found, look_up, waiting_of
from shared.course_queue.pausing import pause, resume
from shared.requests import Poisoned, Submission
from shared.rules import Operation, Status
from shared.settings import Settings
from tests.integration.course_queue import CourseQueueOnRedis, outcome_of

Answer = TypeVar("Answer")


def ask(settings: Settings, question: Callable[[redis.asyncio.Redis], Awaitable[Answer]]) -> Answer:
    """Ask Redis as the API does."""

    async def run() -> Answer:
        async with async_client(settings) as client:
            return await question(client)

    return asyncio.run(run())


def found(queue: CourseQueueOnRedis, request_id: str) -> Found | None:
    """The request as the API finds it."""
    return ask(queue.settings, lambda client: look_up(client, request_id))


def test_a_peek_takes_nothing_off(course_queue: CourseQueueOnRedis) -> None:
    """Rule A: reading is not removing."""
    course_queue.accepted_from_new_students(3)
    before = course_queue.everything()
    course_queue.head()
    assert course_queue.everything() == before


def test_a_peek_returns_each_courses_head_in_order(course_queue: CourseQueueOnRedis) -> None:
    """Rule B needs contiguous prefixes."""
    other = CourseQueueOnRedis(course_queue.client, course_queue.settings)
    mine, theirs = course_queue.accepted_from_new_students(5), other.accepted_from_new_students(2)
    entries = course_queue.queues.peek([course_queue.course_id, str(uuid4()), other.course_id], 5)
    assert [entry.request_id for entry in entries] == [*mine[:3], *theirs]
    assert [entry.course_id for entry in entries] == [course_queue.course_id] * 3 + [other.course_id] * 2


@pytest.mark.parametrize(
    ("waiting", "limit", "taken"),
    [
        ([9], 4, [4]),
        ([9, 9, 9], 9, [3, 3, 3]),
        ([9, 1, 9], 9, [4, 1, 4]),
        ([1, 9, 0, 2], 9, [1, 6, 0, 2]),
        ([9, 9, 9], 3, [1, 1, 1]),
        ([1, 1, 1], 9, [1, 1, 1]),
    ],
)
def test_a_round_is_shared_equally_and_what_one_does_not_need_the_others_have(
    waiting: list[int], limit: int, taken: list[int], course_queue: CourseQueueOnRedis
) -> None:
    """A hot course leaves every other its turn, and has all places that nobody else can use."""
    queues = [CourseQueueOnRedis(course_queue.client, course_queue.settings) for _ in waiting]
    for queue, count in zip(queues, waiting, strict=True):
        queue.accepted_from_new_students(count)
    entries = course_queue.queues.peek([queue.course_id for queue in queues], limit)
    found = Counter(entry.course_id for entry in entries)
    assert [found[queue.course_id] for queue in queues] == taken


def test_a_job_that_is_gone_or_no_job_is_poisoned_and_keeps_nobody_else_from_being_read(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P9: one bad key does not stop the round, whatever type it has."""
    first, gone, wrong, listed, last = course_queue.accepted_from_new_students(5)
    client = course_queue.client
    client.delete(*map(keys.job, (gone, wrong, listed)))
    client.set(keys.job(wrong), "a string")
    client.rpush(keys.job(listed), "a list")
    entries = course_queue.head()
    assert [entry.request_id for entry in entries] == [first, gone, wrong, listed, last]
    assert [type(entry) for entry in entries] == [Submission, Poisoned, Poisoned, Poisoned, Submission]


def test_ready_courses_are_those_with_work_in_the_shards_asked_for(course_queue: CourseQueueOnRedis) -> None:
    """Another worker's shards are not ours to look at, and what is no course id is no course."""
    course_queue.accepted()
    course_queue.client.sadd(keys.ready(course_queue.shard), b"\xff", "not-a-course")
    elsewhere = (course_queue.shard + 1) % course_queue.settings.queue_shards
    assert course_queue.queues.ready_courses([course_queue.shard, elsewhere]) == [course_queue.course_id]
    assert course_queue.queues.ready_courses([elsewhere]) == []


def test_a_waiting_request_is_found_with_its_place(course_queue: CourseQueueOnRedis) -> None:
    """P7: pollable from the moment it is accepted, and its place moves up as others finish."""
    course_queue.accepted_from_new_students(2)
    request_id = course_queue.accepted(Operation.DROP)
    place = found(course_queue, request_id)
    assert place is not None
    assert (place.student_id, place.final) == (course_queue.student_id, False)
    assert (place.document["status"], place.document["operation"]) == (Status.QUEUED, "DROP")
    assert (place.document["sequence"], place.document["ahead"]) == (3, 2)
    course_queue.finish(course_queue.head(1))
    moved = found(course_queue, request_id)
    assert moved is not None
    assert moved.document["ahead"] == 1
    assert moved.document["accepted_at"] == place.document["accepted_at"]


def test_a_finished_request_is_found_with_its_outcome(course_queue: CourseQueueOnRedis) -> None:
    """P7: the document is the published one, to the letter."""
    request_id = course_queue.accepted()
    (entry,) = course_queue.head()
    course_queue.finish([entry])
    answer = found(course_queue, request_id)
    assert answer is not None
    assert answer.final
    assert answer.student_id == course_queue.student_id
    assert answer.document["status"] == outcome_of(entry).status
    assert answer.document["request_id"] == request_id


def test_an_unknown_request_is_not_found(course_queue: CourseQueueOnRedis) -> None:
    """The ledger is asked next."""
    assert found(course_queue, str(uuid4())) is None


def test_a_job_that_is_no_request_is_not_found(course_queue: CourseQueueOnRedis) -> None:
    """Whatever stands there, the API does not fail over it."""
    request_id = str(uuid4())
    payload = (
        '"student_id":"s","request_id":"r","course_id":"c","operation":"DROP","sequence":1,"accepted_at_us":'
    )
    for data in (
        b"\x80pickle",
        b"[]",
        b"{}",
        b'[1,2,3,"x"]',
        b"[" * 10_000,
        f'["f",null,[],{{{payload}1e300}}]',
        f'["f",null,[],{{{payload}{10**30}}}]',
        f'["f",null,[],{{{payload}NaN}}]',
    ):
        course_queue.client.hset(keys.job(request_id), "data", data)
        assert found(course_queue, request_id) is None


def test_what_a_student_has_waiting_is_found_in_every_course(course_queue: CourseQueueOnRedis) -> None:
    """The list of own requests shows what the ledger does not have yet."""
    expected = {course_queue.accepted(), course_queue.accepted(course_id=str(uuid4()))}
    course_queue.accepted(student_id=str(uuid4()))
    entries = ask(course_queue.settings, lambda client: waiting_of(client, course_queue.student_id))
    assert {entry.document["request_id"] for entry in entries} == expected


def test_what_stands_in_a_queues_place_and_is_no_list_stops_no_other_course(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P9: a broken key of one course is that course's trouble alone."""
    request_id, broken = course_queue.accepted(), str(uuid4())
    course_queue.client.set(keys.queue(broken), "no list")
    entries = course_queue.queues.peek([broken, course_queue.course_id], 10)
    assert [entry.request_id for entry in entries] == [request_id]
    [problem] = course_queue.queues.wrong_keys
    assert problem.startswith(f"{keys.queue(broken)}: WRONGTYPE")


def test_a_course_is_read_up_to_the_first_request_of_another_release(
    course_queue: CourseQueueOnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands behind it waits as well, for order is the promise; other courses are read as ever."""
    other = CourseQueueOnRedis(course_queue.client, course_queue.settings)
    readable = course_queue.accepted_from_new_students(2)
    monkeypatch.setattr(keys, "JOB_VERSION", keys.JOB_VERSION + 1)
    newer = course_queue.accepted_from_new_students(1)
    monkeypatch.undo()
    behind = course_queue.accepted_from_new_students(1)
    [elsewhere] = other.accepted_from_new_students(1)
    entries = course_queue.queues.peek([course_queue.course_id, other.course_id], 10)
    assert [entry.request_id for entry in entries] == [*readable, elsewhere]
    assert course_queue.queues.held == {course_queue.course_id}
    assert course_queue.waiting() == [*readable, *newer, *behind]


def test_while_the_workers_are_paused_no_course_is_ready(course_queue: CourseQueueOnRedis) -> None:
    """Nothing is taken out of the set meanwhile: afterwards the same courses are ready."""
    course_queue.accepted()
    assert pause(course_queue.client)
    assert not pause(course_queue.client)
    assert course_queue.queues.ready_courses([course_queue.shard]) == []
    assert course_queue.queues.paused
    assert course_queue.queues.ready_courses([]) == []
    assert resume(course_queue.client)
    assert not resume(course_queue.client)
    assert course_queue.queues.ready_courses([course_queue.shard]) == [course_queue.course_id]
    assert not course_queue.queues.paused
