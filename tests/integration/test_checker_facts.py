"""What the fault checker reads of a real database and a real Redis."""

from uuid import uuid4

from shared.settings import Settings
from tests.conftest import StudentFactory
from tests.faults.checker.reading import read_courses, read_queues
from tests.integration.conftest import Apply, QueueFactory
from tests.integration.course_queue import CourseQueueOnRedis
from tests.integration.submissions import QueueOf


def test_a_course_is_called_ready_in_the_shard_that_the_system_counts_it_to(
    course_queue: CourseQueueOnRedis, settings: Settings
) -> None:
    """QUEUE_SHARDS is a setting: with another number the same course is ready elsewhere."""
    course_queue.settings = settings.model_copy(update={"queue_shards": 7})
    request_id = course_queue.accepted()
    [found] = read_queues(settings.redis_url, [course_queue.course_id], 7)
    assert (found.waiting, found.ready) == ([request_id], True)
    course_queue.client.delete(f"cr:ready:{course_queue.shard}")
    [found] = read_queues(settings.redis_url, [course_queue.course_id], 7)
    assert not found.ready


def test_the_first_request_of_a_life_of_redis_tells_how_it_began(
    apply: Apply, settings: Settings, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """In whatever course it was: a life that began with another sequence than 1 was restored from a copy."""
    (ann,) = make_students(1)
    elsewhere, here = queue_of(1, 1), queue_of(1, 1)
    life = str(uuid4())
    first = QueueOf(elsewhere.course_id, life).register(
        ann, request_id=life, raw_id=life.encode(), sequence=5
    )
    apply([first, QueueOf(here.course_id, life).register(ann, sequence=3), here.drop(ann)])
    [course] = read_courses(settings.database_url, [here.course_id])
    assert [row.generation for row in course.ledger] == [life, here.generation]
    assert course.lives == {life: 5}


def test_a_restored_life_of_redis_is_known_by_any_course_that_counts_on(
    apply: Apply, settings: Settings, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Its first request may be in a course never used before, where the sequence is 1. No course is its own witness."""
    (ann,) = make_students(1)
    unused, one, other = (queue_of(1, 1) for _ in range(3))
    life = str(uuid4())

    def lives() -> list[object]:
        courses = read_courses(settings.database_url, [one.course_id, other.course_id])
        by_course = {course.course_id: course.lives.get(life) for course in courses}
        return [by_course[one.course_id], by_course[other.course_id]]

    first = QueueOf(unused.course_id, life).register(ann, request_id=life, raw_id=life.encode(), sequence=1)
    apply([first, QueueOf(one.course_id, life).register(ann, sequence=3)])
    assert lives() == [1, None]
    apply([QueueOf(other.course_id, life).register(ann, sequence=2)])
    assert lives() == [2, 3]
