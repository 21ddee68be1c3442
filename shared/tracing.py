"""OpenTelemetry traces, if asked for: one per request, from its POST to its published outcome.

The trace id is the request's id, so that API and worker need to hand nothing to each other, and whoever knows a request
finds its trace. Off unless OTLP_ENDPOINT is set; the packages of `requirements-otel.txt` are imported only then.
"""

import importlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.errors import TracesUnavailableError
from shared.requests import Outcome
from shared.settings import Settings

# Of OpenTelemetry other packages bring a part along, which alone sends nothing.
PACKAGES = ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk.trace")
SPAN_ID_MASK = 2**64 - 1
SAMPLE_DIGITS = 8
SAMPLE_RANGE = 0x1_0000_0000
EXPORT_PAUSE_MS = 1000
# A collector that is away must not hold up a process that is told to stop.
EXPORT_LIMIT_S = 1


class RequestIds:
    """Gives the next span without a parent the ids that follow from a request's, and random ones to all others."""

    def __init__(self) -> None:
        self.next_id: int | None = None

    def generate_trace_id(self) -> int:
        """Asked for before the span id of a span without a parent."""
        return secrets.randbits(128) if self.next_id is None else self.next_id

    def generate_span_id(self) -> int:
        """Uses the given id up."""
        given, self.next_id = self.next_id, None
        return secrets.randbits(64) if given is None else given & SPAN_ID_MASK

    def is_trace_id_random(self) -> bool:
        """Whether samplers may take the low bits for random ones: in a request's id they are not."""
        return False


class Tracer:
    """Sends the spans of one process from a thread of its own; what it cannot send in time it drops."""

    def __init__(self, settings: Settings, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._ratio: float = settings.otlp_trace_ratio
        self._ids = RequestIds()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            # It cannot name its base class, whose package is there only where traces are.
            id_generator=self._ids,  # type: ignore[arg-type]
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_LIMIT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_PAUSE_MS))
        self._tracer = self._provider.get_tracer("registration")

    def samples(self, request_id: str) -> bool:
        """Whether this request is traced: the same answer in every process."""
        part: int = int(request_id[:SAMPLE_DIGITS], 16)
        return part < self._ratio * SAMPLE_RANGE

    def accepted(self, request_id: str, asked_at_ns: int, attributes: dict[str, str]) -> None:
        """The first span: from the call until Redis holds the request."""
        if self.samples(request_id):
            self._ids.next_id = UUID(request_id).int
            span = self._tracer.start_span("accept", start_time=asked_at_ns, attributes=attributes)
            span.end()

    def applied(self, outcomes: Iterable[Outcome], laps: "RoundTimes") -> None:
        """The spans of a round's requests: waiting in the queue, being applied, being published."""
        for outcome in outcomes:
            if outcome.accepted_at is not None and self.samples(outcome.request_id):
                accepted_ns = int(outcome.accepted_at.timestamp() * 1_000_000) * 1000
                moments_ns = (
                    min(accepted_ns, laps.began_ns),
                    laps.began_ns,
                    laps.committed_ns,
                    laps.published_ns,
                )
                self._spans(outcome, moments_ns)

    def _spans(self, outcome: Outcome, moments_ns: tuple[int, ...]) -> None:
        context = _context_of(outcome.request_id)
        attributes = {
            "worker": outcome.worker,
            "status": outcome.status.value,
            "result": outcome.result.value if outcome.result else "",
            "reason": outcome.reason.value if outcome.reason else "",
        }
        for name, start_ns, end_ns in zip(
            ("wait", "apply", "publish"), moments_ns[:-1], moments_ns[1:], strict=True
        ):
            span = self._tracer.start_span(name, context, start_time=start_ns, attributes=attributes)
            span.end(end_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """When a round began to apply, had committed and had published, in nanoseconds since 1970."""

    began_ns: int
    committed_ns: int
    published_ns: int

    @classmethod
    def ending_now(cls, apply_s: float, publish_s: float) -> "RoundTimes":
        """From the time its parts took."""
        published_ns = time.time_ns()
        committed_ns = published_ns - int(publish_s * 1e9)
        return cls(committed_ns - int(apply_s * 1e9), committed_ns, published_ns)


def require_packages(settings: Settings) -> None:
    """Raises TracesUnavailableError when traces are asked for and their packages are missing."""
    if settings.otlp_endpoint:
        try:
            for package in PACKAGES:
                importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise TracesUnavailableError from error


def tracer_of(settings: Settings, service: str) -> Tracer | None:
    """The process's tracer, or None when traces are not asked for. Raises TracesUnavailableError."""
    require_packages(settings)
    return Tracer(settings, service) if settings.otlp_endpoint else None


def _context_of(request_id: str) -> Any:
    """The first span of a request, as the parent of another process's spans."""
    from opentelemetry.trace import (  # noqa: PLC0415
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    value = UUID(request_id).int
    first = SpanContext(
        value, value & SPAN_ID_MASK, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(first))
