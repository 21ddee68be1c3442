"""What a round leaves behind for those who watch: metrics, and log lines by which any request can be followed."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared import metrics
from shared.logs import log_requests
from shared.requests import Outcome, QueueEntry

Finished = Sequence[tuple[QueueEntry, Outcome]]


@dataclass(slots=True)
class Stopwatch:
    """The time each part of a round takes, in seconds."""

    _since: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> float:
        """Ends a part; returns the seconds it took."""
        now = time.perf_counter()
        took_s, self._since = now - self._since, now
        metrics.ROUND_TIME.labels(part).observe(took_s)
        return took_s


def log_committed(finished: Finished, worker: str) -> None:
    """What was decided: it is in the ledger now."""
    log_requests("committed", [_told(outcome) for _, outcome in finished], worker=worker)


def _told(outcome: Outcome) -> str:
    what = (outcome.request_id, outcome.operation, outcome.status, outcome.result or outcome.reason)
    return " ".join(word for word in what if word) + f" index={outcome.applied_index}"


def log_published(finished: Finished, worker: str) -> None:
    """Their clients can see the outcome now."""
    log_requests("published", [outcome.request_id for _, outcome in finished], worker=worker)


def count_round(finished: Finished) -> None:
    """Count a published round's outcomes, and how long each of them took since it was accepted."""
    metrics.ROUND_SIZE.labels("published").observe(len(finished))
    now_s = time.time()
    kinds: Counter[tuple[str, ...]] = Counter()
    for _, outcome in finished:
        operation = outcome.operation or metrics.UNKNOWN
        kinds[operation, outcome.status, outcome.result or "", outcome.reason or ""] += 1
        if outcome.accepted_at is not None:
            # The clocks of Redis and this machine may differ.
            metrics.LATENCY.labels(operation).observe(max(0.0, now_s - outcome.accepted_at.timestamp()))
    for kind, count in kinds.items():
        metrics.OUTCOMES.labels(*kind).inc(count)
