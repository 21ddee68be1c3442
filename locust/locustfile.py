"""Opening morning: students log in, register for popular courses, wait for each outcome, and drop now and then.

    python -m locust -f locust/locustfile.py --headless -u 20 -r 20 -t 20s -H http://127.0.0.1:8500

Environment:
    LOCUST_STUDENTS         one student number, or a pattern such as LOAD%06d (default STU001)
    LOCUST_STUDENT_COUNT    with a pattern: the numbers run from 1 up to this (default 1000)
    LOCUST_PASSWORD         the password they share (default: that of the demo student, outside production)
    LOCUST_ZIPF_EXPONENT    how unevenly courses are wanted: 0 is all alike (default 1)

How to read the report: `register end to end` and `drop end to end` are the time from the first try to submit until the
outcome is known, pauses that the server asked for included. Rows of type OUTCOME split the same times by what came out;
a refusal such as `course_full` is an outcome, not a failure. Rows of type PUT OFF count the answers 429 and 503 that said
when to come back. A failure is whatever the API does not promise: other statuses, FAILED, or no outcome in time.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus
from itertools import accumulate
from typing import Any
from uuid import uuid4

import gevent
from gevent.lock import BoundedSemaphore
from locust import FastHttpUser, between, events, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.exception import StopUser

STUDENTS = os.environ.get("LOCUST_STUDENTS") or "STU001"
STUDENT_COUNT = int(os.environ.get("LOCUST_STUDENT_COUNT") or "1000")
PASSWORD = os.environ.get("LOCUST_PASSWORD") or "test123"
ZIPF_EXPONENT = float(os.environ.get("LOCUST_ZIPF_EXPONENT") or "1")

# Every process ranks the courses alike, so that the same ones are popular everywhere.
POPULARITY_SEED = 1
PAGE_SIZE = 200
POLL_WAIT_S = 20
NETWORK_TIMEOUT_S = POLL_WAIT_S + 10
OUTCOME_LIMIT_S = 120
LOGIN_LIMIT_S = 300
RECONNECT_PAUSE_S = 1.0

Document = dict[str, Any]
Send = Callable[[], ResponseContextManager]


class NoAnswerError(Exception):
    """The API did not keep its contract; the HTTP row has been marked as failed already."""


class Courses:
    """The courses whose window is open, from the most to the least wanted."""

    def __init__(self, course_ids: list[str]) -> None:
        self._ids = sorted(course_ids)
        random.Random(POPULARITY_SEED).shuffle(self._ids)
        self._weights = list(accumulate((rank + 1) ** -ZIPF_EXPONENT for rank in range(len(self._ids))))

    def pick(self) -> str:
        """One course, popular ones more often (Zipf)."""
        return random.choices(self._ids, cum_weights=self._weights)[0]


class Rush:
    """What the users of this process share: the courses, and one login per student."""

    def __init__(self) -> None:
        self.courses: Courses | None = None
        self.courses_lock = BoundedSemaphore()
        self.tokens: dict[str, str] = {}
        self.login_locks: defaultdict[str, BoundedSemaphore] = defaultdict(BoundedSemaphore)

    def forget(self, **_event: object) -> None:
        """A new run may meet other courses, or another server."""
        self.courses = None
        self.tokens.clear()


rush = Rush()
events.test_start.add_listener(rush.forget)


class Student(FastHttpUser):
    """One device of one student; with fewer students than users, some have several."""

    wait_time = between(0.1, 1.0)
    network_timeout = NETWORK_TIMEOUT_S

    def on_start(self) -> None:
        """Log in and look at the catalogue, once per student and once per process."""
        self.held: set[str] = set()
        number = random.randint(1, STUDENT_COUNT)
        self.student_number = STUDENTS % number if "%" in STUDENTS else STUDENTS
        try:
            self.authorization = {"Authorization": f"Bearer {self._token()}"}
            self.courses = self._courses()
        except NoAnswerError as error:
            message = f"{self.student_number} cannot take part: {error}"
            raise StopUser(message) from None

    @task(9)
    def register(self) -> None:
        """Ask for a place in a course."""
        course_id = self.courses.pick()
        if self._ask("register", course_id) in {"ENROLLED", "RESERVED", "already_registered"}:
            self.held.add(course_id)

    @task(1)
    def drop(self) -> None:
        """Give a place back, or ask for one when there is none to give."""
        if not self.held:
            self.register()
            return
        self._ask("drop", self.held.pop())

    def _ask(self, operation: str, course_id: str) -> str | None:
        """Submit, wait for the outcome and report it; None when there was none."""
        started = time.perf_counter()
        outcome, failure = None, None
        try:
            outcome = self._outcome(operation, course_id, time.monotonic() + OUTCOME_LIMIT_S)
        except NoAnswerError as error:
            failure = error
        took_ms = (time.perf_counter() - started) * 1000
        self._report("E2E", f"{operation} end to end", took_ms, failure)
        if outcome is not None:
            self._report("OUTCOME", f"{operation}: {outcome}", took_ms)
        return outcome

    def _outcome(self, operation: str, course_id: str, deadline: float) -> str:
        """What became of it: a result, or the reason of a refusal. Raises NoAnswerError."""
        # One key for all tries: however often it is sent, it is one request.
        headers = self.authorization | {"Idempotency-Key": str(uuid4())}
        path, name = f"/courses/{course_id}/{operation}", f"/courses/{{id}}/{operation}"
        status, document, location = self._call(
            lambda: self.client.post(path, name=name, headers=headers, catch_response=True),
            {HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT},
            deadline,
        )
        if status == HTTPStatus.CONFLICT:
            return str(document["code"])
        while document["status"] == "QUEUED":
            document = self._poll(location, deadline)
        if document["status"] == "FAILED":
            message = f"FAILED: {document['reason']}"
            raise NoAnswerError(message)
        return str(document["result"] or document["reason"])

    def _poll(self, location: str, deadline: float) -> Document:
        """The request as it is now, or as soon as it is final."""
        path, name = f"{location}?wait={POLL_WAIT_S}", f"/requests/{{id}}?wait={POLL_WAIT_S}"
        _, document, _ = self._call(
            lambda: self.client.get(path, name=name, headers=self.authorization, catch_response=True),
            {HTTPStatus.OK},
            deadline,
        )
        return document

    def _token(self) -> str:
        """This student's token; all devices of a student in this process share one login."""
        with rush.login_locks[self.student_number]:
            if self.student_number not in rush.tokens:
                body = {"student_number": self.student_number, "password": PASSWORD}
                _, document, _ = self._call(
                    lambda: self.client.post("/auth/login", json=body, catch_response=True),
                    {HTTPStatus.OK},
                    time.monotonic() + LOGIN_LIMIT_S,
                )
                rush.tokens[self.student_number] = document["access_token"]
            return rush.tokens[self.student_number]

    def _courses(self) -> Courses:
        with rush.courses_lock:
            if rush.courses is None:
                rush.courses = Courses(self._open_course_ids())
            return rush.courses

    def _open_course_ids(self) -> list[str]:
        """Every course one can register for now. Raises NoAnswerError when there is none."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        course_ids = [
            course["id"]
            for semester in self._look("/semesters/", "/semesters/")["semesters"]
            if semester["registration_start"] <= now < semester["registration_end"]
            for course in self._courses_of(semester["id"])
        ]
        if not course_ids:
            message = "no course is open for registration"
            self._report("SETUP", "open courses", 0, NoAnswerError(message))
            raise NoAnswerError(message)
        return course_ids

    def _courses_of(self, semester_id: str) -> list[Document]:
        courses: list[Document] = []
        after = ""
        while True:
            path = f"/semesters/{semester_id}/courses?limit={PAGE_SIZE}{after}"
            page = self._look(path, "/semesters/{id}/courses")
            courses += page["courses"]
            if page["next"] is None:
                return courses
            after = f"&after={page['next']}"

    def _look(self, path: str, name: str) -> Document:
        _, document, _ = self._call(
            lambda: self.client.get(path, name=name, catch_response=True),
            {HTTPStatus.OK},
            time.monotonic() + LOGIN_LIMIT_S,
        )
        return document

    def _call(self, send: Send, expected: set[HTTPStatus], deadline: float) -> tuple[int, Document, str]:
        """Send until answered: status, body and Location. Comes back when told to, and after a broken connection.

        Raises NoAnswerError on any other status, or when the deadline (on the monotonic clock) passes.
        """
        while time.monotonic() < deadline:
            with send() as response:
                if response.status_code in expected:
                    response.success()
                    return response.status_code, response.json(), response.headers.get("Location", "")
                pause_s = self._pause(response)
            gevent.sleep(pause_s)
        message = "no outcome in time"
        raise NoAnswerError(message)

    def _pause(self, response: ResponseContextManager) -> float:
        """How long to wait before the same again. Raises NoAnswerError when that would be no use."""
        if response.status_code == 0:
            return RECONNECT_PAUSE_S
        retry_after = response.headers.get("Retry-After")
        busy = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
        if response.status_code not in busy or retry_after is None:
            message = f"unexpected {response.status_code} {self._code(response)}"
            response.failure(message)
            raise NoAnswerError(message)
        response.success()
        self._report("PUT OFF", self._code(response), float(retry_after) * 1000)
        # Those who were sent away together must not come back together.
        return float(retry_after) * random.uniform(1.0, 1.5)

    @staticmethod
    def _code(response: ResponseContextManager) -> str:
        """The stable code of a problem document; empty when a proxy, not the API, answered."""
        try:
            return str(response.json()["code"])
        except (ValueError, LookupError, TypeError):
            return ""

    def _report(self, kind: str, name: str, took_ms: float, failure: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=took_ms,
            response_length=0,
            exception=failure,
            context={},
        )
