"""Registering over HTTP as a good client does: one key per intention, repeat what was not answered, wait for the outcome.

A client of one's own may be written after this one. Its four rules:
1. every intention gets its own Idempotency-Key, and every repetition of it the same;
2. no answer, a broken connection, 429, 502, 503 or 504: repeat, after Retry-After if the server says so;
3. 202 is a promise: follow Location until the status is final, and let the server do the waiting (`?wait=`);
4. any other answer is final.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from scripts.http_client import HttpClient, Response

WAIT_S = 20
RETRY_PAUSE_S = 0.2
RETRY_PAUSE_MAX_S = 2.0
REPEATED_STATUSES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)

Tell = Callable[..., None]
"""Takes the name of an event and what belongs to it."""


class UnansweredError(Exception):
    """The server gave no usable answer for as long as we were ready to try."""


@dataclass(slots=True)
class Finished:
    """What became of one intention. `request` is the final document, or None when it was refused or got lost."""

    operation: str
    student: str
    course_id: str
    latency_s: float
    code: str
    """ENROLLED, RESERVED, DROPPED, the reason of a refusal, the code of an HTTP problem, or `unanswered`."""
    promised: bool
    """Whether the server had answered 200 or 202."""
    request: dict[str, Any] | None


@dataclass(slots=True)
class RegistrationClient:
    """Registers and drops for any number of students at a time."""

    http: HttpClient
    prefer_wait: bool
    patience_s: float
    """How long to go on repeating before giving an intention up."""
    tell: Tell = field(default=lambda *_args, **_details: None)
    retries: int = 0

    async def log_in(self, student_number: str, password: str) -> str:
        """A token. Raises UnansweredError, also for a wrong password."""
        body = json.dumps({"student_number": student_number, "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        response = await self._repeating(
            lambda: self.http.request("POST", "/auth/login", headers, body), self._deadline()
        )
        if response.status != HTTPStatus.OK:
            message = f"login of {student_number}: {response.status} {response.body.decode(errors='replace')}"
            raise UnansweredError(message)
        return str(json.loads(response.body)["access_token"])

    async def finish(
        self, operation: str, course_id: str, student: str, token: str, key: str | None = None
    ) -> Finished:
        """Submit `register` or `drop` and stay with it until its outcome is final; with a key of its own, unless given one."""
        started, key, promised = time.monotonic(), key or str(uuid4()), False
        told = {"key": key, "operation": operation, "student": student, "course_id": course_id}
        request: dict[str, Any] | None = None
        try:
            self.tell("submitted", **told)
            response = await self._submit(operation, course_id, token, key)
            promised = response.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED)
            document = json.loads(response.body) if promised else None
            self.tell("answered", **told, status=response.status, request=document)
            if document is not None:
                location = response.headers.get("location", f"/requests/{document['request_id']}")
                request = await self._follow(document, token, location)
            code = _code(response if request is None else None, request)
        except UnansweredError as error:
            code = str(error)
        self.tell("final", **told, code=code, request=request)
        return Finished(operation, student, course_id, time.monotonic() - started, code, promised, request)

    async def _submit(self, operation: str, course_id: str, token: str, key: str) -> Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        if self.prefer_wait:
            headers["Prefer"] = f"wait={WAIT_S}"
        path = f"/courses/{course_id}/{operation}"
        return await self._repeating(lambda: self.http.request("POST", path, headers), self._deadline())

    async def _follow(self, document: dict[str, Any], token: str, location: str) -> dict[str, Any]:
        """Poll until the status is final. Raises UnansweredError when the request is not there any more."""
        deadline = self._deadline()
        headers = {"Authorization": f"Bearer {token}"}
        while document["status"] == "QUEUED":
            if time.monotonic() > deadline:
                raise UnansweredError("still_queued")
            response = await self._repeating(
                lambda: self.http.request("GET", f"{location}?wait={WAIT_S}", headers), deadline
            )
            if response.status != HTTPStatus.OK:
                code = f"http_{response.status}_when_polled"
                raise UnansweredError(code)
            document = json.loads(response.body)
        return document

    async def _repeating(self, call: Callable[[], Awaitable[Response]], deadline: float) -> Response:
        """Call until there is an answer that is not to be repeated. Raises UnansweredError at the deadline."""
        pause_s = RETRY_PAUSE_S
        while True:
            try:
                response = await call()
            except OSError:
                wait_s = pause_s
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
            else:
                if response.status not in REPEATED_STATUSES:
                    return response
                wait_s = float(response.headers.get("retry-after", pause_s))
            if time.monotonic() + wait_s > deadline:
                raise UnansweredError("unanswered")
            self.retries += 1
            # Spread, lest all who were turned away come back in the same instant.
            await asyncio.sleep(wait_s * random.uniform(1.0, 1.5))  # noqa: S311

    def _deadline(self) -> float:
        return time.monotonic() + self.patience_s


def _code(refused: Response | None, request: dict[str, Any] | None) -> str:
    if request is not None:
        return str(request["result"] or request["reason"])
    assert refused is not None
    try:
        return f"http_{refused.status}_{json.loads(refused.body)['code']}"
    except (ValueError, KeyError, TypeError):
        return f"http_{refused.status}"
