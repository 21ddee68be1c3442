"""For load balancers and ops: is the process alive, can it accept, and what has it counted."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.dependencies import ServicesOf
from api.schemas import Health
from api.services import Services
from shared.course_queue.connection import RedisFailure, verify_durability, verify_writable
from shared.database import ping
from shared.errors import RegistrationSystemError

router = APIRouter(tags=["operations"])

CHECK_TIMEOUT_S = 2.0


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Health:
    """200 as long as the event loop turns."""
    return Health(status="ok", dependencies={})


@router.get(
    "/health/ready",
    summary="Can it accept requests?",
    responses={503: {"model": Health, "description": "Nothing can be accepted now."}},
)
async def ready(services: ServicesOf, response: Response) -> Health:
    """503 when Redis cannot take requests; with PostgreSQL away accepting goes on, so that is `degraded`, 200."""
    redis_state, postgresql_state = await asyncio.gather(
        _state(_take_requests(services)), _state(_ping(services))
    )
    dependencies = {"redis": redis_state, "postgresql": postgresql_state}
    if redis_state != "ok":
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status="unavailable", dependencies=dependencies)
    return Health(status="ok" if postgresql_state == "ok" else "degraded", dependencies=dependencies)


async def _take_requests(services: Services) -> None:
    await verify_durability(services.redis, services.settings)
    await verify_writable(services.redis)


async def _ping(services: Services) -> None:
    await services.database.read(ping)


async def _state(check: Awaitable[Any]) -> str:
    try:
        await asyncio.wait_for(check, CHECK_TIMEOUT_S)
    except RegistrationSystemError as error:
        return str(error)
    except (*RedisFailure, TimeoutError):
        return "does not answer"
    return "ok"


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics() -> Response:
    """What this process has counted, in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
