"""The student's own requests, and waiting for one to be decided."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.dependencies import CurrentStudent, RequestId, ServicesOf
from api.documentation import POLL_AFTER, problem_responses
from api.schemas import Id, RegistrationRequest, RequestPage
from api.tracking import (
    Document,
    current_document,
    final_document,
    is_final,
    ledger_document,
    poll_interval_s,
)
from shared.course_queue.lookups import waiting_of
from shared.store import students

router = APIRouter(
    prefix="/requests",
    tags=["requests"],
    responses=problem_responses(
        "invalid_token", "invalid_input", "queue_unavailable", "database_unavailable"
    ),
)

STATUS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": RegistrationRequest,
        "headers": {"Retry-After": POLL_AFTER},
    },
    **problem_responses("not_found"),
}


@router.get("/{request_id}", summary="One request", response_model=None, responses=STATUS_RESPONSES)
async def get_request(
    services: ServicesOf,
    student: CurrentStudent,
    request_id: RequestId,
    wait: Annotated[
        int, Query(ge=0, le=30, description="Wait up to so many seconds for a final status.")
    ] = 0,
) -> JSONResponse:
    """A request and what became of it. Another student's does not exist."""
    wait_s = min(wait, services.settings.wait_max_s)
    document = await final_document(services, request_id, student.student_id, wait_s)
    headers = {} if is_final(document) else {"Retry-After": str(poll_interval_s(document))}
    return JSONResponse(document, HTTPStatus.OK, headers)


@router.get("", summary="My requests", response_model=RequestPage, responses=problem_responses("not_found"))
async def list_requests(
    services: ServicesOf,
    student: CurrentStudent,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[Id | None, Query(description="The `next` of the page before.")] = None,
) -> JSONResponse:
    """The student's own requests, waiting ones included, newest first."""
    before = _place(await current_document(services, after, student.student_id)) if after else None
    waiting = await waiting_of(services.redis, student.student_id)
    finished = await services.database.read(students.finished_requests, student.student_id, limit + 1, before)
    documents = {entry.document["request_id"]: entry.document for entry in waiting}
    documents |= {row["request_id"]: ledger_document(row) for row in finished}
    newest = sorted(documents.values(), key=_place, reverse=True)
    rest = [document for document in newest if before is None or _place(document) < before]
    page = rest[:limit]
    more = page[-1]["request_id"] if len(rest) > limit else None
    # Not through the model, which would write a time in whole seconds without its fraction.
    return JSONResponse({"requests": page, "next": more})


def _place(document: Document) -> tuple[str, str]:
    return document["accepted_at"] or "", document["request_id"]
