"""Scenario `browse`: look through the catalogue, open a course, think, then register."""

import random
import time

import gevent
from locust import tag, task
from student import Student

SEARCHES = ("", "a", "in", "intro", "10", "lab")
THINK_S = (0.05, 0.3)


class Browser(Student):
    """Reads first."""

    weight = 4
    gap_s = (0.5, 2.0)

    @tag("browse")
    @task
    def browse(self) -> None:
        """A search, a course, a registration. The submission is planned when the reading ends."""
        course_id = self.courses.pick()
        course = self.get(f"/courses/{course_id}", "/courses/{id}")
        path = f"/semesters/{course['semester_id']}/courses?limit=50&search={random.choice(SEARCHES)}"
        self.get(path, "/semesters/{id}/courses?search=")
        gevent.sleep(random.uniform(*THINK_S))
        self.get(f"/courses/{course_id}", "/courses/{id}")
        self.planned_at = time.monotonic()
        self.register(course_id)
