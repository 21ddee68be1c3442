"""The application: routes, error handling and start-up put together. Run with `python -m api`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from structlog.typing import EventDict

from api import auth, courses, documentation, operations, problems, requests, semesters
from api.body_limit import BodyLimit
from api.door import HASHING
from api.services import running_services
from api.state_metrics import StateMetrics
from api.stopping import told_to_stop
from shared.logs import configure_logging
from shared.settings import Settings, load_settings

DESCRIPTION = """
Submit, then poll: `POST /courses/{id}/register` answers 202 with a `Location`; `GET` it with `?wait=30` until the
status is final. Or let the server wait: `Prefer: wait=10` answers 200 with the outcome.
Every call is safe to repeat, best with an `Idempotency-Key`. `Retry-After` says when to come back.
"""


def add_correlation_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Every line written during a call bears the `X-Request-ID` that its client was answered with."""
    current = correlation_id.get()
    if current is not None:
        event["correlation_id"] = current
    return event


class Application(FastAPI):
    """FastAPI, with an OpenAPI document that says all there is to know."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            documentation.complete(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def create_app(settings: Settings) -> FastAPI:
    """The application with these settings; it connects when it starts."""
    configure_logging(settings.log_level, add_correlation_id)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with running_services(settings) as services:
            app.state.services = services
            app.state.state_metrics = StateMetrics(services)
            with told_to_stop(services.stop_waiting):
                yield {HASHING: services.hashing}

    app = Application(
        title="Course registration", version="0.1.0", description=DESCRIPTION, lifespan=lifespan
    )
    problems.install(app)
    # Directly on the application and before all others: looking a route up in included routers costs more than our work.
    app.router.routes[:0] = [*courses.submissions.routes, *semesters.own.routes]
    for module in (auth, semesters, courses, requests, operations):
        app.include_router(module.router)
    app.add_middleware(BodyLimit, max_bytes=settings.request_body_max_bytes)
    app.add_middleware(CorrelationIdMiddleware)
    return app


app = create_app(load_settings())
