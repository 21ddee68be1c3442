"""For load balancers and ops: is the process alive, can it accept, and what has been counted."""

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.counted import text_of
from api.dependencies import ServicesOf
from api.health import PAUSED, postgresql_state, redis_state, workers_state
from api.schemas import Health
from api.state_metrics import StateMetrics

router = APIRouter(tags=["operations"])


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
    """503 when Redis cannot take requests.

    With PostgreSQL away, or the workers paused by an operator, accepting goes on, so that is `degraded`, 200.
    """
    redis, postgresql, workers = await asyncio.gather(
        redis_state(services), postgresql_state(services), workers_state(services)
    )
    dependencies = {"redis": redis, "postgresql": postgresql, "workers": workers}
    if redis != "ok":
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status="unavailable", dependencies=dependencies)
    whole = postgresql == "ok" and workers != PAUSED
    return Health(status="ok" if whole else "degraded", dependencies=dependencies)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """What all API processes of this machine have counted, and the state of the system, in Prometheus' text format."""
    state: StateMetrics = request.app.state.state_metrics
    await state.refresh()
    return Response(await asyncio.to_thread(text_of, state), media_type=CONTENT_TYPE_LATEST)
