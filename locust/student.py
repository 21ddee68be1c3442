"""A student as every scenario knows one: logged in, with a timetable, and staying with each request to its outcome."""

import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

from calls import LOGIN_LIMIT_S, OUTCOME_LIMIT_S, POLL_WAIT_S, Caller, Document, NoAnswerError
from courses import Courses, shelf
from locust.exception import StopUser
from promises import outcome_of, promises
from students import enrolment


@dataclass(frozen=True, slots=True)
class Asked:
    """An intention that was followed to its end: `outcome` is a result, a reason or a code; None when none came."""

    request_id: str | None
    outcome: str | None


class Student(Caller):
    """One device of one student. What is planned is planned: a late answer delays nobody's clock."""

    abstract = True
    gap_s: tuple[float, float] = (0.1, 1.0)
    """Between two planned submissions, from and to."""

    def on_start(self) -> None:
        """Log in and look at the catalogue, once per student and once per process."""
        self.number = enrolment.deal()
        self.held: set[str] = set()
        try:
            self.token = self._token()
            self.courses: Courses = shelf.courses(self)
        except NoAnswerError as error:
            message = f"{self.number} cannot take part: {error}"
            raise StopUser(message) from None
        self.planned_at = time.monotonic()

    def wait_time(self) -> float:
        """Called by Locust: the time until the next submission is planned, or nothing when that is past."""
        self.planned_at += random.uniform(*self.gap_s)
        return max(0.0, self.planned_at - time.monotonic())

    @property
    def authorization(self) -> dict[str, str]:
        """The header that says who asks."""
        return {"Authorization": f"Bearer {self.token}"}

    def register(self, course_id: str, key: str = "") -> Asked:
        """Ask for a place, and remember it when there is one."""
        asked = self._ask("register", course_id, key)
        if asked.outcome in {"ENROLLED", "RESERVED", "already_registered"}:
            self.held.add(course_id)
        return asked

    def drop(self, course_id: str) -> Asked:
        """Give a place back."""
        self.held.discard(course_id)
        return self._ask("drop", course_id)

    def log_in(self) -> str:
        """A new token. Raises NoAnswerError."""
        body = {"student_number": self.number, "password": self.environment.parsed_options.password}
        _, document, _ = self.call(
            lambda: self.client.post("/auth/login", json=body, catch_response=True),
            {HTTPStatus.OK},
            time.monotonic() + LOGIN_LIMIT_S,
        )
        return str(document["access_token"])

    def _token(self) -> str:
        """This student's token; all devices of a student in this process share one login."""
        with enrolment.locks[self.number]:
            token = enrolment.token(self.number)
            if token is None:
                token = self.log_in()
                enrolment.keep_token(self.number, token)
            return token

    def _ask(self, operation: str, course_id: str, key: str = "") -> Asked:
        """Submit, wait for the outcome, and report the time since it was planned."""
        asked, failure = Asked(None, None), None
        try:
            asked = self._follow(operation, course_id, key, time.monotonic() + OUTCOME_LIMIT_S)
        except NoAnswerError as error:
            failure = error
        took_ms = (time.monotonic() - self.planned_at) * 1000
        self.report("E2E", f"{operation} end to end", took_ms, failure)
        if asked.outcome is not None:
            self.report("OUTCOME", f"{operation}: {asked.outcome}", took_ms)
        return asked

    def _follow(self, operation: str, course_id: str, key: str, deadline: float) -> Asked:
        """Stay with an intention until it is decided. Raises NoAnswerError."""
        # One key for all tries: however often it is sent, it is one request.
        headers = self.authorization | {"Idempotency-Key": key or str(uuid4())}
        path, name = f"/courses/{course_id}/{operation}", f"/courses/{{id}}/{operation}"
        status, document, location = self.call(
            lambda: self.client.post(path, name=name, headers=headers, catch_response=True),
            {HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT},
            deadline,
        )
        if status == HTTPStatus.CONFLICT:
            return Asked(None, str(document["code"]))
        promises.accepted(self.token, document["request_id"])
        while document["status"] == "QUEUED":
            document = self._poll(location, deadline)
        promises.told(self.token, document["request_id"], outcome_of(document))
        if document["status"] == "FAILED":
            message = f"FAILED: {document['reason']}"
            raise NoAnswerError(message)
        return Asked(document["request_id"], outcome_of(document))

    def _poll(self, location: str, deadline: float) -> Document:
        """The request as it is now, or as soon as it is final."""
        path, name = f"{location}?wait={POLL_WAIT_S}", f"/requests/{{id}}?wait={POLL_WAIT_S}"
        _, document, _ = self.call(
            lambda: self.client.get(path, name=name, headers=self.authorization, catch_response=True),
            {HTTPStatus.OK},
            deadline,
        )
        return document
