"""Refuses large bodies while they arrive, whether announced or chunked without end. Pure ASGI: it costs next to nothing."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import respond_to_http_error

TOO_LARGE = "The body is larger than any request needs."


def too_large() -> HTTPException:
    """413, and the connection is given up with the rest of the body."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, {"Connection": "close"})


class BodyLimit:
    """ASGI middleware: 413 above `max_bytes`."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what the application reads of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._max_bytes:
            await respond_to_http_error(too_large())(scope, receive, send)
            return
        seen, ended = 0, not self._is_chunked(scope)

        async def counted() -> Message:
            nonlocal seen, ended
            message = await receive()
            seen += len(message.get("body", b""))
            ended = ended or not message.get("more_body", False)
            if seen > self._max_bytes:
                raise too_large()
            return message

        async def closing(message: Message) -> None:
            # Nobody reads the rest of a body that the route did not want: the server would, without end.
            if message["type"] == "http.response.start" and not ended:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, counted, closing)

    @staticmethod
    def _is_chunked(scope: Scope) -> bool:
        return any(name == b"transfer-encoding" for name, _ in scope["headers"])

    @staticmethod
    def _announced(scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length":
                return int(value) if value.isdigit() else 0
        return 0
