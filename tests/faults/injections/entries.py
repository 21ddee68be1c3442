"""F8 and F13: entries delivered twice, and entries that are no requests of ours."""

import tempfile
from pathlib import Path
from uuid import uuid4

from redis import Redis

from tests.e2e.waiting import wait_until
from tests.faults.crew import shard_of
from tests.faults.injections.fault import Fault
from tests.faults.poison import POISONS, push, push_unknown_student
from tests.faults.scene import Scene

DUPLICATES_MAX = 10


def deliver_waiting_twice(scene: Scene) -> None:
    """Ids that wait are pushed once more, behind everything."""
    with scene.site.held(*scene.course_ids), scene.site.redis() as client:
        scene.let_pile_up(5)
        twice = 0
        for course_id in scene.course_ids:
            for request_id in scene.site.waiting_in(course_id)[:DUPLICATES_MAX]:
                deliver(client, course_id, request_id)
                twice += 1
        waiting = scene.waiting()
        scene.landed(twice and len(waiting) - len(set(waiting)) == twice, "no id was in its queue twice")
    scene.where = f"{twice} waiting ids twice in their queues"


def deliver_finished_again(scene: Scene) -> None:
    """Ids that are finished are pushed once more, some of them without their job."""
    rows = scene.site.sql(
        "SELECT request_id::text, course_id::text FROM registration_requests"
        " WHERE course_id = ANY(%s::uuid[]) AND sequence IS NOT NULL",
        list(scene.course_ids),
    )
    again = scene.chance.sample(rows, min(len(rows), DUPLICATES_MAX))
    with scene.site.held(*scene.course_ids), scene.site.redis() as client:
        for row in again:
            if scene.chance.random() < 0.5:
                client.delete(f"rq:job:{row['request_id']}")
            deliver(client, row["course_id"], row["request_id"])
        queued = {row["request_id"] for row in again} & set(scene.waiting())
        scene.landed(again and len(queued) == len(again), "no finished id was in a queue")
    scene.where = f"{len(again)} finished ids in their queues again"


def deliver(client: Redis, course_id: str, request_id: str) -> None:
    """Push an id to the end of its queue."""
    client.rpush(f"rq:queue:course-{course_id}", request_id)
    client.sadd(f"cr:ready:{shard_of(course_id)}", course_id)


def poison(scene: Scene) -> None:
    """Broken and hostile payloads, unknown students and courses, and a real request whose payload is destroyed."""
    with tempfile.TemporaryDirectory() as directory:
        marker = Path(directory, "a-hostile-job-was-run")
        _poison(scene, marker)
        assert not marker.exists(), "a hostile job was run"


def _poison(scene: Scene, marker: Path) -> None:
    course_id = scene.chance.choice(scene.course_ids)
    kinds = [*scene.chance.sample(POISONS, len(POISONS)), push_unknown_student]
    nowhere = str(uuid4())
    with scene.site.held(course_id), scene.site.redis() as client:
        for kind in kinds:
            kind(client, course_id, marker)
            scene.pause(0.05 * scene.chance.random())
        push(client, nowhere, str(uuid4()))
        destroyed = _destroy_one(scene, client, course_id)
        queued = client.llen(f"rq:queue:course-{course_id}")
        scene.landed(queued > len(kinds), "the poison was not in the queue")
    wait_until(lambda: _failed(scene, nowhere) == 1, "the unknown course's entry has failed")
    # The destroyed request as well, unless a worker had read it just before and applied it just after.
    wait_until(lambda: _failed(scene, course_id) >= len(kinds), "every poisoned entry has failed")
    scene.where = (
        f"{len(kinds)} poisoned entries among {queued} in {course_id}, request {destroyed} destroyed"
    )


def _destroy_one(scene: Scene, client: Redis, course_id: str) -> str:
    """Delete the job of a request that really waits."""

    def real() -> list[str]:
        queue = client.lrange(f"rq:queue:course-{course_id}", 0, -1)
        return sorted({raw.decode(errors="replace") for raw in queue} & scene.load.request_ids)

    scene.landed_within(10, real, "a real request waits")
    request_id = scene.chance.choice(real())
    scene.history.damaged(request_id, "its job was deleted")
    client.delete(f"rq:job:{request_id}")
    return request_id


def _failed(scene: Scene, course_id: str) -> int:
    [row] = scene.site.sql(
        "SELECT count(*) AS rows FROM registration_requests WHERE course_id = %s AND status = 'FAILED'",
        course_id,
    )
    return int(row["rows"])


FAULTS = (
    Fault("F8-waiting", "ids of waiting requests delivered twice", deliver_waiting_twice),
    Fault("F8-finished", "ids of finished requests delivered again", deliver_finished_again),
    Fault("F13", "poisoned payloads", poison),
)
