"""With a collector named, a request is one trace from its POST to its publication, under its own id."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

messages = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="OpenTelemetry is not installed (requirements-otel.txt)",
)


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An OTLP collector; the block gets its address and the growing list of (service, span)."""
    spans: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in messages.ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    spans.extend((names["service.name"], span) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()


def test_a_request_is_one_trace_under_its_own_id(stack: Stack, campus: Campus) -> None:
    """Accepted by the API, then waiting, applied and published by the worker, one after the other."""
    with collector() as (url, spans):
        stack.stop_workers()
        stack.start_workers(OTLP_ENDPOINT=url, OTLP_TRACE_RATIO="1")
        with stack.another_api(OTLP_ENDPOINT=url, OTLP_TRACE_RATIO="1") as http:
            answer = campus.student(http).register(campus.course(), wait=20)
            request_id = answer.json()["request_id"]
            trace_id = request_id.replace("-", "")

            def of_request() -> dict[tuple[str, str], Any]:
                return {
                    (service, span.name): span for service, span in spans if span.trace_id.hex() == trace_id
                }

            wait_until(lambda: len(of_request()) == 4, "four spans")
    found = of_request()
    first = found["registration-api", "accept"]
    assert not first.parent_span_id
    later = [found["registration-worker", name] for name in ("wait", "apply", "publish")]
    assert {span.parent_span_id for span in later} == {first.span_id}
    for before, after in pairwise(later):
        assert before.start_time_unix_nano <= before.end_time_unix_nano == after.start_time_unix_nano
    told = {one.key: one.value.string_value for one in later[1].attributes}
    assert (told["status"], told["result"]) == ("APPLIED", "ENROLLED")


def test_a_collector_that_is_away_holds_nothing_up(stack: Stack, campus: Campus) -> None:
    """Requests are decided, and both parts end in time."""
    away = {"OTLP_ENDPOINT": "http://127.0.0.1:9", "OTLP_TRACE_RATIO": "1"}
    stack.stop_workers()
    stack.start_workers(**away)
    with stack.another_api(**away) as http:
        assert campus.student(http).register(campus.course(), wait=20).json()["result"] == "ENROLLED"
    assert stack.stop_workers() == 0
