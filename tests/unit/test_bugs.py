"""A bug is answered with an id under which its log line is found, and tells the client nothing else."""

import asyncio

import httpx
from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI

from api import problems

CALL = "0f1e2d3c4b5a49788796a5b4c3d2e1f0"


def answer_of_a_bug() -> httpx.Response:
    """What a route that raises answers."""
    app = FastAPI()
    problems.install(app)
    app.add_middleware(CorrelationIdMiddleware)

    @app.get("/")
    async def broken() -> None:
        message = "secret of the house"
        raise ZeroDivisionError(message)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/", headers={"X-Request-ID": CALL})

    return asyncio.run(call())


def test_a_bug_is_answered_with_the_calls_id() -> None:
    """As every other answer is."""
    assert answer_of_a_bug().headers["X-Request-ID"] == CALL


def test_a_bug_tells_the_client_nothing() -> None:
    """A stable code, and no text of the error."""
    answer = answer_of_a_bug()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
