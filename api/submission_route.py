"""The route class of register and drop, on which opening morning runs.

FastAPI documents these routes, but what it would inject is resolved here by hand, which takes a fraction of the time.
"""

import re

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.dependencies import student_of
from api.problems import code_of, invalid
from api.schemas import UUID_PATTERN
from shared import metrics

UUID = re.compile(UUID_PATTERN)
BEARER = "bearer "


class SubmissionRoute(APIRoute):
    """A route whose endpoint takes (request, student, course id) and returns a response."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What it raises, the application's exception handlers answer."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            student = student_of(request, _bearer_token(request))
            response = await self.endpoint(request, student, _course_id(request))
        except Exception as error:
            metrics.REFUSED.labels(code_of(error)).inc()
            raise
        await response(scope, receive, send)


def _bearer_token(request: Request) -> str | None:
    authorization = request.headers.get("authorization", "")
    return authorization[len(BEARER) :] if authorization[: len(BEARER)].lower() == BEARER else None


def _course_id(request: Request) -> str:
    course_id: str = request.path_params["course_id"]
    if not UUID.fullmatch(course_id):
        location = "path.course_id"
        raise invalid(location, f"String should match pattern '{UUID_PATTERN}'")
    return course_id.lower()
