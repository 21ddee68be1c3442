"""What routes ask for: the services, the student behind the token, and the headers this API understands."""

import re
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.datastructures import Headers as HttpHeaders

from api.documentation import EXAMPLE_ID
from api.problems import invalid
from api.schemas import EXAMPLE_COURSE_ID, EXAMPLE_SEMESTER_ID, Id
from api.services import Services
from shared.errors import InvalidTokenError
from shared.security import Identity

oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/auth/token", auto_error=False)

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
WHOLE_SECONDS = re.compile(r"[0-9]{1,9}")
PREFER_WAIT = re.compile(r"\s*wait\s*=\s*(\"?)([^\";]*)\1\s*(;.*)?", re.IGNORECASE)


def services_of(request: Request) -> Services:
    """The services of this process."""
    services: Services = request.app.state.services
    return services


# Dependencies are `async` although they wait for nothing: FastAPI runs plain functions in threads, which costs far more.
async def injected_services(request: Request) -> Services:
    """The services of this process, for routes that are not in a hurry."""
    return services_of(request)


ServicesOf = Annotated[Services, Depends(injected_services)]


async def current_student(request: Request, token: Annotated[str | None, Depends(oauth2_scheme)]) -> Identity:
    """The student whose token came with the request. Raises InvalidTokenError."""
    return student_of(request, token)


def student_of(request: Request, token: str | None) -> Identity:
    """The student whose token this is. Raises InvalidTokenError, also when there is none."""
    if token is None:
        raise InvalidTokenError
    return services_of(request).tokens.verify(token)


CurrentStudent = Annotated[Identity, Depends(current_student)]
CourseId = Annotated[Id, Path(examples=[EXAMPLE_COURSE_ID])]
SemesterId = Annotated[Id, Path(examples=[EXAMPLE_SEMESTER_ID])]
RequestId = Annotated[Id, Path(examples=[EXAMPLE_ID])]


def idempotency_key(headers: HttpHeaders) -> str | None:
    """The Idempotency-Key, 1 to 255 visible ASCII characters, or None.

    Raises a validation error when it is something else or comes twice.
    """
    values = headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not IDEMPOTENCY_KEY.fullmatch(values[0]):
        location = "header.Idempotency-Key"
        raise invalid(location, "must be given once, with 1 to 255 visible ASCII characters")
    return values[0]


def preferred_wait_s(headers: HttpHeaders, maximum_s: int) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), or None; other preferences are ignored as they may be.

    Raises a validation error when N is no whole number from 0 to `maximum_s`.
    """
    preferences = [one for line in headers.getlist("prefer") for one in line.split(",")]
    for preference in preferences:
        match = PREFER_WAIT.fullmatch(preference)
        if match is not None:
            return _seconds(match[2].strip(), maximum_s)
    return None


def _seconds(text: str, maximum: int) -> int:
    if not WHOLE_SECONDS.fullmatch(text) or int(text) > maximum:
        location = "header.Prefer"
        raise invalid(location, f"wait must be a whole number of seconds from 0 to {maximum}")
    return int(text)


SUBMIT_HEADERS = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Repeating a call with the same key gives the same request, for a day.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "example": "6f1c8f1e-opening-morning-1",
        },
        {
            "name": "Prefer",
            "in": "header",
            "required": False,
            "description": "`wait=N`: answer 200 with the final outcome if it comes within N (at most 30) seconds.",
            "schema": {"type": "string", "pattern": "^wait=([0-9]|[12][0-9]|30)$"},
            "example": "wait=10",
        },
    ]
}
"""OpenAPI's view of the two headers, which are read by hand because a repeated one must be refused."""
