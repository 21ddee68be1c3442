"""Who takes part: numbers and tokens dealt to the users, each student once before anybody comes twice."""

import csv
import random
from collections import defaultdict
from pathlib import Path

from gevent.lock import BoundedSemaphore
from locust import events
from locust.env import Environment


class Enrolment:
    """What the users of this process share: the students, and one login per student."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._numbers: list[str] = []
        self._left: list[str] = []
        self.locks: defaultdict[str, BoundedSemaphore] = defaultdict(BoundedSemaphore)

    def read(self, environment: Environment, **_event: object) -> None:
        """Start over with what the options say."""
        options = environment.parsed_options
        self._left = []
        self._tokens = _tokens(Path(options.tokens)) if options.tokens else {}
        numbers = [options.students]
        if "%" in options.students:
            numbers = [options.students % number for number in range(1, options.student_count + 1)]
        self._numbers = list(self._tokens) or numbers

    def deal(self) -> str:
        """A student's number. With fewer students than users, some have several devices."""
        if not self._left:
            # Not the same order in every process of a run, so that their students differ.
            self._left = random.sample(self._numbers, len(self._numbers))
        return self._left.pop()

    def token(self, number: str) -> str | None:
        """The student's token, if there is one yet."""
        return self._tokens.get(number)

    def keep_token(self, number: str, token: str) -> None:
        """Remember the login of a student for the other devices."""
        self._tokens[number] = token


enrolment = Enrolment()
events.test_start.add_listener(enrolment.read)


def _tokens(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["student_number"]: row["token"] for row in csv.DictReader(file)}
