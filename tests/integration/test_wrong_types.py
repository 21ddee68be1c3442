"""Keys that somebody overwrote with something of another type: each is its own trouble, and nobody else's."""

import asyncio
import json
from uuid import uuid4

import pytest
import redis

from shared.course_queue import keys
from shared.course_queue.connection import async_client
from shared.course_queue.inspection import ready_queues
from shared.course_queue.lookups import Found, look_up
from shared.course_queue.rebuilding import Rebuilt, rebuild_course, waiting_jobs
from shared.course_queue.rounds import CourseQueues
from shared.requests import Poisoned
from shared.settings import SHARDS_MAX
from tests.integration.course_queue import CourseQueueOnRedis, outcome_of
from tests.integration.test_finish_script import finished_registry, next_message

ACCEPT_READS = ("student", "course", "ready", "queue", "queues", "generation", "kept")
FINISH_WRITES = ("student", "course", "ready", "queue", "finished", "failed")


def key_of(queue: CourseQueueOnRedis, what: str) -> str:
    """The key of this queue that is called so here."""
    name = keys.queue_name(queue.course_id)
    return {
        "student": keys.student(queue.student_id),
        "course": keys.course(queue.course_id),
        "ready": keys.ready(queue.shard),
        "queue": keys.queue(queue.course_id),
        "queues": keys.QUEUES,
        "generation": keys.GENERATION,
        "kept": keys.idempotency(queue.student_id, "k"),
        "finished": f"rq:finished:{name}",
        "failed": f"rq:failed:{name}",
    }[what]


def overwrite(queue: CourseQueueOnRedis, what: str) -> str:
    """Put a stream there, which nobody expects; returns the key."""
    key = key_of(queue, what)
    queue.client.delete(key)
    queue.client.xadd(key, {"put": "by hand"})
    return key


@pytest.mark.parametrize("what", ACCEPT_READS)
def test_an_accept_that_meets_a_wrong_type_writes_nothing_and_asked_again_is_one_request(
    course_queue: CourseQueueOnRedis, what: str
) -> None:
    """P4: 503 after the push would have the client ask again, and be accepted twice."""
    course_queue.accepted_from_new_students(1)
    key = overwrite(course_queue, what)
    before = course_queue.everything()
    code, message = course_queue.accept(idempotency_key="k")
    assert (code, message.partition("WRONGTYPE")[0]) == ("error", f"{key}: ")
    assert course_queue.everything() == before
    course_queue.client.delete(key)
    request_id = course_queue.accepted(idempotency_key="k")
    assert course_queue.waiting()[-1:] == [request_id]
    assert course_queue.waiting().count(request_id) == 1


@pytest.mark.parametrize("sequence", ["many", "-1", "9" * 30])
def test_an_accept_that_meets_a_sequence_that_is_none_writes_nothing(
    course_queue: CourseQueueOnRedis, sequence: str
) -> None:
    """Rule C: without a sequence there is no place. Nor does it begin a new life of the data."""
    course_queue.accepted_from_new_students(1)
    course_queue.client.hset(keys.course(course_queue.course_id), "sequence", sequence)
    course_queue.client.delete(keys.GENERATION)
    before = course_queue.everything()
    assert course_queue.accept() == [
        "error",
        f"{keys.course(course_queue.course_id)}: its sequence is no number",
    ]
    assert course_queue.everything() == before


def test_counters_that_are_no_numbers_cost_the_estimate_and_nothing_else(
    course_queue: CourseQueueOnRedis,
) -> None:
    """What is only for information keeps nobody from being accepted and finished."""
    counters = keys.course(course_queue.course_id)
    course_queue.client.hset(counters, mapping={"applied": "many", "pace_us": "slow"})
    code, request_id, sequence, _, ahead, pace = course_queue.accept()
    assert (code, sequence, ahead, pace) == ("accepted", 1, 0, 0)
    assert course_queue.accept(limits={"queue_limit": 1}, student_id=str(uuid4()))[0] == "queue_full"
    assert course_queue.finish(course_queue.head()) == []
    assert course_queue.job(request_id).get_status() == "finished"
    assert course_queue.client.hget(counters, "applied") == b"1"


@pytest.mark.parametrize("what", FINISH_WRITES)
def test_a_wrong_type_keeps_nothing_else_of_the_round_from_being_finished_and_published(
    course_queue: CourseQueueOnRedis, what: str
) -> None:
    """P7, P9: every outcome of the round is told, every other key is written, and the answer names the wrong one."""
    other = CourseQueueOnRedis(course_queue.client, course_queue.settings)
    request_ids = [course_queue.accepted(), *other.accepted_from_new_students(2)]
    course_queue.client.rpush(keys.queue(course_queue.course_id), "no request")
    entries = [*course_queue.head(), *other.head()]
    [poisoned] = [entry for entry in entries if isinstance(entry, Poisoned)]
    key = overwrite(course_queue, what)
    with course_queue.client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(keys.OUTCOMES_CHANNEL)
        pubsub.get_message(timeout=5)
        problems = course_queue.finish(entries, problems={poisoned.request_id: poisoned.problem})
        outcomes = json.loads(next_message(pubsub))
    assert [outcome["request_id"] for outcome in outcomes] == [entry.request_id for entry in entries]
    assert problems
    assert all(problem.startswith(f"{key}: WRONGTYPE") for problem in problems)
    for request_id in request_ids:
        assert course_queue.job(request_id).get_status() == "finished"
        assert course_queue.client.ttl(keys.job(request_id)) > 0
    assert course_queue.job(poisoned.request_id).get_status() == "failed"
    assert course_queue.client.xlen(key) == 1
    course_queue.client.delete(key)
    assert course_queue.waiting() == other.waiting() == []
    assert not other.is_ready()
    assert set(finished_registry(other).get_job_ids()) == set(request_ids[1:])
    assert course_queue.client.hget(keys.course(other.course_id), "applied") == b"2"


def test_a_ready_set_of_the_wrong_type_hides_the_courses_of_its_own_shard_only(
    course_queue: CourseQueueOnRedis,
) -> None:
    """A worker goes on with all others."""
    shards = course_queue.settings.queue_shards
    course_queue.accepted()
    broken = (course_queue.shard + 1) % shards
    course_queue.client.set(keys.ready(broken), "no set")
    assert course_queue.queues.ready_courses(list(range(shards))) == [course_queue.course_id]
    [problem] = course_queue.queues.wrong_keys
    assert problem.startswith(f"{keys.ready(broken)}: WRONGTYPE")
    course_queue.client.delete(keys.ready(broken))
    course_queue.queues.ready_courses(list(range(shards)))
    assert course_queue.queues.wrong_keys == []


def test_an_operator_sees_the_other_queues_and_which_key_may_hide_some(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Nothing waits is said only of what can be counted."""
    other = CourseQueueOnRedis(course_queue.client, course_queue.settings)
    other.accepted()
    course_queue.accepted()
    hiding = [overwrite(course_queue, "queue")]
    course_queue.client.set(shard_key := keys.ready(SHARDS_MAX - 1), "no set")
    queues, wrong = ready_queues(course_queue.client)
    assert [queue.course_id for queue in queues] == [other.course_id]
    assert [problem.partition(": WRONGTYPE")[0] for problem in wrong] == [shard_key, *hiding]


def rebuilt(queue: CourseQueueOnRedis, decided: int = 0) -> Rebuilt:
    """Rebuild the queue as an operator does, with that as the highest sequence in the ledger."""
    jobs = waiting_jobs(queue.client, queue.course_id)
    return rebuild_course(queue.client, queue.course_id, queue.settings.queue_shards, jobs, decided)


def lose(queue: CourseQueueOnRedis, what: str, how: str) -> None:
    """Overwrite or delete one of the queue's keys."""
    overwrite(queue, what)
    if how == "deleted":
        queue.client.delete(key_of(queue, what))


@pytest.mark.parametrize("how", ["overwritten", "deleted"])
@pytest.mark.parametrize("what", ["queue", "course", "ready"])
def test_a_course_is_rebuilt_as_it_was(course_queue: CourseQueueOnRedis, what: str, how: str) -> None:
    """P2, P3: those who wait, and no others, in their order; the next one comes after all that were ever accepted."""
    request_ids = course_queue.accepted_from_new_students(12)
    course_queue.finish(course_queue.head(2))
    CourseQueueOnRedis(course_queue.client, course_queue.settings).accepted_from_new_students(2)
    lose(course_queue, what, how)
    done = rebuilt(course_queue, decided=2)
    assert done == Rebuilt(10 if what == "queue" else 0, what == "course", what == "ready")
    assert course_queue.waiting() == request_ids[2:]
    assert course_queue.is_ready()
    assert course_queue.accept()[2] == 13
    assert rebuilt(course_queue) == Rebuilt(0, counters_mended=False, ready_mended=False)


def test_a_sequence_that_only_the_ledger_knows_is_not_given_again(course_queue: CourseQueueOnRedis) -> None:
    """The ledger would refuse it."""
    overwrite(course_queue, "course")
    assert rebuilt(course_queue, decided=41).counters_mended
    assert course_queue.accept()[2] == 42


def test_a_ready_set_is_rebuilt_for_all_courses_of_its_shard(course_queue: CourseQueueOnRedis) -> None:
    """One command mends it, for whichever of them it is given."""
    course_ids = [str(uuid4()) for _ in range(100)]
    shards = course_queue.settings.queue_shards
    new_ids = iter(lambda: str(uuid4()), "")
    course_ids.append(next(new for new in new_ids if keys.shard_of(new, shards) == course_queue.shard))
    others = [CourseQueueOnRedis(course_queue.client, course_queue.settings, one) for one in course_ids]
    for queue in (course_queue, *others):
        queue.accepted()
    mates = {queue.course_id for queue in (course_queue, *others) if queue.shard == course_queue.shard}
    overwrite(course_queue, "ready")
    assert rebuilt(course_queue).ready_mended
    members = course_queue.client.smembers(keys.ready(course_queue.shard))
    assert {member.decode() for member in members} == mates
    assert len(mates) > 1


def test_what_was_accepted_after_a_queue_was_deleted_stays_behind_what_is_put_back(
    course_queue: CourseQueueOnRedis,
) -> None:
    """Also what was accepted after the jobs were read, and what is no request."""
    request_ids = course_queue.accepted_from_new_students(3)
    lose(course_queue, "queue", "deleted")
    request_ids += course_queue.accepted_from_new_students(2)
    jobs = waiting_jobs(course_queue.client, course_queue.course_id)
    course_queue.client.rpush(keys.queue(course_queue.course_id), "no request")
    late = course_queue.accepted_from_new_students(1)
    shards = course_queue.settings.queue_shards
    done = rebuild_course(course_queue.client, course_queue.course_id, shards, jobs, 0)
    assert done.put_back == 3
    assert course_queue.waiting() == [*request_ids, "no request", *late]


def test_what_ended_after_the_jobs_were_read_is_not_put_back(course_queue: CourseQueueOnRedis) -> None:
    """P4: nor is an overwritten queue with nobody left behind."""
    course_queue.accepted_from_new_students(2)
    jobs = waiting_jobs(course_queue.client, course_queue.course_id)
    course_queue.finish(course_queue.head())
    overwrite(course_queue, "queue")
    shards = course_queue.settings.queue_shards
    assert rebuild_course(course_queue.client, course_queue.course_id, shards, jobs, 2).put_back == 0
    assert not course_queue.client.exists(key_of(course_queue, "queue"))


def test_a_command_that_redis_refuses_for_another_reason_is_not_taken_for_an_overwritten_key(
    course_queue: CourseQueueOnRedis,
) -> None:
    """The heads would never leave the queue while everybody is told that they have ended: the worker has to try again."""
    client, user = course_queue.client, f"finisher-{uuid4().hex}"
    course_queue.accepted()
    entries = course_queue.head()
    client.acl_setuser(
        user, enabled=True, passwords=["+secret"], keys="*", channels="*", commands=["+@all", "-lrem"]
    )
    pool = client.connection_pool.connection_kwargs | {"username": user, "password": "secret"}
    try:
        with redis.Redis(connection_pool=redis.ConnectionPool(**pool)) as restricted:
            queues = CourseQueues(restricted, course_queue.settings, "restricted")
            outcomes = [(entry, outcome_of(entry)) for entry in entries]
            with pytest.raises(redis.exceptions.ResponseError, match="permissions"):
                queues.finish(outcomes, {}, 1)
    finally:
        client.acl_deluser(user)
    assert course_queue.finish(entries) == []
    assert course_queue.waiting() == []


def test_a_request_is_shown_although_its_courses_counters_are_overwritten(
    course_queue: CourseQueueOnRedis,
) -> None:
    """P7: only how many are ahead of it is not known."""
    course_queue.accepted_from_new_students(1)
    request_id = course_queue.accepted()
    overwrite(course_queue, "course")

    async def shown() -> Found | None:
        async with async_client(course_queue.settings) as client:
            return await look_up(client, request_id)

    found = asyncio.run(shown())
    assert found is not None
    assert (found.document["status"], found.document["sequence"]) == ("QUEUED", 2)
