"""Turns logins away at the door while too many wait: a storm of them must not keep the event loop from accepting."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem, respond

PREFIX = "/auth/"


class LoginGate:
    """ASGI middleware: 503 for a login before routing, parsing or reading anything of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but the logins for which there is no room."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            try:
                scope["app"].state.services.hashing.require_room()
            except Problem as problem:
                await respond(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)
