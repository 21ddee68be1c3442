"""Scenario `rush`: everybody submits in the same moment, one course is hot, the others are wanted as Zipf's law says."""

import random
import time

from gevent.event import Event
from locust import events, tag, task
from student import Student

# Whoever is ready waits for the others, but not for ever.
OPENING_LIMIT_S = 60.0
ANOTHER_COURSE_TRIES = 10
DROP_SHARE = 0.1


class Opening:
    """The moment at which registration opens to the rushers of this process: when all users are there."""

    def __init__(self) -> None:
        self._come = Event()
        self._at = 0.0

    def lie_ahead(self, **_event: object) -> None:
        """A new run opens anew."""
        self._come.clear()

    def come(self, **_event: object) -> None:
        """All users are there."""
        if not self._come.is_set():
            self._at = time.monotonic()
            self._come.set()

    def wait(self) -> float:
        """When it came; now, for those who were late or have waited long enough."""
        ready_at = time.monotonic()
        return max(ready_at, self._at) if self._come.wait(OPENING_LIMIT_S) else time.monotonic()


opening = Opening()
events.test_start.add_listener(opening.lie_ahead)
events.spawning_complete.add_listener(opening.come)


class Rusher(Student):
    """Wants many courses, and now."""

    weight = 10

    def on_start(self) -> None:
        """Be ready before it opens."""
        super().on_start()
        self._asked: set[str] = set()
        self.planned_at = opening.wait()

    @tag("rush")
    @task
    def rush(self) -> None:
        """Ask for another course; now and then give one back."""
        if self.held and random.random() < DROP_SHARE:
            self.drop(random.choice(list(self.held)))
            return
        course_id = self._another_course()
        self._asked.add(course_id)
        self.register(course_id)

    def _another_course(self) -> str:
        """One not asked for yet, or any when those are hard to find."""
        course_id = self.courses.pick()
        for _ in range(ANOTHER_COURSE_TRIES):
            if course_id not in self._asked:
                break
            course_id = self.courses.pick()
        return course_id
