"""Students who send each registration several times at once under one key, and what they can say about it afterwards."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from uuid import uuid4

from bench.ground import Student
from scripts.http_client import HttpClient
from scripts.registration_client import Finished, RegistrationClient

PATIENCE_S = 600.0


@dataclass(slots=True)
class Registered:
    """One registration: what became of it, and when its first copy was sent and the first answer known."""

    request_id: str
    sequence: int
    course_id: str
    code: str
    sent_at: float
    answered_at: float
    latency_s: float


@dataclass(slots=True)
class Repeaters:
    """Sends registrations in copies over one HTTP client, and keeps what became of them."""

    http: HttpClient
    registered: list[Registered] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    copies_sent: int = 0
    put_off: int = 0
    _sent_at: dict[str, float] = field(default_factory=dict)
    _answered_at: dict[str, float] = field(default_factory=dict)

    async def register(self, student: Student, course_id: str, copies: int) -> str:
        """Send so many copies at once and follow all to the outcome, which is returned; differing answers are problems."""
        key = str(uuid4())
        client = RegistrationClient(self.http, prefer_wait=True, patience_s=PATIENCE_S, tell=self._note)
        follow = [
            client.finish("register", course_id, student.student_id, student.token, key)
            for _ in range(copies)
        ]
        answers = await asyncio.gather(*follow)
        self.copies_sent += copies
        self.put_off += client.retries
        self._judge(answers, key)
        return answers[0].code

    def _note(self, event: str, *, key: str, request: dict[str, Any] | None = None, **_details: Any) -> None:
        """Told by the client whenever it has sent or heard something."""
        if event == "submitted":
            self._sent_at.setdefault(key, time.monotonic())
        if event == "answered" and request is not None:
            self._answered_at.setdefault(key, time.monotonic())

    def _judge(self, answers: Sequence[Finished], key: str) -> None:
        """All copies are one request with one outcome."""
        request = answers[0].request
        sent_at, answered_at = self._sent_at.pop(key), self._answered_at.pop(key, 0.0)
        if request is None:
            self.problems.append(f"lost: no outcome for {key}, but {answers[0].code}")
            return
        if any(answer.request != request for answer in answers):
            self.problems.append(f"duplicated: the copies of {key} were answered differently")
        self.registered.append(
            Registered(
                request["request_id"],
                request["sequence"],
                answers[0].course_id,
                answers[0].code,
                sent_at,
                answered_at,
                answers[0].latency_s,
            )
        )


def out_of_order(registered: Iterable[Registered]) -> int:
    """How many were sent after the answer to another one of their course, and yet stand before it."""
    by_course: dict[str, list[Registered]] = {}
    for one in registered:
        by_course.setdefault(one.course_id, []).append(one)
    return sum(_overtakers(course) for course in by_course.values())


def _overtakers(course: list[Registered]) -> int:
    """Those that a later sequence had been answered before they were even sent."""
    backwards = sorted(course, key=lambda one: one.sequence, reverse=True)
    earliest_behind = accumulate((one.answered_at for one in backwards), min)
    pairs = zip(backwards[1:], earliest_behind, strict=False)
    return sum(one.sent_at > answered_at for one, answered_at in pairs)
