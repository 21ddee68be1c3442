"""Errors as clients see them: `application/problem+json` (RFC 9457) with a stable `code`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.documentation import MEDIA_TYPE, TYPE_PREFIX
from shared import metrics
from shared.errors import (
    DatabaseUnavailableError,
    InvalidTokenError,
    KeyConflictError,
    PasswordTooLongError,
    QueueFullError,
    QueueUnavailableError,
    RegistrationSystemError,
    StudentLimitError,
)

log = structlog.get_logger()

CHALLENGE = {"WWW-Authenticate": "Bearer"}
SOON = {"Retry-After": "1"}
INVALID_INPUT = "invalid_input"
HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "content_too_large",
}


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """A refusal that the client can read: status, stable code, a sentence, and headers."""

    def __init__(
        self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def not_found(what: str) -> Problem:
    """There is no such thing, or it is not this client's to see."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"There is no such {what}.")


def invalid(location: str, message: str) -> RequestValidationError:
    """Input that fails validation, in the same form as the framework's own findings."""
    return RequestValidationError([{"loc": (location,), "msg": message, "type": "value_error"}])


@dataclass(frozen=True, slots=True)
class Translation:
    """How one of our own errors reaches the client; without `detail` the error speaks for itself."""

    status: HTTPStatus
    code: str
    detail: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


TRANSLATIONS: dict[type[RegistrationSystemError], Translation] = {
    InvalidTokenError: Translation(HTTPStatus.UNAUTHORIZED, "invalid_token", headers=CHALLENGE),
    PasswordTooLongError: Translation(HTTPStatus.UNPROCESSABLE_ENTITY, "password_too_long"),
    KeyConflictError: Translation(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
    StudentLimitError: Translation(HTTPStatus.TOO_MANY_REQUESTS, "too_many_waiting", headers=SOON),
    QueueFullError: Translation(HTTPStatus.SERVICE_UNAVAILABLE, "queue_full", headers=SOON),
    QueueUnavailableError: Translation(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "queue_unavailable",
        "Requests cannot be taken now; repeat with the same Idempotency-Key.",
        SOON,
    ),
    DatabaseUnavailableError: Translation(
        HTTPStatus.SERVICE_UNAVAILABLE, "database_unavailable", "This cannot be looked up now.", SOON
    ),
}
BUG = Translation(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong here.")


def translate(error: Exception) -> Problem:
    """The problem a client sees for an error of ours; anything unforeseen tells nothing but that."""
    known = TRANSLATIONS.get(type(error), BUG)  # type: ignore[arg-type]
    problem = Problem(known.status, known.code, known.detail or str(error), known.headers)
    if isinstance(error, QueueFullError):
        problem.headers["Retry-After"] = str(error.retry_after_s)
    return problem


def code_of(error: Exception) -> str:
    """The code of the problem that the client is going to see for an error."""
    if isinstance(error, RequestValidationError):
        return INVALID_INPUT
    return error.code if isinstance(error, Problem) else translate(error).code


def install(app: FastAPI) -> None:
    """Answer every error of the application as problem+json."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RegistrationSystemError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)


def respond(problem: Problem, extra: Mapping[str, Any] | None = None) -> JSONResponse:
    """The response that carries a problem, counted."""
    metrics.PROBLEMS.labels(problem.code).inc()
    return response_to(problem, extra)


def response_to(problem: Problem, extra: Mapping[str, Any] | None = None) -> JSONResponse:
    """The response that carries a problem."""
    body = {
        "type": TYPE_PREFIX + problem.code,
        "title": problem.status.phrase,
        "status": problem.status.value,
        "code": problem.code,
        "detail": problem.detail,
        **(extra or {}),
    }
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


# Handlers are `async` although they wait for nothing: the framework runs plain functions in threads, which costs far more.
async def _on_problem(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 - a handler's form
    assert isinstance(error, Problem)
    return respond(error)


async def _on_own_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 - a handler's form
    assert isinstance(error, RegistrationSystemError)
    problem = translate(error)
    if problem.status is HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("unexpected error", exc_info=error)
    return respond(problem)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001 - a handler's form
    assert isinstance(error, RequestValidationError)
    findings = [
        {"location": ".".join(map(str, finding["loc"])), "message": str(finding["msg"])}
        for finding in error.errors()
    ]
    detail = "; ".join(f"{finding['location']}: {finding['message']}" for finding in findings)
    problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, INVALID_INPUT, detail)
    return respond(problem, {"errors": findings})


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # The framework's word for a body that it cannot decode.
        return await _on_invalid(request, invalid("body", str(error.detail)))
    return respond_to_http_error(error)


def respond_to_http_error(error: HTTPException) -> JSONResponse:
    """The response for an error that the framework, not we, found."""
    status = HTTPStatus(error.status_code)
    return respond(Problem(status, HTTP_CODES.get(status, "http_error"), str(error.detail), error.headers))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected error", method=request.method, path=request.url.path, exc_info=error)
    problem = translate(error)
    # This answer is given outside the middleware that gives all others their id, and needs it most.
    problem.headers["X-Request-ID"] = correlation_id.get() or ""
    return respond(problem)
