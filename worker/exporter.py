"""A worker's metrics over HTTP, in a thread of its own. Each worker process has a port: it counts for itself."""

import structlog
from prometheus_client import start_http_server

from shared.settings import Settings

log = structlog.get_logger()


def export_metrics(settings: Settings) -> None:
    """Answer Prometheus on the worker's port from now on, if it has one.

    A port in use costs the metrics, not the registrations: the worker works on, and the missing target raises an alert.
    """
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        log.warning("no metrics", port=settings.metrics_port, problem=str(error))
