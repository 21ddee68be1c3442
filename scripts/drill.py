"""`make drill`: break a throw-away system on purpose, step by step, and check what each signal then says."""

import dataclasses
import json
import signal
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scripts.drill_checks import Looks
from scripts.drill_dashboard import DrillDashboard
from scripts.drill_metrics import DrillMetrics
from scripts.drill_pictures import DrillPictures, require_chromium
from scripts.drill_prometheus import LocalPrometheus, installed
from scripts.drill_signals import Seen, observe
from scripts.drill_stack import DrillStack
from scripts.drill_steps import Drill, Step
from scripts.server_process import ServerError, free_port
from scripts.terminal import console, say

# In a pipe a table would be cut off at 80 columns, and this one is wide.
PLAIN_WIDTH = 290
MISSING = "alerts NOT CHECKED: prometheus is not installed (Debian: apt-get install prometheus)"


def drill(
    report: Annotated[
        Path | None, typer.Option(help="Write what was seen to this file, as JSON.", dir_okay=False)
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Take pictures into this folder, with Chromium.", file_okay=False, exists=True),
    ] = None,
    *,
    require_alerts: Annotated[
        bool, typer.Option("--require-alerts", help="Fail where Prometheus is not installed.")
    ] = False,
) -> None:
    """Kill a worker, pause, fill a queue, resume, stop PostgreSQL, stop Valkey; check every signal each time.

    These are readiness, commands, logs, the RQ dashboard and metrics, and where Prometheus is installed the alerts as
    well; where it is not, the summary says NOT CHECKED.

    Everything runs on servers of its own in a temporary directory, and is gone afterwards. Exit code 1 if a signal did
    not say what it should.
    """
    if require_alerts and not installed():
        say(MISSING, style="red")
        raise typer.Exit(1)
    # Ended by a supervisor it cleans up like after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if pictures is not None:
            require_chromium()
        with tempfile.TemporaryDirectory(prefix="drill-") as directory, DrillStack(Path(directory)) as stack:
            seen = _run(stack, Path(directory), pictures)
    except ServerError as error:
        say(str(error), style="red")
        raise typer.Exit(1) from error
    _print(seen)
    if report is not None:
        report.write_text(json.dumps([dataclasses.asdict(one) for one in seen], indent=2), encoding="utf-8")
    if not all(one.as_expected for one in seen):
        raise typer.Exit(1)


def _run(stack: DrillStack, directory: Path, folder: Path | None) -> list[Seen]:
    with ExitStack() as running:
        prometheus = None
        if installed():
            prometheus = LocalPrometheus(directory / "prometheus", free_port(), stack.metrics_ports)
            running.enter_context(prometheus)
        dashboard = running.enter_context(DrillDashboard(stack, directory))
        metrics = DrillMetrics([port for ports in stack.metrics_ports.values() for port in ports])
        pictures = DrillPictures(stack, dashboard, prometheus, folder) if folder else None
        steps = Drill(stack, Looks(stack, dashboard, metrics, prometheus)).steps()
        return [one for step in steps for one in _take(step, pictures)]


def _take(step: Step, pictures: DrillPictures | None) -> list[Seen]:
    say(f"{step.name} …")
    step.cause()
    first, *others = step.checks
    seen = [observe(step.name, first)]
    _take_pictures(step.passing, pictures)
    seen += [observe(step.name, check) for check in others]
    _take_pictures(step.pictures, pictures)
    return seen


def _take_pictures(wanted: Mapping[str, str], pictures: DrillPictures | None) -> None:
    if pictures is not None:
        for name, shown in wanted.items():
            pictures.take(name, shown)


def _print(seen: list[Seen]) -> None:
    table = Table("STEP", "SIGNAL", "EXPECTED", "SEEN", "S", "", box=None, pad_edge=False)
    step = ""
    for one in seen:
        table.add_row(
            "" if one.step == step else one.step,
            *(one.signal, one.expected, one.text, f"{one.after_s:.1f}", "ok" if one.as_expected else "WRONG"),
            style=None if one.as_expected else "red",
        )
        step = one.step
    wide = console if console.is_terminal else Console(width=PLAIN_WIDTH, highlight=False)
    wide.print(table, markup=False)
    wrong = sum(not one.as_expected for one in seen)
    say(f"{len(seen)} signals, {wrong} not as expected", style="red" if wrong else "green")
    if not installed():
        say(MISSING, style="yellow")


if __name__ == "__main__":
    typer.run(drill)
