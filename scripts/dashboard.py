"""The RQ dashboard, read-only and behind a password.

Its buttons would requeue, empty or delete a course's queue, and so reorder or lose accepted requests. Only the pages that
show something are served; everything else is refused, whatever a newer version of it may add.
"""

import hmac
import signal
import sys
from http import HTTPStatus
from typing import Any

import redis
import rq_dashboard.web
import typer
from flask import Flask, Response, request
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console
from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from werkzeug.serving import WSGIRequestHandler, make_server

from scripts.dashboard_data import replace_views
from shared.settings import secrets_dir, with_password

READ_METHODS = frozenset({"GET", "HEAD"})
READ_VIEWS = frozenset({"static"}) | frozenset(
    f"rq_dashboard.{view}"
    for view in (
        "static",
        "favicon",
        "queues_overview",
        "workers_overview",
        "jobs_overview",
        "job_view",
        "list_queues",
        "list_jobs",
        "job_info",
        "list_workers",
    )
)
REDIS_TIMEOUT_S = 5
POLL_INTERVAL_MS = 2_500
# The setting that hides the delete buttons leaves these; and a line per queue shows more of thousands.
PAGE_STYLE = (
    b"<style>#compact-btn,#requeue-all-btn,#requeue-job-btn,[data-role=requeue-job-btn]"
    b"{display:none!important}"
    b".container{max-width:1600px}#queues td{padding:.3rem .75rem}#queues td:first-child{white-space:nowrap}"
    b"</style></head>"
)


class DashboardSettings(BaseSettings):
    """Where the dashboard listens, what it shows, and who may look; read as all settings are."""

    model_config = SettingsConfigDict(
        secrets_dir=secrets_dir(), env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_password: str = Field("", repr=False)
    rq_dashboard_username: str = "ops"
    rq_dashboard_password: str = Field(min_length=1, repr=False)
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = 9181

    @property
    def complete_redis_url(self) -> str:
        """The URL with its password, wherever that was given."""
        return with_password(self.redis_url, self.redis_password)


class JsonJob(Job):
    """A job that is never unpickled, for whoever can write to Redis could have any code run by a pickle."""

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Job:  # noqa: A002 - RQ's signature
        """Fetch as RQ does, with JSON whatever the caller asked for."""
        del serializer
        return super().fetch(id, connection=connection, serializer=JSONSerializer)

    def return_value(self, refresh: bool = False) -> Any:  # noqa: FBT001, FBT002 - RQ's signature
        """The outcome, which stands in the job itself."""
        if refresh:
            self.refresh()  # type: ignore[no-untyped-call]
        return self._result


class JsonWorker(Worker):
    """A worker whose current job is read as JSON; the dashboard asks for none in particular."""

    @classmethod
    def all(cls, *args: Any, **kwargs: Any) -> Any:
        """Every registered worker."""
        return super().all(*args, **kwargs | {"job_class": JsonJob, "serializer": JSONSerializer})


class QuietHandler(WSGIRequestHandler):
    """Logs no requests: every open page polls every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def create_app(settings: DashboardSettings) -> Flask:
    """The dashboard as a WSGI application. RQ's dashboard keeps its state in its module, so one per process."""
    # Its pages ask the application, not the blueprint, for their icon.
    app = Flask(__name__, static_folder=rq_dashboard.web.blueprint.static_folder)
    app.config["RQ_DASHBOARD_REDIS_URL"] = (settings.complete_redis_url,)
    app.config["RQ_DASHBOARD_DISABLE_DELETE"] = True
    app.config["RQ_DASHBOARD_POLL_INTERVAL"] = POLL_INTERVAL_MS
    client = redis.Redis.from_url(
        settings.complete_redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )
    _read_json_only(client)
    rq_dashboard.web.setup_rq_connection(app)
    app.before_request(lambda: _refusal(settings))
    app.after_request(_finish_page)
    app.register_error_handler(NoSuchJobError, _no_such_job)
    app.register_error_handler(redis.RedisError, _redis_away)
    app.register_blueprint(rq_dashboard.web.blueprint)
    replace_views(app, client)
    return app


def _read_json_only(client: redis.Redis) -> None:
    """Put our classes in place of those the dashboard imported, and our client for the one it makes per request."""
    rq_dashboard.web.config.serializer = JSONSerializer
    rq_dashboard.web.Job = JsonJob
    rq_dashboard.web.Worker = JsonWorker
    rq_dashboard.web.from_url = lambda *_args, **_options: (None, client)


def _refusal(settings: DashboardSettings) -> Response | None:
    """The answer to whoever may not see this; None lets the request through. The password is asked for first."""
    if not _is_authenticated(settings):
        challenge = {"WWW-Authenticate": 'Basic realm="RQ dashboard", charset="UTF-8"'}
        return Response("Log in to see the queues.\n", HTTPStatus.UNAUTHORIZED, challenge)
    if request.method not in READ_METHODS:
        return Response("Read-only.\n", HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
    if request.endpoint is not None and request.endpoint not in READ_VIEWS:
        return Response("Read-only.\n", HTTPStatus.FORBIDDEN)
    if (request.view_args or {}).get("instance_number", 0) != 0:
        return Response("There is one Redis.\n", HTTPStatus.NOT_FOUND)
    return None


def _is_authenticated(settings: DashboardSettings) -> bool:
    """Compare both parts always and in constant time, so that the time taken tells nothing."""
    given = request.authorization
    username = (given.username if given else None) or ""
    password = (given.password if given else None) or ""
    username_fits = hmac.compare_digest(username.encode(), settings.rq_dashboard_username.encode())
    password_fits = hmac.compare_digest(password.encode(), settings.rq_dashboard_password.encode())
    return username_fits and password_fits


def _finish_page(response: Response) -> Response:
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "text/html" and not response.direct_passthrough:
        response.set_data(response.get_data().replace(b"</head>", PAGE_STYLE, 1))
    return response


def _no_such_job(_error: Exception) -> Response:
    return Response("No such job; finished ones are shown for a short time only.\n", HTTPStatus.NOT_FOUND)


def _redis_away(_error: Exception) -> Response:
    return Response("Redis does not answer.\n", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})


def serve() -> None:
    """Serve the RQ dashboard, read-only.

    Environment: REDIS_URL, REDIS_PASSWORD, RQ_DASHBOARD_USERNAME (default ops), RQ_DASHBOARD_PASSWORD (required),
    DASHBOARD_HOST (default 127.0.0.1), DASHBOARD_PORT (default 9181).
    """
    try:
        settings = DashboardSettings()
    except ValidationError as error:
        wrong = ", ".join(str(each["loc"][0]).upper() for each in error.errors())
        Console(stderr=True).print(f"The dashboard cannot start without a proper {wrong}.", style="red")
        raise typer.Exit(1) from error
    server = make_server(
        settings.dashboard_host,
        settings.dashboard_port,
        create_app(settings),
        threaded=True,
        request_handler=QuietHandler,
    )
    # As a container's first process it would not hear a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Console().print(f"RQ dashboard on http://{settings.dashboard_host}:{settings.dashboard_port}/")
    server.serve_forever()


if __name__ == "__main__":
    typer.run(serve)
