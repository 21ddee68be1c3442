"""What a run comes to: tables for the terminal, JSON for machines, pictures for the documents."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench import accepting, amplification, applying, end_to_end
from bench.contestants import OURS, OURS_ACCEPTING
from bench.picture import bars_picture, curves_picture
from bench.ratios import Ratio, measured_ratios
from bench.trials import Results

STYLES = {"goal": "bold green", "must": "green", "missed": "red", "not measured": "yellow"}
COMPARED = (end_to_end.HOT, end_to_end.SPREAD, applying.APPLY, accepting.ACCEPT, applying.ENQUEUE)
OUR_NAMES = frozenset({OURS.name, OURS_ACCEPTING.name, applying.OUR_WORKER})
OPEN = "open arrivals at "


def machine() -> dict[str, Any]:
    """The shape of the machine that measured, and when."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": psutil.getloadavg(),
    }


def print_report(results: Results, console: Console) -> None:
    """Print every trial's median, then the ratios."""
    console.print(_measurements(results))
    console.print(_ratios(measured_ratios(results)))
    for trial in results.trials:
        if trial.memory_mb:
            parts = ", ".join(f"{part} {size:.0f} MB" for part, size in trial.memory_mb.items())
            console.print(f"{trial.contest}: {parts}")
    for copies, times in amplification.growth(results).items():
        console.print(f"{copies} copies of every registration: finished in {times:.1f} times the time of one")
    void = [trial for trial in results.trials if trial.problems]
    for trial in void:
        console.print(
            f"void: {trial.contest}, {trial.contestant}: {trial.problems[:3]}", style="red", markup=False
        )
    checked = "nothing oversold, lost, duplicated or out of order"
    console.print(f"{len(results.trials)} trials, {len(void)} void{'' if void else ': ' + checked}")


def _measurements(results: Results) -> Table:
    table = Table(title="Medians of the rounds (lowest to highest)")
    for heading in (
        "contest",
        "contestant",
        "per second",
        "p50 ms",
        "p99 ms",
        "CPU ms each",
        "generator, cores",
    ):
        table.add_column(heading, justify="left" if heading.startswith("contest") else "right")
    for contest, contestant in results.pairs():
        trials = results.of(contest, contestant)
        rates = sorted(trial.rate_per_s for trial in trials)
        if not rates:
            table.add_row(contest, contestant, "void")
            continue
        latencies = [
            f"{results.percentile(contest, contestant, percent):.1f}" if trials[0].percentiles_ms else ""
            for percent in ("50", "99")
        ]
        spread = f"{results.rate(contest, contestant):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})"
        cost = f"{results.cost(contest, contestant):.2f}" if trials[0].cost_ms else ""
        generator = (
            f"{max(trial.generator_cores for trial in trials):.2f}" if trials[0].percentiles_ms else ""
        )
        table.add_row(contest, contestant, spread, *latencies, cost, generator)
    return table


def _ratios(ratios: Sequence[Ratio]) -> Table:
    table = Table("ratio", "must", "goal", "measured", "reached", title="Ratios")
    for ratio in ratios:
        sign = "≤ " if ratio.bar.ceiling else "≥ "
        value = "" if ratio.value is None else f"{ratio.value:.2f}"
        style = STYLES[ratio.verdict]
        marks = [f"{sign}{mark:g}" for mark in (ratio.bar.must, ratio.bar.goal)]
        table.add_row(ratio.bar.name, *marks, value, f"[{style}]{_told(ratio)}[/]")
    return table


def _told(ratio: Ratio) -> str:
    """The verdict, and where a peer is ahead of us, that."""
    peer_wins = not ratio.bar.ceiling and ratio.bar.must > 1 and ratio.value is not None and ratio.value < 1
    return f"{ratio.verdict}: the peer wins" if peer_wins else ratio.verdict


def write_json(results: Results, path: Path) -> None:
    """Everything measured, with the ratios."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ratios = {
        ratio.bar.name: {
            "must": ratio.bar.must,
            "goal": ratio.bar.goal,
            "measured": ratio.value,
            "reached": ratio.verdict,
        }
        for ratio in measured_ratios(results)
    }
    document = {"machine": machine(), "ratios": ratios, "trials": [asdict(trial) for trial in results.trials]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_pictures(results: Results, directory: Path) -> list[Path]:
    """The bars, and the latency curves of open arrivals; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    panels = {
        contest: {pair[1]: results.rate(*pair) for pair in results.pairs() if pair[0] == contest}
        for contest in COMPARED
    }
    curves = {
        contest.removeprefix(OPEN): _curve(results, contest)
        for contest, _ in results.pairs()
        if contest.startswith(OPEN) and results.of(contest, OURS.name)
    }
    files = {
        directory / "bench-rates.svg": bars_picture(panels, OUR_NAMES),
        directory / "bench-latency.svg": curves_picture("Submit to final outcome, open arrivals", curves),
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)


def _curve(results: Results, contest: str) -> dict[str, float]:
    percents = results.of(contest, OURS.name)[0].percentiles_ms
    return {percent: results.percentile(contest, OURS.name, percent) for percent in percents}
