"""accept.lua: one atomic step from nothing to a durable place in the order, and safe to repeat."""

import time
from datetime import datetime
from uuid import UUID, uuid4

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from shared.course_queue import keys
from shared.requests import Submission, moment
from shared.rules import Operation
from tests.integration.course_queue import CourseQueueOnRedis

DROP = Operation.DROP
WAKE_LIMIT_S = 5.0


def test_an_accepted_request_is_at_once_in_its_queue_and_read_back_as_it_was_asked(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P2: what was asked is what a worker will find, with its sequence and Redis' own time."""
    code, request_id, sequence, accepted_at, ahead, pace = course_queue.accept()
    assert (code, sequence, ahead, pace) == ("accepted", 1, 0, 0)
    (entry,) = course_queue.head()
    assert isinstance(entry, Submission)
    assert (entry.request_id, entry.course_id, entry.student_id) == (
        request_id,
        course_queue.course_id,
        course_queue.student_id,
    )
    assert (entry.operation, entry.sequence) == (Operation.REGISTER, 1)
    assert entry.accepted_at == moment(int(accepted_at))
    seconds, _ = course_queue.client.time()
    assert abs(entry.accepted_at.timestamp() - seconds) < 60


def test_a_waiting_request_is_an_ordinary_rq_job(course_queue: CourseQueueOnRedis) -> None:
    """`rq info` and the dashboard show it: queued, described, in its queue, and without pickle."""
    request_id = course_queue.accepted()
    job = course_queue.job(request_id)
    assert (job.get_status(), job.origin) == ("queued", keys.queue_name(course_queue.course_id))
    assert (job.func_name, job.args, job.instance) == ("registration.apply", [], None)
    assert job.kwargs["request_id"] == request_id
    assert job.description == "REGISTER TST1 001 #1"
    assert isinstance(job.created_at, datetime)
    assert isinstance(job.enqueued_at, datetime)
    assert course_queue.client.ttl(keys.job(request_id)) == -1
    queue = Queue(job.origin, connection=course_queue.client, serializer=JSONSerializer)
    assert queue.job_ids == [request_id]
    assert queue in Queue.all(connection=course_queue.client, serializer=JSONSerializer)


def test_sequences_count_from_one_without_gaps_in_the_order_of_the_queue(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Rule C: sequence and place are given in one step, refusals take none."""
    first = course_queue.accepted()
    course_queue.accept()
    course_queue.accept(limits={"queue_limit": 1}, student_id=str(uuid4()))
    rest = course_queue.accepted_from_new_students(4)
    entries = course_queue.head()
    assert [entry.request_id for entry in entries] == [first, *rest]
    assert [entry.sequence for entry in entries if isinstance(entry, Submission)] == [1, 2, 3, 4, 5]


def test_each_course_has_a_sequence_of_its_own(course_queue: CourseQueueOnRedis) -> None:
    """A busy course leaves no gaps in another."""
    course_queue.accepted()
    assert course_queue.accept(course_id=str(uuid4()))[2] == 1


def test_the_same_idempotency_key_is_the_same_request(course_queue: CourseQueueOnRedis) -> None:
    """P4: also after the request is finished and the student has nothing waiting."""
    request_id = course_queue.accepted(idempotency_key="k")
    assert course_queue.accept(idempotency_key="k") == ["repeated", request_id]
    course_queue.finish(course_queue.head())
    assert course_queue.accept(idempotency_key="k") == ["repeated", request_id]
    assert course_queue.waiting() == []


def test_an_idempotency_key_is_forgotten_after_its_time(course_queue: CourseQueueOnRedis) -> None:
    """It is kept as long as the settings say, no longer."""
    course_queue.accepted(idempotency_key="k")
    name = keys.idempotency(course_queue.student_id, "k")
    assert 0 < course_queue.client.ttl(name) <= course_queue.settings.idempotency_ttl_s


def test_the_same_key_for_another_request_is_a_conflict(course_queue: CourseQueueOnRedis) -> None:
    """Another operation or another course under a used key is refused, and nothing is written."""
    request_id = course_queue.accepted(idempotency_key="k")
    before = course_queue.everything()
    assert course_queue.accept(DROP, idempotency_key="k") == ["key_conflict", request_id]
    assert course_queue.accept(course_id=str(uuid4()), idempotency_key="k") == ["key_conflict", request_id]
    assert course_queue.everything() == before


def test_another_students_same_key_is_another_request(course_queue: CourseQueueOnRedis) -> None:
    """Keys are a student's own."""
    course_queue.accepted(idempotency_key="k")
    course_queue.accepted(idempotency_key="k", student_id=str(uuid4()))


def test_the_same_operation_while_it_still_waits_is_the_same_request(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Tabs, devices and impatient clicks do not multiply the load, and do not lose one's place."""
    request_id = course_queue.accepted()
    before = course_queue.everything()
    assert course_queue.accept() == ["repeated", request_id]
    assert course_queue.everything() == before


def test_a_new_key_on_a_repeated_operation_leads_to_the_waiting_request_too(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Each device brings its own key; both lead to the one request for good."""
    request_id = course_queue.accepted(idempotency_key="laptop")
    assert course_queue.accept(idempotency_key="phone") == ["repeated", request_id]
    course_queue.finish(course_queue.head())
    assert course_queue.accept(idempotency_key="phone") == ["repeated", request_id]


def test_register_drop_register_are_three_requests(course_queue: CourseQueueOnRedis) -> None:
    """Only the newest waiting operation can be repeated: after a drop, a register means a new one."""
    first = course_queue.accepted()
    second = course_queue.accepted(DROP)
    third = course_queue.accepted()
    assert course_queue.accept() == ["repeated", third]
    assert course_queue.waiting() == [first, second, third]


def test_after_it_is_finished_the_same_operation_is_a_new_request(course_queue: CourseQueueOnRedis) -> None:
    """A student who was refused may try again."""
    first = course_queue.accepted()
    course_queue.finish(course_queue.head())
    assert course_queue.accepted() != first


@pytest.mark.parametrize("breakage", ["payload gone", "payload foreign"])
def test_a_poisoned_request_does_not_keep_its_student_from_asking_again(
    course_queue: CourseQueueOnRedis, breakage: str
) -> None:
    """P9: once it has ended as FAILED, the same operation is a new request, not the failed one for ever."""
    first = course_queue.accepted()
    if breakage == "payload gone":
        course_queue.client.delete(keys.job(first))
    else:
        course_queue.client.hset(keys.job(first), "data", b"\x80\x04pickled")
    course_queue.finish(course_queue.head())
    assert course_queue.waiting() == []
    second = course_queue.accepted()
    assert course_queue.waiting() == [second]


def test_the_same_call_sent_again_after_a_lost_reply_is_not_accepted_twice(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P4: redis-py repeats a pipeline whose reply it did not get; the request id tells, waiting or finished."""
    request_id = str(uuid4())
    course_queue.accepted(request_id=request_id)
    assert course_queue.accept(request_id=request_id) == ["repeated", request_id]
    course_queue.finish(course_queue.head())
    before = course_queue.everything()
    assert course_queue.accept(request_id=request_id) == ["repeated", request_id]
    assert course_queue.everything() == before


def test_a_full_queue_refuses_without_writing_and_tells_how_long_it_is(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P8: what waits stays, what comes is refused at once, with what a Retry-After needs."""
    course_queue.accepted_from_new_students(2)
    entries = course_queue.head(1)
    course_queue.finish(entries)
    course_queue.accepted_from_new_students(1)
    before = course_queue.everything()
    reply = course_queue.accept(limits={"queue_limit": 2}, idempotency_key="k")
    assert reply == ["queue_full", "", 0, 0, 2, 250]
    assert course_queue.everything() == before


def test_a_repeat_is_answered_even_when_the_queue_is_full(course_queue: CourseQueueOnRedis) -> None:
    """P4 before P8: who is in the queue already is not turned away."""
    request_id = course_queue.accepted()
    assert course_queue.accept(limits={"queue_limit": 1}) == ["repeated", request_id]


def test_a_student_with_too_much_waiting_is_refused_without_writing(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P8: one student cannot fill the queues; when something is finished there is room again."""
    limits = {"student_waiting_limit": 2}
    course_queue.accept(limits=limits)
    course_queue.accept(course_id=str(uuid4()), limits=limits)
    before = course_queue.everything()
    reply = course_queue.accept(course_id=str(uuid4()), limits=limits, idempotency_key="k")
    assert reply == ["student_limit", ""]
    assert course_queue.everything() == before
    course_queue.finish(course_queue.head())
    assert course_queue.accept(limits=limits)[0] == "accepted"


def test_a_generation_is_made_once_and_is_in_every_request(course_queue: CourseQueueOnRedis) -> None:
    """It names one life of the Redis data: the same until they are wiped, another one afterwards."""
    course_queue.accepted_from_new_students(2)
    first, second = course_queue.head()
    assert isinstance(first, Submission)
    assert isinstance(second, Submission)
    assert first.generation == second.generation == str(UUID(first.generation))
    course_queue.client.flushdb()
    course_queue.accepted()
    (after,) = course_queue.head()
    assert isinstance(after, Submission)
    assert after.generation != first.generation
    assert after.sequence == 1


def heard(pubsub: redis.client.PubSub, client: redis.Redis) -> list[str]:
    """Every wake-up published before now: read up to a marker of our own."""
    marker = uuid4().hex
    client.publish("marker", marker)
    messages: list[str] = []
    deadline = time.monotonic() + WAKE_LIMIT_S
    while time.monotonic() < deadline:
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message and message["data"].decode() == marker:
            return messages
        if message:
            messages.append(message["data"].decode())
    pytest.fail("the marker was not heard")


def test_a_worker_is_woken_by_the_first_request_of_its_shard_only(course_queue: CourseQueueOnRedis) -> None:
    """A busy shard needs no hints; once drained, the next request is a first again."""
    neighbour = CourseQueueOnRedis(course_queue.client, course_queue.settings)
    neighbour.course_id = course_in_shard(course_queue.shard, course_queue.settings.queue_shards)
    with course_queue.client.pubsub() as pubsub:
        pubsub.subscribe("marker", keys.wake_channel(course_queue.shard))
        course_queue.accepted_from_new_students(3)
        assert heard(pubsub, course_queue.client) == [course_queue.course_id]
        neighbour.accepted()
        course_queue.accept(limits={"queue_limit": 1})
        course_queue.finish(course_queue.head(2))
        course_queue.accepted()
        course_queue.finish(course_queue.head())
        course_queue.accepted()
        assert heard(pubsub, course_queue.client) == []
        course_queue.finish(course_queue.head())
        neighbour.finish(neighbour.head())
        course_queue.accepted()
        assert heard(pubsub, course_queue.client) == [course_queue.course_id]


def course_in_shard(shard: int, shards: int) -> str:
    """The id of some course in that shard."""
    candidates = (str(uuid4()) for _ in range(100_000))
    return next(course for course in candidates if keys.shard_of(course, shards) == shard)


def test_a_redis_without_memory_accepts_nothing_and_still_finishes_what_it_has(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P8: at maxmemory an accept fails before its first write; finishing goes on, because it frees."""
    course_queue.accepted_from_new_students(3)
    entries = course_queue.head()
    limit = course_queue.client.config_get("maxmemory")["maxmemory"]
    course_queue.client.config_set("maxmemory", 1)
    try:
        before = course_queue.everything()
        code, message = course_queue.accept(idempotency_key="k")
        assert (code, message[:3]) == ("error", "OOM")
        assert course_queue.everything() == before
        course_queue.finish(entries)
        assert course_queue.waiting() == []
    finally:
        course_queue.client.config_set("maxmemory", limit)
    course_queue.accepted(idempotency_key="k")
