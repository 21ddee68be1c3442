"""A worker's metrics over HTTP, in a thread of its own. Each worker process has a port: it counts for itself."""

import structlog
from prometheus_client import start_http_server

from shared import metrics
from shared.rules import Operation, Reason, Status
from shared.settings import Settings

log = structlog.get_logger()


def export_metrics(settings: Settings) -> None:
    """Answer Prometheus on the worker's port from now on, if it has one.

    A port in use costs the metrics, not the registrations: the worker works on, and the missing target raises an alert.
    """
    if not settings.metrics_port:
        return
    _begin_at_zero()
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        log.warning("no metrics", port=settings.metrics_port, problem=str(error))


def _begin_at_zero() -> None:
    """Prometheus sees no increase in a counter that appears with its first failure already counted."""
    for operation in (*Operation, metrics.UNKNOWN):
        metrics.OUTCOMES.labels(operation, Status.FAILED, "", Reason.INTERNAL_ERROR)
    for part in metrics.RETRY_PARTS:
        metrics.RETRIES.labels(part)
    for reason in metrics.HELD_REASONS:
        metrics.HELD_COURSES.labels(reason)
