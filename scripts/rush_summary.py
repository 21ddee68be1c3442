"""What a rush comes to: rates, latencies and outcomes in a table, and whether the ledger says the same."""

import json
from collections import Counter
from collections.abc import Sequence
from statistics import quantiles

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from scripts.registration_client import Finished
from scripts.rush_crowd import Happened
from shared.database import snapshot
from shared.requests import outcome_document
from shared.store import rounds

CHUNK_SIZE = 1_000


def print_summary(happened: Happened, console: Console) -> None:
    """Print counts by outcome, then the measures."""
    table = Table("operation", "outcome", "count")
    counts = Counter((one.operation, one.code) for one in happened.finished)
    for (operation, code), count in sorted(counts.items()):
        table.add_row(operation, code, str(count))
    console.print(table)
    final = [one for one in happened.finished if one.request is not None]
    calls_each = happened.calls / max(1, len(final))
    lines = [
        f"{len(final)} outcomes in {happened.elapsed_s:.2f} s: {len(final) / happened.elapsed_s:.0f} per second",
        f"latency, submitted to final: {_latencies(final)}",
        f"HTTP calls per finished registration: {calls_each:.3f} ({happened.retries} repetitions)",
        f"promised but without an outcome: {len(happened.lost)}",
        f"never answered: {len(happened.unanswered)}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _latencies(finished: Sequence[Finished]) -> str:
    if len(finished) < 2:  # noqa: PLR2004 - quantiles need two
        return "too few to tell"
    milliseconds = sorted(one.latency_s * 1000 for one in finished)
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return (
        f"p50 {cuts[49]:.0f} ms, p90 {cuts[89]:.0f} ms, p99 {cuts[98]:.0f} ms, max {milliseconds[-1]:.0f} ms"
    )


def differing_from_ledger(engine: Engine, happened: Happened) -> list[str]:
    """The ids of requests whose final answer over HTTP is not, to the letter, what the ledger has."""
    answers = {one.request["request_id"]: one.request for one in happened.finished if one.request is not None}
    ids = sorted(answers)
    differing: list[str] = []
    with snapshot(engine) as connection:
        for start in range(0, len(ids), CHUNK_SIZE):
            chunk = ids[start : start + CHUNK_SIZE]
            recorded = rounds.recorded_outcomes(connection, chunk)
            differing += [
                each
                for each in chunk
                if each not in recorded or json.loads(outcome_document(recorded[each])) != answers[each]
            ]
    return differing
