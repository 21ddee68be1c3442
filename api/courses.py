"""One course, and asking to register for it or to drop it."""

import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from asgi_correlation_id import correlation_id
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.dependencies import (
    SUBMIT_HEADERS,
    CourseId,
    CurrentStudent,
    ServicesOf,
    idempotency_key,
    preferred_wait_s,
    services_of,
)
from api.documentation import LOCATION, POLL_AFTER, PREFERENCE_APPLIED, page_responses, problem_responses
from api.hot_routes import SubmissionRoute
from api.problems import Problem, not_found
from api.schemas import WAITING_EXAMPLE, Course, RegistrationRequest
from api.services import Services
from api.tracking import (
    LOOK_AGAIN_S,
    Document,
    current_document,
    final_document,
    is_final,
    poll_interval_s,
    wait_for,
)
from shared.course_queue.accepting import Asked
from shared.course_queue.lookups import request_of_key
from shared.requests import Place, new_request_id, waiting_document
from shared.rules import Operation, Reason, Window
from shared.security import Identity
from shared.store import catalogue

router = APIRouter(prefix="/courses", tags=["courses"])
submissions = APIRouter(prefix="/courses", tags=["courses"], route_class=SubmissionRoute)

# The window is judged by Redis' clock when the request is accepted; ours may differ by this much before we refuse.
CLOCK_TOLERANCE = timedelta(seconds=5)

SUBMIT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RegistrationRequest,
        "description": "The final outcome, in the time that `Prefer: wait` allowed.",
        "headers": {"Location": LOCATION, "Preference-Applied": PREFERENCE_APPLIED},
    },
    202: {
        "model": RegistrationRequest,
        "description": "Accepted for good, in its place in the order.",
        "headers": {"Location": LOCATION, "Retry-After": POLL_AFTER},
        "content": {"application/json": {"example": WAITING_EXAMPLE}},
    },
    **problem_responses(
        "invalid_token",
        "not_found",
        "body_too_slow",
        "registration_not_open",
        "registration_closed",
        "content_too_large",
        "invalid_input",
        "idempotency_key_reused",
        "too_many_waiting",
        "too_many_submissions",
        "queue_full",
        "queue_unavailable",
        "database_unavailable",
    ),
}


@router.get(
    "/{course_id}",
    summary="One course",
    response_model=Course,
    responses=page_responses() | problem_responses("not_found", "invalid_input", "database_unavailable"),
)
async def get_course(request: Request, services: ServicesOf, course_id: CourseId) -> Response:
    """One course with its counts, a few seconds old at the most. Open to all."""

    async def make() -> Course:
        row = await services.database.read(catalogue.course, course_id)
        if row is None:
            raise not_found("course")
        return Course.model_validate(dict(row))

    return await services.pages.answer(request, course_id, make)


@submissions.post(
    "/{course_id}/register",
    summary="Ask for a place",
    status_code=HTTPStatus.ACCEPTED,
    response_model=None,
    responses=SUBMIT_RESPONSES,
    openapi_extra=SUBMIT_HEADERS,
)
async def register(request: Request, student: CurrentStudent, course_id: CourseId) -> JSONResponse:
    """Ask for a seat, or for a position on the reserve list when there is none. Safe to repeat."""
    return await _submit(request, student, course_id, Operation.REGISTER)


@submissions.post(
    "/{course_id}/drop",
    summary="Give a place back",
    status_code=HTTPStatus.ACCEPTED,
    response_model=None,
    responses=SUBMIT_RESPONSES,
    openapi_extra=SUBMIT_HEADERS,
)
async def drop(request: Request, student: CurrentStudent, course_id: CourseId) -> JSONResponse:
    """Give a seat or a reserve position back; a freed seat goes to the head of the reserve list. Safe to repeat."""
    return await _submit(request, student, course_id, Operation.DROP)


async def _submit(request: Request, student: Identity, course_id: str, operation: Operation) -> JSONResponse:
    services = services_of(request)
    services.budget.spend(student.student_id)
    key = idempotency_key(request.headers)
    wait_s = preferred_wait_s(request.headers, services.settings.wait_max_s)
    course = await services.catalogue.find(course_id)
    if course is None:
        raise not_found("course")
    asked = Asked(
        new_request_id(student.student_id),
        student.student_id,
        course_id,
        course.title,
        operation,
        key,
        correlation_id.get() or "",
    )
    outside = _window_problem(course.window)
    if outside is not None:
        return _response(await _repeated(services, asked, wait_s or 0, outside), wait_s)
    document = await (_accept_and_wait(services, asked, wait_s) if wait_s else _accept(services, asked))
    return _response(document, wait_s)


def _window_problem(window: Window) -> Problem | None:
    """What is plainly outside the window is refused at once; whether a close call is inside, the worker decides."""
    now = datetime.now(UTC)
    early, late = window.refusal(now + CLOCK_TOLERANCE), window.refusal(now - CLOCK_TOLERANCE)
    if early is Reason.REGISTRATION_NOT_OPEN:
        detail = f"Registration opens at {window.opens_at.isoformat()}."
        return Problem(HTTPStatus.CONFLICT, early, detail)
    if late is Reason.REGISTRATION_CLOSED:
        detail = f"Registration closed at {window.closes_at.isoformat()}."
        return Problem(HTTPStatus.CONFLICT, late, detail)
    return None


async def _repeated(services: Services, asked: Asked, wait_s: int, outside: Problem) -> Document:
    """Outside the window only the request that the key stands for: its client may have missed the answer at closing."""
    request_id = await request_of_key(services.redis, services.settings, asked)
    if request_id is None:
        raise outside
    return await final_document(services, request_id, asked.student_id, wait_s)


async def _accept(services: Services, asked: Asked) -> Document:
    """Put the request in its queue and tell its place, or how the one stands that it repeats."""
    accepted = await services.acceptor.accept(asked)
    if isinstance(accepted, Place):
        return waiting_document(asked.course_id, asked.operation, accepted)
    return await current_document(services, accepted.request_id, asked.student_id)


async def _accept_and_wait(services: Services, asked: Asked, wait_s: int) -> Document:
    """Put the request in its queue and wait for its outcome, or for that of the one it repeats."""
    started = time.monotonic()
    with services.hub.waiting(asked.request_id) as waiter:
        accepted = await services.acceptor.accept(asked)
        if isinstance(accepted, Place):
            outcome = await wait_for(waiter, min(wait_s, LOOK_AGAIN_S))
            if outcome is not None:
                return outcome
    remaining_s = wait_s - (time.monotonic() - started)
    return await final_document(services, accepted.request_id, asked.student_id, remaining_s)


def _response(document: Document, wait_s: int | None) -> JSONResponse:
    headers = {"Location": f"/requests/{document['request_id']}"}
    if wait_s and is_final(document):
        headers["Preference-Applied"] = f"wait={wait_s}"
        return JSONResponse(document, HTTPStatus.OK, headers)
    headers["Retry-After"] = str(poll_interval_s(document))
    return JSONResponse(document, HTTPStatus.ACCEPTED, headers)
