"""Logging in: a student number and a password against a bearer token."""

from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import APIRouter, Form, Request

from api.dependencies import ServicesOf
from api.documentation import problem_responses
from api.problems import CHALLENGE, Problem
from api.schemas import Credentials, PasswordForm, Token
from api.services import Services
from shared import metrics
from shared.errors import DatabaseUnavailableError, PasswordTooLongError
from shared.security import (
    PASSWORD_BYTES_MAX,
    hash_cost,
    hash_password,
    issue_token,
    nobodys_hash,
    verify_password,
)
from shared.store import students

log = structlog.get_logger()

router = APIRouter(
    prefix="/auth",
    tags=["auth"],
    responses=problem_responses(
        "wrong_credentials",
        "body_too_slow",
        "content_too_large",
        "invalid_input",
        "password_too_long",
        "too_many_failed_logins",
        "login_busy",
        "database_unavailable",
    ),
)


@router.post("/login", summary="Log in with JSON")
async def log_in(request: Request, services: ServicesOf, given: Credentials) -> Token:
    """A token for a student number and a password. It lasts long enough to log in before opening morning."""
    return await _token_for(services, given.student_number, given.password, _address(request))


@router.post("/token", summary="Log in with an OAuth2 password form")
async def log_in_with_form(
    request: Request, services: ServicesOf, form: Annotated[PasswordForm, Form()]
) -> Token:
    """The same with `username` and `password` as a form: what the Authorize button of /docs sends."""
    return await _token_for(services, form.username, form.password, _address(request))


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


async def _token_for(services: Services, student_number: str, password: str, address: str) -> Token:
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise PasswordTooLongError
    async with services.hashing.place():
        known = await _authenticated(services, student_number, password, address)
    token, expires_in = issue_token(services.settings, known.student_id, student_number)
    return Token(access_token=token, expires_in=expires_in)


async def _authenticated(
    services: Services, student_number: str, password: str, address: str
) -> students.Credentials:
    await services.login_limits.require_within(student_number, address)
    known = await services.database.read(students.credentials, student_number)
    cost = services.settings.bcrypt_cost
    password_hash = nobodys_hash(cost) if known is None else known.password_hash
    matches = await services.hashing.run(verify_password, password, password_hash, cost)
    if known is None or not matches:
        metrics.LOGINS.labels("wrong").inc()
        await services.login_limits.count_failure(student_number, address)
        detail = "The student number or the password is wrong."
        raise Problem(HTTPStatus.UNAUTHORIZED, "wrong_credentials", detail, CHALLENGE)
    metrics.LOGINS.labels("ok").inc()
    await services.login_limits.count_success(student_number, address)
    await _upgrade_hash(services, known, password)
    return known


async def _upgrade_hash(services: Services, known: students.Credentials, password: str) -> None:
    """Hash again when the configured cost has risen since: only now is the password at hand. If not now, next time."""
    cost = services.settings.bcrypt_cost
    if hash_cost(known.password_hash) < cost:
        try:
            new_hash = await services.hashing.run(hash_password, password, cost)
            await services.database.write(
                students.replace_hash, known.student_id, known.password_hash, new_hash
            )
        except (Problem, DatabaseUnavailableError) as error:
            log.warning("hash not upgraded", problem=str(error.__cause__ or error)[:200])
