"""What the load generator is asked to send and what it reports, as both sides of its pipe see it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

REGISTER_HEADERS = {"Prefer": "wait=20"}


@dataclass(frozen=True, slots=True)
class Stream:
    """Calls of one kind. Closed: `clients` call one after the other. Open: `rate_per_s` arrive, whatever is answered.

    `calls` are (path, token or "") and are each made once; the stream ends with them or after `duration_s`.
    """

    name: str
    calls: Sequence[tuple[str, str]]
    duration_s: float
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    clients: int = 0
    rate_per_s: float = 0.0
    until_final: bool = False
    """Whether a call that is answered `QUEUED` is followed to its outcome."""


@dataclass(frozen=True, slots=True)
class Load:
    """Streams that run side by side against one server, after the warm-up calls."""

    base_url: str
    streams: Sequence[Stream]
    warm_up: Sequence[tuple[str, str]] = ()

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The load that `to_json` wrote."""
        document = json.loads(text)
        return cls(document["base_url"], [Stream(**one) for one in document["streams"]], document["warm_up"])


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of a stream. Latencies are in milliseconds, counted from when a call was planned."""

    name: str
    finished: int
    """Calls with a 2xx answer; with `until_final`, those whose outcome is known."""
    elapsed_s: float
    calls: int
    statuses: dict[str, int]
    results: dict[str, int]
    request_ids: list[str]
    percentiles_ms: dict[str, float]

    @property
    def rate_per_s(self) -> float:
        """Finished per second."""
        return self.finished / self.elapsed_s if self.elapsed_s else 0.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of a load; `generator_cores` is the processor time the generator took, per second."""

    streams: dict[str, StreamReport]
    elapsed_s: float
    generator_cores: float

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The report that `to_json` wrote. Raises ValueError when it is something else."""
        document: dict[str, Any] = json.loads(text)
        streams = {name: StreamReport(**one) for name, one in document["streams"].items()}
        return cls(streams, document["elapsed_s"], document["generator_cores"])
