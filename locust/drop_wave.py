"""Scenario `drop-wave`: the smallest courses fill up, then all who have a seat drop at once, and the reserve lists move up."""

import random
import time

import gevent
from calls import NoAnswerError
from locust import tag, task
from student import Student

WAVE_S = 5.0
WAVES_MAX = 3
LOOK_PAUSE_S = 0.25


def next_wave_in_s() -> float:
    """Seconds until the next wave; by the wall clock, so that all processes drop in the same moment."""
    return WAVE_S - time.time() % WAVE_S


class Dropper(Student):
    """Takes a seat only to give it back; on a reserve list, waits for others to do so."""

    weight = 2

    @tag("drop-wave")
    @task
    def change_places(self) -> None:
        """Get in, then out again with everybody else."""
        self.planned_at = max(self.planned_at, time.monotonic())
        course_id = random.choice(self.courses.contested)
        place = self.register(course_id).outcome
        if place == "RESERVED":
            self._wait_for_promotion(course_id)
        if place in {"ENROLLED", "RESERVED", "already_registered"}:
            self._wait_for_wave()
            self.drop(course_id)

    def _wait_for_wave(self) -> None:
        pause_s = next_wave_in_s()
        self.planned_at = time.monotonic() + pause_s
        gevent.sleep(pause_s)

    def _wait_for_promotion(self, course_id: str) -> None:
        """Look at my-courses during a few waves; `promotion seen` counts from the wave that brought it."""
        course = self.get(f"/courses/{course_id}", "/courses/{id}")
        for _ in range(WAVES_MAX):
            self._wait_for_wave()
            wave_ends_at = self.planned_at + WAVE_S / 2
            while time.monotonic() < wave_ends_at:
                if self._is_enrolled(course["semester_id"], course_id):
                    self.report("E2E", "promotion seen", (time.monotonic() - self.planned_at) * 1000)
                    return
                gevent.sleep(LOOK_PAUSE_S)

    def _is_enrolled(self, semester_id: str, course_id: str) -> bool:
        path = f"/semesters/{semester_id}/my-courses"
        try:
            mine = self.get(path, "/semesters/{id}/my-courses", self.authorization)["courses"]
        except NoAnswerError:
            return False
        return any(each["course_id"] == course_id and each["status"] == "ENROLLED" for each in mine)
