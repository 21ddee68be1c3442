"""F12: two owners at work on the same shards, because one of them ignores the locks."""

from tests.faults.injections.fault import Fault
from tests.faults.scene import Scene

SHARED_COURSES_MIN = 2
ROWS_EACH_MIN = 3

SHARED = """
    SELECT course_id FROM registration_requests
     WHERE course_id = ANY(%s::uuid[])
     GROUP BY course_id
    HAVING count(*) FILTER (WHERE split_part(worker, '.', -2) = %s AND applied_index > 10) >= %s
       AND count(*) FILTER (WHERE split_part(worker, '.', -2) <> %s AND applied_index > 10) >= %s
"""


def force_two_owners(scene: Scene) -> None:
    """A worker that takes every shard for its own works beside the rightful owners."""
    usurper = scene.site.add(["tests.faults.usurper"])
    pid = str(usurper.pid)

    def both_have_worked() -> bool:
        parameters = (list(scene.course_ids), pid, ROWS_EACH_MIN, pid, ROWS_EACH_MIN)
        return len(scene.site.sql(SHARED, *parameters)) >= SHARED_COURSES_MIN

    scene.landed_within(20, both_have_worked, "both owners have applied requests of the same courses")
    scene.landed(usurper.running, f"the usurper has ended: {usurper.log()}")
    scene.load.wait_for_finals(100)
    scene.where = f"usurper {pid} beside {scene.site.worker_pids()}"


FAULTS = (Fault("F12", "two owners forced on every shard", force_two_owners),)
