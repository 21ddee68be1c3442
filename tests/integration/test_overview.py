"""The dashboard's list of queues: true, and cheap enough for thousands of courses."""

from base64 import b64encode
from typing import Any
from uuid import uuid4

import pytest
import redis
from flask.testing import FlaskClient
from rq import Queue
from rq.serializers import JSONSerializer

from scripts.dashboard import DashboardSettings, create_app
from shared.course_queue.overview import QUEUES_PER_CALL, queue_overviews
from shared.rules import Status
from shared.settings import Settings
from tests.integration.course_queue import CourseQueueOnRedis

AUTH = {"Authorization": "Basic " + b64encode(b"ops:secret").decode()}


@pytest.fixture
def dashboard(settings: Settings, redis_client: redis.Redis) -> FlaskClient:
    """The dashboard on the test's Redis, asked without a network in between."""
    dashboard = DashboardSettings(redis_url=settings.redis_url, rq_dashboard_password="secret")
    return create_app(dashboard).test_client()


def listed(dashboard: FlaskClient) -> list[dict[str, Any]]:
    """What the overview shows, from top to bottom."""
    answer = dashboard.get("/0/data/queues.json", headers=AUTH)
    assert answer.status_code == 200
    queues: list[dict[str, Any]] = answer.get_json()["queues"]
    return queues


def reads(client: redis.Redis) -> int:
    """How often Redis has read from a connection: once per round trip, this one included."""
    return int(client.info("stats")["total_reads_processed"])


def test_a_queue_shows_its_course_and_rqs_own_counts(
    dashboard: FlaskClient, redis_client: redis.Redis, settings: Settings
) -> None:
    """Waiting, finished and failed, as RQ counts them, under the title of the course."""
    course = CourseQueueOnRedis(redis_client, settings)
    course.accepted_from_new_students(5)
    finished, failed = course.head(2)
    course.finish([finished])
    course.finish([failed], Status.FAILED)
    [row] = listed(dashboard)
    queue = Queue(f"course-{course.course_id}", connection=redis_client, serializer=JSONSerializer)
    assert row["name"] == f"TST1 001 · {queue.name}"
    assert row["count"] == queue.count == 3
    assert row["finished_job_registry_count"] == queue.finished_job_registry.count == 1
    assert row["failed_job_registry_count"] == queue.failed_job_registry.count == 1
    assert row["failed_url"] == f"/0/view/jobs/{queue.name}/failed/8/asc/1"


@pytest.mark.parametrize("status", [Status.APPLIED, Status.FAILED])
def test_a_drained_queue_still_shows_its_course(
    redis_client: redis.Redis, settings: Settings, status: Status
) -> None:
    """The title comes from any request that is left, waiting or not."""
    course = CourseQueueOnRedis(redis_client, settings)
    course.accepted()
    course.finish(course.head(), status)
    [overview] = queue_overviews(redis_client)
    assert (overview.queued, overview.title) == (0, "TST1 001")


def test_what_needs_somebody_comes_first(
    dashboard: FlaskClient, redis_client: redis.Redis, settings: Settings
) -> None:
    """Failed requests before long queues, long queues before short ones."""
    short, failing, long = (CourseQueueOnRedis(redis_client, settings) for _ in range(3))
    for course, count in ((short, 1), (failing, 1), (long, 2)):
        course.accepted_from_new_students(count)
    failing.finish(failing.head(), Status.FAILED)
    in_order = [row["name"].rpartition("course-")[2] for row in listed(dashboard)]
    assert in_order == [failing.course_id, long.course_id, short.course_id]


def test_foreign_and_broken_queues_are_shown_as_far_as_they_can_be(
    dashboard: FlaskClient, redis_client: redis.Redis
) -> None:
    """Neither somebody else's RQ queue nor rubbish in a queue's place stops the list."""
    Queue("mail", connection=redis_client, serializer=JSONSerializer).enqueue("smtplib.SMTP")
    redis_client.sadd("rq:queues", "rq:queue:rubbish")
    redis_client.set("rq:queue:rubbish", "no list")
    redis_client.set("rq:finished:rubbish", "no set")
    assert {row["name"]: row["count"] for row in listed(dashboard)} == {"mail": 1, "rubbish": 0}


@pytest.mark.parametrize("courses", [QUEUES_PER_CALL, 2_000])
def test_the_overview_takes_a_few_round_trips_however_many_queues(
    dashboard: FlaskClient, redis_client: redis.Redis, settings: Settings, courses: int
) -> None:
    """One for the names and one per hundred queues, where RQ dashboard sends seven per queue; 2,000 is a whole term."""
    redis_client.sadd("rq:queues", *(f"rq:queue:course-{uuid4()}" for _ in range(courses)))
    listed(dashboard)
    before = reads(redis_client)
    assert len(listed(dashboard)) == courses
    own = 1
    assert reads(redis_client) - before - own == 1 + courses // QUEUES_PER_CALL


def test_texts_from_outside_cannot_become_html(
    dashboard: FlaskClient, redis_client: redis.Redis, settings: Settings
) -> None:
    """A course title or a broken job is shown as it is, and runs nothing in an operator's browser."""
    course = CourseQueueOnRedis(redis_client, settings)
    request_id = course.accepted(course_title="<img src=x onerror=alert(1)>")
    course.finish(course.head(), Status.FAILED, {request_id: "<script>alert(2)</script>"})
    for path in ("/0/data/queues.json", f"/0/data/job/{request_id}.json"):
        text = dashboard.get(path, headers=AUTH).get_data(as_text=True)
        assert "&lt;" in text
        assert "<" not in text.replace("&lt;", "")


def test_a_worker_of_many_queues_names_only_a_few(dashboard: FlaskClient, redis_client: redis.Redis) -> None:
    """Its row stays readable with thousands of courses."""
    names = ",".join(f"course-{number}" for number in range(1_000))
    redis_client.sadd("rq:workers", "rq:worker:host.1")
    redis_client.hset("rq:worker:host.1", mapping={"birth": "2026-09-01T08:00:00Z", "queues": names})
    [worker] = dashboard.get("/0/data/workers.json", headers=AUTH).get_json()["workers"]
    assert worker["queues"] == ["course-0", "course-1", "course-2", "and 997 more"]
