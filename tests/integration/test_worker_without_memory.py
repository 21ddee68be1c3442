"""A worker started while Redis is at its memory limit: it must come up, for only it can free memory."""

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import Engine

from shared.rules import Operation
from tests.conftest import CourseFactory, StudentFactory
from tests.e2e.waiting import wait_until
from tests.integration.course_queue import CourseQueueOnRedis
from worker.registration_worker import RegistrationWorker


@pytest.fixture
def kept_signals() -> Iterator[None]:
    """A worker takes over these signals; the test runner gets them back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_worker_started_at_maxmemory_drains_the_queues(
    course_queue: CourseQueueOnRedis,
    engine: Engine,
    make_course: CourseFactory,
    make_students: StudentFactory,
    kept_signals: None,
) -> None:
    """P8: what was accepted still completes, also when the workers were restarted meanwhile."""
    course_queue.course_id = make_course(5, 0)
    for student in make_students(3):
        course_queue.accepted(Operation.REGISTER, student_id=student)
    worker = RegistrationWorker(course_queue.settings)

    def stop_when_drained() -> None:
        with suppress(AssertionError):
            wait_until(lambda: not course_queue.waiting(), "the queue is drained", limit_s=5)
        worker.request_stop(signal.SIGTERM, None)

    limit = course_queue.client.config_get("maxmemory")["maxmemory"]
    watcher = threading.Thread(target=stop_when_drained)
    course_queue.client.config_set("maxmemory", 1)
    try:
        watcher.start()
        worker.work()
    finally:
        watcher.join()
        course_queue.client.config_set("maxmemory", limit)
    assert course_queue.waiting() == []
