"""Finding out what became of a request: from Redis while it waits, from the ledger for good."""

import asyncio
import time
from typing import Any

from sqlalchemy import RowMapping

from api.hub import Waiter
from api.problems import not_found
from api.services import Services
from shared.course_queue.lookups import Found, look_up, show_outcome
from shared.errors import DatabaseUnavailableError, QueueUnavailableError
from shared.requests import bears_mark_of, rfc3339
from shared.rules import Status
from shared.store import students

Document = dict[str, Any]

WHAT = "request"

# A missed hint costs a waiting client this much at the most. After a gap in the subscription everybody looks at once.
LOOK_AGAIN_S = 10.0
POLL_INTERVAL_MAX_S = 30


async def current_document(services: Services, request_id: str, student_id: str) -> Document:
    """A student's request as it is now.

    Redis is asked before the ledger: a request leaves Redis only after its ledger row is committed, so in this order it
    cannot be missed by both. The ledger is asked even while Redis shows it waiting, so that no answer is ever older
    than one already given from the ledger; and what is told from there Redis shows as well from then on, so that this
    holds while PostgreSQL is away.

    Raises Problem 404 when there is none or it is another student's, or the error of the part that could not be asked.
    """
    found, queue_error = await _look_up(services, request_id)
    if found is not None and found.student_id != student_id:
        raise not_found(WHAT)
    if found is not None and found.final:
        return found.document
    try:
        row = await services.database.read(students.finished_request, request_id)
    except DatabaseUnavailableError:
        if found is None:
            raise
        return found.document
    if row is not None:
        if not _is_own(row, student_id):
            raise not_found(WHAT)
        return await _told(services, ledger_document(row), waiting=found is not None)
    if found is not None:
        return found.document
    if queue_error is not None:
        raise queue_error
    raise not_found(WHAT)


async def _told(services: Services, document: Document, *, waiting: bool) -> Document:
    """A final document, after Redis shows it too where it still waits: PostgreSQL may be away at the next look."""
    if waiting:
        await show_outcome(services.redis, document["request_id"], document)
    return document


def _is_own(row: RowMapping, student_id: str) -> bool:
    """A request that could not be read has no student in the ledger, but its id tells whose it was."""
    if row["student_id"] is None:
        return bears_mark_of(row["request_id"], student_id)
    return bool(row["student_id"] == student_id)


async def _look_up(services: Services, request_id: str) -> tuple[Found | None, QueueUnavailableError | None]:
    try:
        return await look_up(services.redis, request_id), None
    except QueueUnavailableError as error:
        return None, error


def ledger_document(row: RowMapping) -> Document:
    """The document of a finished request, the same to the letter as the one its outcome was published with."""
    return {
        "request_id": row["request_id"],
        "course_id": row["course_id"],
        "operation": row["operation"],
        "status": row["status"],
        "result": row["result"],
        "reason": row["reason"],
        "reserve_position": row["reserve_position"],
        "sequence": row["sequence"],
        "ahead": None,
        "estimated_wait_ms": None,
        "accepted_at": rfc3339(row["accepted_at"]),
        "applied_at": rfc3339(row["applied_at"]),
    }


async def final_document(services: Services, request_id: str, student_id: str, wait_s: float) -> Document:
    """A student's request once it is final, or as it is after `wait_s` seconds. Raises as `current_document`."""
    deadline = time.monotonic() + wait_s
    while True:
        with services.hub.waiting(request_id) as waiter:
            document = await current_document(services, request_id, student_id)
            remaining_s = deadline - time.monotonic()
            if is_final(document) or remaining_s <= 0 or services.hub.closing:
                return document
            outcome = await wait_for(waiter, min(remaining_s, LOOK_AGAIN_S))
            if outcome is not None:
                return outcome


async def wait_for(waiter: Waiter, timeout_s: float) -> Document | None:
    """The outcome if it is heard in time, else None."""
    try:
        return await asyncio.wait_for(waiter, timeout_s)
    except TimeoutError:
        return None


def is_final(document: Document) -> bool:
    """Whether nothing will change any more."""
    return bool(document["status"] != Status.QUEUED)


def poll_interval_s(document: Document) -> int:
    """When to ask again: about when the queue will have come to this request."""
    return min(max(1, (document["estimated_wait_ms"] or 0) // 1000), POLL_INTERVAL_MAX_S)
