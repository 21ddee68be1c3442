"""What `rq info` and the RQ dashboard show, read through RQ's own API: it is true."""

import json
import os
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


@pytest.fixture
def redis(stack: Stack) -> Iterator[Redis]:
    """A client for RQ."""
    with stack.redis() as client:
        yield client


def rq_queue(redis: Redis, course_id: str) -> Queue:
    """RQ's view of a course's queue."""
    return Queue(f"course-{course_id}", connection=redis, serializer=JSONSerializer)


def listed(redis: Redis) -> dict[int, Worker]:
    """Process id -> worker, as RQ lists them."""
    return {worker.pid: worker for worker in Worker.all(connection=redis)}


def test_a_queue_shows_its_depth_and_order_while_no_worker_runs(
    stack: Stack, campus: Campus, course_id: str, redis: Redis
) -> None:
    """RQ lists the queue, and its jobs' order is the order of sequences."""
    stack.stop_workers()
    assert stack.workers.pid not in listed(redis)
    students = campus.students(12)
    answers = [student.register(course_id).json() for student in students]
    in_order = [one["request_id"] for one in sorted(answers, key=lambda one: one["sequence"])]
    queue = rq_queue(redis, course_id)
    assert queue.name in {each.name for each in Queue.all(connection=redis, serializer=JSONSerializer)}
    assert queue.count == 12
    assert queue.get_job_ids() == in_order
    jobs = queue.get_jobs()
    assert [job.get_status() for job in jobs] == ["queued"] * 12
    assert [job.kwargs["sequence"] for job in jobs] == list(range(1, 13))
    assert all("REGISTER" in job.description for job in jobs)
    stack.start_workers()
    wait_until(lambda: queue.count == 0, "the queue drains")
    assert all(student.outcome(student.register(course_id))["status"] for student in students[:1])


def test_finished_and_failed_requests_are_counted_truthfully(
    stack: Stack, campus: Campus, course_id: str, redis: Redis
) -> None:
    """Outcomes of every kind are finished jobs with their result; only what could not be applied is failed."""
    enrolled, refused = campus.students(2)
    finished = [
        enrolled.registered(course_id),
        enrolled.registered(course_id),
        refused.dropped(course_id),
    ]
    ghost = campus.student()
    stack.sql("DELETE FROM students WHERE id = %s", ghost.student_id)
    failed = ghost.registered(course_id)
    queue = rq_queue(redis, course_id)
    assert set(FinishedJobRegistry(queue=queue).get_job_ids()) == {one["request_id"] for one in finished}
    assert FailedJobRegistry(queue=queue).get_job_ids() == [failed["request_id"]]
    assert StartedJobRegistry(queue=queue).count == queue.count == 0
    job = Job.fetch(finished[1]["request_id"], connection=redis, serializer=JSONSerializer)
    assert job.get_status() == "finished"
    assert job.ended_at is not None
    assert json.loads(job.to_dict()["result"]) == finished[1]
    broken = Job.fetch(failed["request_id"], connection=redis, serializer=JSONSerializer)
    assert broken.get_status() == "failed"
    assert "student does not exist" in broken.latest_result().exc_string


def test_workers_show_their_queues_and_counts(
    stack: Stack, campus: Campus, course_id: str, redis: Redis
) -> None:
    """A live worker is listed with its process id, the queues it serves, and how many it has finished."""
    stack.stop_workers()
    stack.start_workers()
    [pid] = stack.worker_pids()

    def counts() -> tuple[int, int]:
        worker = listed(redis)[pid]
        return worker.successful_job_count, worker.failed_job_count

    students = campus.students(7)
    for student in students:
        student.registered(course_id)
    wait_until(lambda: counts() == (7, 0), "the new worker has finished 7")

    def serves() -> bool:
        return f"course-{course_id}" in listed(redis)[pid].queue_names()

    wait_until(serves, "the worker shows the course's queue")
    assert pid in {worker.pid for worker in Worker.all(queue=rq_queue(redis, course_id))}


def test_several_workers_share_all_queues(stack: Stack, campus: Campus, redis: Redis) -> None:
    """Two workers are listed, each with a half of the shards."""
    stack.stop_workers()
    stack.start_workers(2)
    assert sorted(stack.shards_owned_by().values()) == [32, 32]
    assert set(stack.shards_owned_by()) == set(stack.worker_pids())
    assert set(stack.worker_pids()) <= set(listed(redis))


def test_a_worker_that_ended_cleanly_is_gone_at_once(stack: Stack, redis: Redis) -> None:
    """SIGTERM takes the worker off the list before it ends."""
    pid = stack.workers.pid
    assert pid in listed(redis)
    assert stack.stop_workers() == 0
    assert pid not in listed(redis)


def test_a_killed_worker_disappears_within_its_heartbeat(stack: Stack, redis: Redis) -> None:
    """SIGKILL leaves no ghost for longer than about 10 seconds."""
    [pid] = stack.worker_pids()
    os.kill(pid, signal.SIGKILL)
    stack.workers.wait()
    assert pid in listed(redis)
    wait_until(lambda: pid not in listed(redis), "the killed worker disappears", 13)


def test_a_drained_and_forgotten_queue_leaves_the_dashboard(
    stack: Stack, campus: Campus, redis: Redis
) -> None:
    """With thousands of courses RQ's set of queues holds only those with something to show."""
    stack.stop_workers()
    stack.start_workers(FINISHED_TTL_S="1")
    student, course_id = campus.student(), campus.course()
    student.registered(course_id)
    name = f"course-{course_id}"
    assert redis.sismember("rq:queues", f"rq:queue:{name}")
    wait_until(lambda: not redis.sismember("rq:queues", f"rq:queue:{name}"), "the idle queue is retired")
    assert student.registered(course_id)["sequence"] == 2


def test_a_foreign_job_in_a_queue_shows_as_failed(
    stack: Stack, student: Student, course_id: str, redis: Redis
) -> None:
    """What somebody enqueued with RQ itself is never run, but shown as failed, and blocks nobody."""
    student.registered(course_id)
    foreign = rq_queue(redis, course_id).enqueue("os.system", "true", job_id=str(uuid4()))
    outcome = student.registered(course_id)
    assert outcome["reason"] == "already_registered"
    failed = FailedJobRegistry(queue=rq_queue(redis, course_id))
    wait_until(lambda: failed.get_job_ids() == [foreign.id], "the foreign job is failed")
    assert foreign.get_status() == "failed"
