"""Scenario `login`: everybody logs in again, each time with the password."""

import random
import time

from calls import NoAnswerError
from locust import tag, task
from student import Student
from students import enrolment


class Latecomer(Student):
    """Has not thought of logging in before."""

    weight = 1
    gap_s = (1.0, 5.0)

    def on_start(self) -> None:
        """No token and no catalogue: logging in is all there is."""
        self.number = enrolment.deal()
        self.planned_at = time.monotonic() + random.uniform(0, self.gap_s[0])

    @tag("login")
    @task
    def arrive(self) -> None:
        """Log in; being told to come back later is part of it."""
        failure = None
        try:
            self.log_in()
        except NoAnswerError as error:
            failure = error
        self.report("E2E", "login end to end", (time.monotonic() - self.planned_at) * 1000, failure)
