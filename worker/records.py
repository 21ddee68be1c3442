"""What a round leaves behind for those who watch: metrics, and log lines by which any request can be followed."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared import metrics
from shared.logs import log_requests
from shared.requests import Outcome, QueueEntry
from shared.rules import Operation

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
    """Count a published round's outcomes, and how long each of them took since it was accepted.

    This is paid for every request, so labels are resolved once per round.
    """
    metrics.ROUND_SIZE.labels("published").observe(len(finished))
    now = datetime.now(UTC)
    latency = {operation: metrics.LATENCY.labels(operation) for operation in Operation}
    for _, outcome in finished:
        if outcome.operation is not None and outcome.accepted_at is not None:
            # The clocks of Redis and this machine may differ.
            latency[outcome.operation].observe(max(0.0, (now - outcome.accepted_at).total_seconds()))
    kinds = Counter((one.operation, one.status, one.result, one.reason) for _, one in finished)
    for (operation, *kind), count in kinds.items():
        metrics.OUTCOMES.labels(operation or metrics.UNKNOWN, *(word or "" for word in kind)).inc(count)
