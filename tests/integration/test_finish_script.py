"""finish.lua: off the queue, by identity, and shown to RQ as ended, however often it is called."""

import json
import time
from uuid import uuid4

import pytest
import redis
from rq.exceptions import NoSuchJobError
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from shared.course_queue import keys
from shared.requests import Poisoned
from shared.rules import Status
from tests.integration.course_queue import PACE_US, WORKER, CourseQueueOnRedis


def finished_registry(queue: CourseQueueOnRedis) -> FinishedJobRegistry:
    """RQ's registry of what ended well."""
    return FinishedJobRegistry(
        keys.queue_name(queue.course_id), connection=queue.client, serializer=JSONSerializer
    )


def failed_registry(queue: CourseQueueOnRedis) -> FailedJobRegistry:
    """RQ's registry of what failed."""
    return FailedJobRegistry(
        keys.queue_name(queue.course_id), connection=queue.client, serializer=JSONSerializer
    )


def test_finished_requests_leave_the_queue_and_the_others_keep_their_order(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Rule A: what is finished goes, and nothing else."""
    request_ids = course_queue.accepted_from_new_students(5)
    course_queue.finish(course_queue.head(2))
    assert course_queue.waiting() == request_ids[2:]


def test_removal_is_by_identity_not_by_count(course_queue: CourseQueueOnRedis) -> None:
    """Rule A: finishing late what somebody else has already taken off takes nothing off in its place."""
    request_ids = course_queue.accepted_from_new_students(4)
    stale = course_queue.head(2)
    course_queue.finish(course_queue.head(2))
    course_queue.finish(stale)
    assert course_queue.waiting() == request_ids[2:]


def test_each_finished_entry_takes_one_occurrence_off(course_queue: CourseQueueOnRedis) -> None:
    """An id that stands twice has two entries, and each is finished by itself."""
    (request_id,) = course_queue.accepted_from_new_students(1)
    course_queue.client.rpush(keys.queue(course_queue.course_id), request_id)
    course_queue.finish(course_queue.head(1))
    assert course_queue.waiting() == [request_id]
    course_queue.finish(course_queue.head(1))
    assert course_queue.waiting() == []


def test_finishing_twice_changes_nothing_more(course_queue: CourseQueueOnRedis) -> None:
    """P4: redis-py may send it again, and so may the next owner."""
    course_queue.accepted_from_new_students(2)
    entries = course_queue.head(1)
    course_queue.finish(entries)
    course_queue.finish(entries)
    assert finished_registry(course_queue).get_job_ids() == [entries[0].request_id]
    assert len(course_queue.waiting()) == 1
    assert course_queue.is_ready()


def test_a_finished_request_is_a_finished_rq_job_with_its_outcome_as_result(
    course_queue: CourseQueueOnRedis,
) -> None:
    """The dashboard shows status, worker and result, for as long as the settings say."""
    request_id = course_queue.accepted()
    course_queue.finish(course_queue.head())
    job = course_queue.job(request_id)
    assert (job.get_status(), job.worker_name) == ("finished", WORKER)
    assert job.ended_at is not None
    shown = job.to_dict()["result"]
    assert json.loads(shown)["request_id"] == request_id
    assert json.loads(shown)["status"] == "APPLIED"
    assert 0 < course_queue.client.ttl(keys.job(request_id)) <= course_queue.settings.finished_ttl_s
    assert finished_registry(course_queue).get_job_ids() == [request_id]


def test_a_failed_request_is_a_failed_rq_job_whose_error_can_be_read(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Ops see it in the failed registry, with the reason in words."""
    request_id = course_queue.accepted()
    course_queue.finish(course_queue.head(), Status.FAILED, {request_id: "its course döes not exist"})
    job = course_queue.job(request_id)
    assert job.get_status() == "failed"
    result = job.latest_result()
    assert result is not None
    assert result.type is Result.Type.FAILED
    assert result.exc_string == "The request could not be applied: its course döes not exist"
    assert failed_registry(course_queue).get_job_ids() == [request_id]
    assert finished_registry(course_queue).get_job_ids() == []
    assert course_queue.client.ttl(keys.job(request_id)) > course_queue.settings.finished_ttl_s


def test_a_finished_request_whose_job_has_expired_is_not_brought_back(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Finishing late, after a long freeze, leaves no half job without an end."""
    request_id = course_queue.accepted()
    entries = course_queue.head()
    course_queue.client.delete(keys.job(request_id))
    course_queue.finish(entries)
    assert course_queue.waiting() == []
    with pytest.raises(NoSuchJobError):
        course_queue.job(request_id)
    assert finished_registry(course_queue).get_job_ids() == []


@pytest.mark.parametrize("place_taken", [False, True], ids=["no job", "something else in its place"])
def test_a_poisoned_entry_becomes_a_failed_rq_job_all_the_same(
    course_queue: CourseQueueOnRedis, *, place_taken: bool
) -> None:
    """P9: ops see what was there, even if no job was; the queue goes on."""
    course_queue.client.rpush(keys.queue(course_queue.course_id), b"\xff\x00not an id")
    (entry,) = course_queue.head()
    assert isinstance(entry, Poisoned)
    if place_taken:
        course_queue.client.set(keys.job(entry.request_id), "a string")
    course_queue.finish([entry], problems={entry.request_id: entry.problem})
    assert course_queue.waiting() == []
    job = course_queue.job(entry.request_id)
    assert (job.get_status(), job.func_name) == ("failed", "registration.apply")
    assert failed_registry(course_queue).get_job_ids() == [entry.request_id]
    assert job.latest_result().exc_string.endswith("its payload is missing")


def test_a_finished_request_no_longer_counts_as_waiting_for_its_student(
    course_queue: CourseQueueOnRedis,
) -> None:
    """What a student has waiting is exactly what is in the queues."""
    course_queue.accepted()
    course_queue.finish(course_queue.head())
    assert not course_queue.client.exists(keys.student(course_queue.student_id))


def test_a_course_stays_ready_until_its_queue_is_empty(course_queue: CourseQueueOnRedis) -> None:
    """A worker never loses sight of a course that has work."""
    course_queue.accepted_from_new_students(3)
    course_queue.finish(course_queue.head(2))
    assert course_queue.is_ready()
    course_queue.finish(course_queue.head())
    assert not course_queue.is_ready()
    course_queue.accepted()
    assert course_queue.is_ready()


def test_how_far_a_course_has_come_never_goes_back(course_queue: CourseQueueOnRedis) -> None:
    """`ahead` counts from the highest sequence taken off, whoever finishes late."""
    course_queue.accepted_from_new_students(3)
    early, late = course_queue.head(1), course_queue.head(3)[1:]
    course_queue.finish(late)
    course_queue.finish(early)
    counters = course_queue.client.hgetall(keys.course(course_queue.course_id))
    assert (int(counters[b"applied"]), int(counters[b"pace_us"])) == (3, PACE_US)
    _, _, sequence, _, ahead, pace = course_queue.accept()
    assert (sequence, ahead, pace) == (4, 0, PACE_US)


def test_the_outcomes_of_a_round_are_published_in_one_message_in_order(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Who waits in the API hears of it at once."""
    request_ids = course_queue.accepted_from_new_students(3)
    with course_queue.client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.OUTCOMES_CHANNEL)
        pubsub.get_message(timeout=5)
        course_queue.finish(course_queue.head())
        outcomes = json.loads(next_message(pubsub))
    assert [outcome["request_id"] for outcome in outcomes] == request_ids
    assert {outcome["status"] for outcome in outcomes} == {"APPLIED"}


def next_message(pubsub: redis.client.PubSub) -> bytes:
    """The next message, within five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=0.1)
        if message is not None:
            return bytes(message["data"])
    pytest.fail("nothing was published")


def test_one_round_finishes_several_courses(course_queue: CourseQueueOnRedis) -> None:
    """Each course has its own queue, registry and readiness."""
    other = CourseQueueOnRedis(course_queue.client, course_queue.settings)
    course_queue.accepted_from_new_students(2)
    other.accepted_from_new_students(1)
    course_queue.finish([*course_queue.head(), *other.head()])
    assert not course_queue.is_ready()
    assert not other.is_ready()
    assert len(finished_registry(course_queue).get_job_ids()) == 2
    assert len(finished_registry(other).get_job_ids()) == 1


def test_a_drained_and_forgotten_queue_is_retired_and_comes_back_with_the_next_request(
    course_queue: CourseQueueOnRedis,
) -> None:
    """retire.lua: RQ's set names only queues with something to show, and accepting adds the queue again."""
    name = keys.queue(course_queue.course_id)
    course_queue.accepted()
    assert course_queue.queues.retire([course_queue.course_id]) == 0
    course_queue.finish(course_queue.head())
    assert course_queue.queues.retire([course_queue.course_id]) == 0
    assert course_queue.client.sismember(keys.QUEUES, name)
    course_queue.client.delete(f"rq:finished:{keys.queue_name(course_queue.course_id)}")
    assert course_queue.queues.retire([course_queue.course_id, str(uuid4())]) == 1
    assert not course_queue.client.sismember(keys.QUEUES, name)
    course_queue.accepted()
    assert course_queue.queues.queued_courses() == [course_queue.course_id]


def test_a_queue_with_failed_requests_to_show_is_not_retired(course_queue: CourseQueueOnRedis) -> None:
    """Ops have a week to look at them."""
    course_queue.accepted()
    course_queue.finish(course_queue.head(), Status.FAILED)
    assert course_queue.queues.retire([course_queue.course_id]) == 0
