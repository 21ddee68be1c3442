"""Large bodies are refused while they arrive."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from api import body_limit
from api.body_limit import BodyLimit

LIMIT = 10


class Application:
    """Reads the whole body and remembers it."""

    def __init__(self) -> None:
        self.body = b""
        self.called = False

    async def __call__(self, scope: Scope, receive: Receive, __send: Send) -> None:
        """Read until there is no more."""
        self.called = True
        more = scope["type"] == "http"
        while more:
            message = await receive()
            self.body += message["body"]
            more = message["more_body"]


def exchange(
    chunks: Iterable[bytes], announced: bytes | None = None, kind: str = "http"
) -> tuple[Application, list[Message]]:
    """Send these chunks; returns what the application saw and what was answered."""
    application, answered = Application(), []
    waiting = list(chunks)

    async def receive() -> Message:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        answered.append(message)

    headers = [(b"transfer-encoding", b"chunked")] if announced is None else [(b"content-length", announced)]
    scope: dict[str, Any] = {"type": kind, "headers": headers, "method": "POST", "path": "/"}
    asyncio.run(BodyLimit(application, LIMIT)(scope, receive, send))
    return application, answered


@pytest.mark.parametrize(
    ("chunks", "announced"),
    [([b""], None), ([b"x" * 10], b"10"), ([b"x" * 5, b"y" * 5], None), ([b"x"], b"no number")],
)
def test_a_body_up_to_the_limit_reaches_the_application_whole(
    chunks: list[bytes], announced: bytes | None
) -> None:
    """Exactly the limit is still allowed."""
    application, answered = exchange(chunks, announced)
    assert application.body == b"".join(chunks)
    assert answered == []


def test_an_announced_body_above_the_limit_is_answered_413_unread() -> None:
    """The application is not even called, and the connection is closed."""
    application, answered = exchange([], announced=b"11")
    assert not application.called
    assert answered[0]["status"] == 413
    assert (b"connection", b"close") in answered[0]["headers"]
    assert json.loads(answered[1]["body"])["code"] == "content_too_large"


def test_a_chunked_body_that_grows_above_the_limit_is_refused_at_the_first_byte_too_many() -> None:
    """The application is not even called, and no more is read."""
    application, answered = exchange([b"x" * 5, b"y" * 6, b"z" * 1_000_000])
    assert not application.called
    assert answered[0]["status"] == 413
    assert (b"connection", b"close") in answered[0]["headers"]


def test_a_chunked_body_that_does_not_end_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dribbles is told so, and has to connect again."""
    monkeypatch.setattr(body_limit, "CHUNKED_LIMIT_S", 0.01)
    answered: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: Message) -> None:
        answered.append(message)

    scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")], "method": "POST", "path": "/"}
    asyncio.run(BodyLimit(Application(), LIMIT)(scope, receive, send))
    assert answered[0]["status"] == 408
    assert json.loads(answered[1]["body"])["code"] == "body_too_slow"


def test_what_is_not_http_passes_untouched() -> None:
    """Lifespan and WebSocket messages have no body to limit."""
    application, answered = exchange([], kind="lifespan")
    assert application.called
    assert answered == []
