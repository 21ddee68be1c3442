"""What routes are made of on which opening morning runs: register, drop and my-courses.

FastAPI documents them, but what it would inject is resolved here by hand, which takes a fraction of the time.
"""

import re

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.dependencies import student_of
from api.problems import code_of, invalid
from api.schemas import UUID_PATTERN
from shared import metrics

UUID = re.compile(UUID_PATTERN)
BEARER = "bearer "


class HotRoute(APIRoute):
    """A route with one parameter in its path, an id, whose endpoint takes (request, student, id) and returns a response."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What it raises, the application's exception handlers answer."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await self.answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """What the endpoint answers to a student with a token."""
        student = student_of(request, _bearer_token(request))
        response: Response = await self.endpoint(request, student, _id(request))
        return response


class SubmissionRoute(HotRoute):
    """The same for register and drop, whose refusals are counted."""

    async def answer(self, request: Request) -> Response:
        """What the endpoint answers."""
        try:
            return await super().answer(request)
        except Exception as error:
            metrics.REFUSED.labels(code_of(error)).inc()
            raise


def _bearer_token(request: Request) -> str | None:
    authorization = request.headers.get("authorization", "")
    return authorization[len(BEARER) :] if authorization[: len(BEARER)].lower() == BEARER else None


def _id(request: Request) -> str:
    [(name, value)] = request.path_params.items()
    if not UUID.fullmatch(value):
        location = f"path.{name}"
        raise invalid(location, f"String should match pattern '{UUID_PATTERN}'")
    return str(value).lower()
