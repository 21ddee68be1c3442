"""What the OpenAPI document says beyond what FastAPI finds out: every problem by its code, every header, with examples."""

from http import HTTPStatus
from itertools import groupby
from typing import Any

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:course-registration:problem:"
EXAMPLE_ID = "3f0e9c2a-6d1b-4f0e-9a51-0c7f4f1e2b8d"

PROBLEMS: dict[str, tuple[int, str]] = {
    "invalid_token": (401, "The token is missing, forged, expired or not one of ours."),
    "wrong_credentials": (401, "The student number or the password is wrong."),
    "not_found": (404, "There is no such thing, or it is not yours to see."),
    "body_too_slow": (408, "A body sent in chunks did not come to an end in time."),
    "registration_not_open": (409, "Registration opens at 2026-09-01T08:00:00+00:00."),
    "registration_closed": (409, "Registration closed at 2026-09-14T20:00:00+00:00."),
    "content_too_large": (413, "The body is larger than any request needs."),
    "invalid_input": (422, "Input that fails validation, headers included; `errors` says where."),
    "password_too_long": (422, "A password may have at most 72 bytes in UTF-8."),
    "idempotency_key_reused": (422, "The Idempotency-Key was already used for another request."),
    "too_many_waiting": (429, "The student has as many requests waiting as one student may have."),
    "too_many_submissions": (429, "More than 300 submissions in a minute."),
    "too_many_failed_logins": (429, "Too many failed logins; wait a minute."),
    "queue_full": (503, "The course has as many requests waiting as it may have."),
    "login_busy": (503, "Too many logins at this moment."),
    "queue_unavailable": (503, "Requests cannot be taken now; repeat with the same Idempotency-Key."),
    "database_unavailable": (503, "This cannot be looked up now."),
}
"""Stable code -> (status, an example of what it says)."""

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "description": "RFC 9457 problem details; `code` is stable, texts are for people.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["location", "message"],
                "properties": {"location": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}

Header = dict[str, Any]

LOCATION: Header = {
    "description": "Where to poll.",
    "schema": {"type": "string"},
    "example": f"/requests/{EXAMPLE_ID}",
}
POLL_AFTER: Header = {
    "description": "Seconds until polling is worth it; only while QUEUED.",
    "schema": {"type": "integer"},
    "example": 1,
}
PREFERENCE_APPLIED: Header = {
    "description": "The wait that was granted.",
    "schema": {"type": "string"},
    "example": "wait=10",
}
RETRY_AFTER: Header = {
    "description": "Seconds to wait before trying again.",
    "schema": {"type": "integer"},
    "example": 2,
}
CHALLENGE: Header = {
    "description": "How to authenticate.",
    "schema": {"type": "string"},
    "example": "Bearer",
}
ETAG: Header = {
    "description": "Names this version of the page, for `If-None-Match`.",
    "schema": {"type": "string"},
    "example": '"5f8a1b7cdb2d4c0e9a3b6f1d2e4c7a90"',
}
CACHE_CONTROL: Header = {
    "description": "For how many seconds the page may be kept.",
    "schema": {"type": "string"},
    "example": "public, max-age=2",
}
REQUEST_ID: Header = {
    "description": "Names this HTTP call in the logs.",
    "schema": {"type": "string"},
    "example": "2c439f3e0af54b81a70d99a8ce390087",
}


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the problems a route may answer with, one per status, an example per code."""
    ordered = sorted(codes, key=lambda code: PROBLEMS[code][0])
    return {
        status: _problem_response(status, list(same_status))
        for status, same_status in groupby(ordered, key=lambda code: PROBLEMS[code][0])
    }


def page_responses() -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of a page that is the same for everybody."""
    headers = {"ETag": ETAG, "Cache-Control": CACHE_CONTROL}
    return {
        200: {"headers": headers},
        304: {"description": "The page is still the one named in `If-None-Match`.", "headers": headers},
    }


def _problem_response(status: int, codes: list[str]) -> dict[str, Any]:
    headers: dict[str, Header] = {}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = RETRY_AFTER
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = CHALLENGE
    return {
        "description": " Or: ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes),
        "headers": headers,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"value": _example(status, code)} for code in codes},
            }
        },
    }


def _example(status: int, code: str) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": PROBLEMS[code][1],
    }


def complete(document: dict[str, Any]) -> None:
    """Put our problem schema in place of FastAPI's own error schemas, and the header that every answer has."""
    schemas = document["components"]["schemas"]
    schemas["Problem"] = PROBLEM_SCHEMA
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for item in document["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = REQUEST_ID
