"""Calls to the API that keep to its contract: repeat when told to, take nothing else for an answer."""

import random
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

import gevent
from locust import FastHttpUser
from locust.contrib.fasthttp import ResponseContextManager

POLL_WAIT_S = 20
NETWORK_TIMEOUT_S = POLL_WAIT_S + 10
OUTCOME_LIMIT_S = 120
LOGIN_LIMIT_S = 300
RECONNECT_PAUSE_S = 1.0
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

Document = dict[str, Any]
Send = Callable[[], ResponseContextManager]


class NoAnswerError(Exception):
    """The API did not keep its contract; the HTTP row has been marked as failed already."""


class Caller(FastHttpUser):
    """A client that can be sent away and come back."""

    abstract = True
    network_timeout = NETWORK_TIMEOUT_S

    def call(self, send: Send, expected: Collection[int], deadline: float) -> tuple[int, Document, str]:
        """Send until answered: status, body and Location. Comes back when told to, and after a broken connection.

        Raises NoAnswerError on any other status, or when the deadline (on the monotonic clock) passes.
        """
        while time.monotonic() < deadline:
            with send() as response:
                if response.status_code in expected:
                    response.success()
                    document = response.json() if response.content else {}
                    return response.status_code, document, response.headers.get("Location", "")
                pause_s = self._pause(response)
            gevent.sleep(pause_s)
        message = "no answer in time"
        raise NoAnswerError(message)

    def get(self, path: str, name: str, headers: dict[str, str] | None = None) -> Document:
        """A document that is there. Raises NoAnswerError."""
        _, document, _ = self.call(
            lambda: self.client.get(path, name=name, headers=headers, catch_response=True),
            {HTTPStatus.OK},
            time.monotonic() + OUTCOME_LIMIT_S,
        )
        return document

    def report(self, kind: str, name: str, took_ms: float, failure: Exception | None = None) -> None:
        """A row of our own."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=took_ms,
            response_length=0,
            exception=failure,
            context={},
        )

    def _pause(self, response: ResponseContextManager) -> float:
        """How long to wait before the same again. Raises NoAnswerError when that would be no use."""
        if response.status_code == 0:
            return RECONNECT_PAUSE_S
        retry_after = response.headers.get("Retry-After")
        if response.status_code not in BUSY or retry_after is None:
            message = f"unexpected {response.status_code} {_code(response)}"
            response.failure(message)
            raise NoAnswerError(message)
        response.success()
        self.report("PUT OFF", _code(response), float(retry_after) * 1000)
        # Those who were sent away together must not come back together.
        return float(retry_after) * random.uniform(1.0, 1.5)


def _code(response: ResponseContextManager) -> str:
    """The stable code of a problem document; empty when a proxy, not the API, answered."""
    try:
        return str(response.json()["code"])
    except (ValueError, LookupError, TypeError):
        return ""
