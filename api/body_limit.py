"""Refuses bodies that are larger than any request needs, announced or chunked without end. Pure ASGI: it costs next to nothing."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import respond_to_http_error

CHUNKED_LIMIT_S = 10.0
CLOSE = {"Connection": "close"}
TOO_LARGE = HTTPException(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than any request needs.", CLOSE
)
TOO_SLOW = HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The body did not come to an end in time.", CLOSE)


class BodyLimit:
    """ASGI middleware: 413 above `max_bytes`, 408 for a chunked body that does not end.

    The server holds a body to its announced length. A chunked one is read ahead, whether the route wants it or not: what
    nobody reads the server would go on reading, without end.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it and give the connection up."""
        if scope["type"] == "http":
            try:
                receive = await self._limited(scope, receive)
            except HTTPException as refusal:
                await respond_to_http_error(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive) -> Receive:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_bytes:
                raise TOO_LARGE
            if name == b"transfer-encoding":
                return await self._read_ahead(receive)
        return receive

    async def _read_ahead(self, receive: Receive) -> Receive:
        body = b""
        try:
            async with asyncio.timeout(CHUNKED_LIMIT_S):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise TOO_LARGE
                    if not message.get("more_body", False):
                        break
        except TimeoutError as error:
            raise TOO_SLOW from error
        return _replay(body, receive)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body in one piece, and then what the server has to tell."""
    whole: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        for message in whole:
            return message
        return await receive()

    return replayed
