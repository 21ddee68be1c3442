"""What a term came to: for a person, and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.ground import Ground
from bench.report import machine
from bench.watching import Peaks

TABLE_SIZES = """
    SELECT relname, pg_total_relation_size(oid) / 1e6 FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 2 DESC
"""


@dataclass(frozen=True, slots=True)
class TermReport:
    """Everything measured. A registration is finished when the student knows its outcome."""

    students: int
    sections: int
    seats: int
    elapsed_s: float
    outcomes: Mapping[str, int]
    latencies_s: Sequence[float]
    """From the first copy's sending to the outcome, sorted."""
    calls: int
    copies_sent: int
    put_off: int
    generator_cores: float
    cost_ms: Mapping[str, float]
    """Processor milliseconds per finished registration, by part."""
    peaks: Peaks
    tables_mb: Mapping[str, float]
    problems: Sequence[str]

    @property
    def finished(self) -> int:
        """Registrations with an outcome."""
        return len(self.latencies_s)

    def document(self) -> dict[str, Any]:
        """For JSON: percentiles stand for the latencies."""
        cuts = quantiles(self.latencies_s, n=100, method="inclusive")
        percentiles_ms = {f"{percent}": 1000 * cuts[percent - 1] for percent in (50, 90, 99)}
        measured = asdict(self) | {"latencies_s": None, "percentiles_ms": percentiles_ms}
        rate_per_s = self.finished / self.elapsed_s
        return {"machine": machine(), "finished": self.finished, "per_s": rate_per_s} | measured


def table_sizes_mb(ground: Ground) -> dict[str, float]:
    """Table -> its size on disk, indexes included."""
    return {row[0]: float(row[1]) for row in ground.rows(TABLE_SIZES)}


def print_term(report: TermReport, console: Console) -> None:
    """Print what came out, how fast, and what it took."""
    document = report.document()
    percentiles_ms = document["percentiles_ms"]
    outcomes = ", ".join(f"{count:,} {code}" for code, count in sorted(report.outcomes.items()))
    lines = [
        f"{report.students:,} students, {report.sections:,} sections, {report.seats:,} seats",
        f"{report.finished:,} outcomes in {report.elapsed_s:.0f} s: {document['per_s']:,.0f} per second ({outcomes})",
        f"{report.copies_sent:,} copies sent, {report.calls:,} HTTP calls, {report.put_off:,} put off and repeated",
        f"submitted to final: p50 {percentiles_ms['50']:,.0f} ms, p99 {percentiles_ms['99']:,.0f} ms",
        f"generator: {report.generator_cores:.2f} cores; load average {document['machine']['load_average'][0]:.1f}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print(_parts(report))
    sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in report.tables_mb.items() if size >= 1)
    console.print(f"Redis at its peak: {report.peaks.redis_used_mb:.0f} MB, {report.peaks.redis_keys:,} keys")
    console.print(f"tables with their indexes: {sizes}", soft_wrap=True)
    for problem in report.problems:
        console.print(problem, style="red", markup=False)
    if not report.problems:
        console.print("nothing oversold, lost, duplicated or out of order; the audit is clean", style="green")


def _parts(report: TermReport) -> Table:
    table = Table("part", "peak memory, MB", "CPU ms per registration")
    for part, cost_ms in report.cost_ms.items():
        table.add_row(part, f"{report.peaks.memory_mb[part]:.0f}", f"{cost_ms:.2f}")
    return table


def write_term(report: TermReport, path: Path) -> None:
    """Everything but the single latencies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.document(), indent=1) + "\n", encoding="utf-8")
