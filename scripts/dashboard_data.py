"""The data behind the dashboard's pages where RQ dashboard's own would be slow with thousands of queues, or unsafe to show."""

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import redis
from flask import Flask, Response, jsonify, request, url_for

from shared.course_queue.overview import QueueOverview, queue_overviews

# RQ dashboard's name of a registry -> the field of its count.
REGISTRIES = {
    "queued": "count",
    "failed": "failed_job_registry_count",
    "started": "started_job_registry_count",
    "deferred": "deferred_job_registry_count",
    "finished": "finished_job_registry_count",
    "canceled": "canceled_job_registry_count",
    "scheduled": "scheduled_job_registry_count",
}
QUEUE_PLACEHOLDER = "QUEUE"
FRONT_PAGE = "rq_dashboard.queues_overview"
SUSPENDED = "suspended"
# A worker serves hundreds of queues; its row names so many of them.
WORKER_QUEUES_SHOWN = 3
# Their pages put these texts into HTML as they are, and whoever fills a catalogue or a queue decides on them.
ESCAPED_VIEWS = frozenset({"rq_dashboard.job_info", "rq_dashboard.list_queues", "rq_dashboard.list_workers"})


def replace_views(app: Flask, client: redis.Redis) -> None:
    """Serve the list of queues from a few round trips, and make what the pages show harmless."""
    app.view_functions["rq_dashboard.list_queues"] = _list_queues(client)
    app.view_functions[FRONT_PAGE] = _front_page(app.view_functions[FRONT_PAGE], client)
    app.after_request(_make_harmless)


def _front_page(view: Callable[..., Any], client: redis.Redis) -> Callable[..., Any]:
    """RQ dashboard's own is a 200 that says no more than `Connection Error` while Redis is away."""

    def front_page(**arguments: Any) -> Any:
        client.ping()
        return view(**arguments)

    return front_page


def _list_queues(client: redis.Redis) -> Callable[[int], Response]:
    """RQ dashboard asks Redis seven times a queue, and makes seven URLs."""

    def list_queues(instance_number: int) -> Response:
        urls = _url_patterns(instance_number)
        overviews = sorted(queue_overviews(client), key=_urgency)
        response = jsonify(queues=[_queue_document(overview, urls) for overview in overviews])
        response.headers["Cache-Control"] = "no-store"
        return response

    return list_queues


def _urgency(overview: QueueOverview) -> tuple[int, int, str, str]:
    """What somebody must look at comes first: failed requests, then the longest queues."""
    return -overview.failed, -overview.queued, overview.title, overview.name


def _url_patterns(instance_number: int) -> dict[str, tuple[str, str]]:
    """Registry -> the parts of its page's URL before and after the queue's name."""
    patterns = {}
    for registry in REGISTRIES:
        url = url_for(
            "rq_dashboard.jobs_overview",
            instance_number=instance_number,
            queue_name=QUEUE_PLACEHOLDER,
            registry_name=registry,
            per_page="8",
            order="asc",
            page="1",
        )
        before, _, after = url.partition(QUEUE_PLACEHOLDER)
        patterns[registry] = (before, after)
    return patterns


def _queue_document(overview: QueueOverview, urls: dict[str, tuple[str, str]]) -> dict[str, Any]:
    quoted = quote(overview.name, safe="")
    document: dict[str, Any] = {"name": " · ".join(filter(None, (overview.title, overview.name)))}
    for registry, field in REGISTRIES.items():
        before, after = urls[registry]
        document[field] = getattr(overview, registry)
        document[f"{registry}_url"] = f"{before}{quoted}{after}"
    return document


def _make_harmless(response: Response) -> Response:
    if request.endpoint in ESCAPED_VIEWS and response.is_json:
        document = response.get_json()
        for worker in document.get("workers", []):
            worker["queues"] = _shortened(worker["queues"])
            # The page calls everybody idle who has no job in hand.
            if worker["state"] == SUSPENDED:
                worker["name"] += f" · {SUSPENDED}"
        headers = response.headers
        response = jsonify(_escaped(document))
        response.headers["Cache-Control"] = headers.get("Cache-Control", "no-store")
    return response


def _shortened(names: list[str]) -> list[str]:
    if len(names) <= WORKER_QUEUES_SHOWN:
        return names
    return [*names[:WORKER_QUEUES_SHOWN], f"and {len(names) - WORKER_QUEUES_SHOWN:,} more"]


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return html.escape(value)
        case list():
            return [_escaped(item) for item in value]
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case _:
            return value
