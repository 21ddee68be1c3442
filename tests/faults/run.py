"""`python -m tests.faults.run`: faults on real processes under load, run after run, each checked."""

import json
import random
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from scripts.terminal import progress_bar
from tests.e2e.campus import Campus
from tests.faults.catalogue import chosen
from tests.faults.injections.fault import Fault
from tests.faults.report import (
    complaints,
    failover_rows,
    failover_table,
    faults_table,
    report_document,
    wires_table,
)
from tests.faults.runner import Run, run_fault
from tests.faults.site import Site
from tests.faults.small_disk import temporary_site

EXIT_FAULTS = 1
CONSOLE = Console(highlight=False)


def main(
    *,
    runs: Annotated[int, typer.Option(min=1, help="How many runs, spread over the faults in turn.")] = 60,
    seed: Annotated[
        int | None, typer.Option(help="Decides victims, moments and load; a new one if not given.")
    ] = None,
    only: Annotated[str, typer.Option(help="Faults or families, as in `F1,F6-reset`. All if empty.")] = "",
    json_path: Annotated[Path, typer.Option("--json", help="Where the report goes.")] = Path(
        "reports/faults.json"
    ),
    turn: Annotated[int, typer.Option(min=0, help="The wire of the first run of each fault of wires.")] = 0,
    duration: Annotated[float | None, typer.Option(min=1, help="Begin no run after so many seconds.")] = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail when a fault never landed, also where it cannot.")
    ] = False,
) -> None:
    """Inject faults into the whole system under load, and check after each that every promise held.

    Run number N has the seed SEED + N; the faults of wires take one wire after the other, from TURN on. A run depends on
    nothing else but its fault: the report gives for each the command that repeats it. Ctrl-C ends it early and reports
    what was done. Exit code: 0 every run's fault landed and every promise held, 1 not so, 2 the call is wrong. A fault
    that this machine cannot do, or whose turn never came, is shown as not run, and fails the suite only with --require-all.
    """
    try:
        faults = chosen(only)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    command = f"python -m tests.faults.run --runs {runs} --seed {seed}" + (f" --only {only}" if only else "")
    CONSOLE.print(command)
    # Both end the suite early and in order, also where the shell had them ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    results = run_all(faults, Plan(seed, turn, runs, duration), json_path.parent)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(
        json.dumps(report_document(faults, results, command, seed), indent=1), encoding="utf-8"
    )
    CONSOLE.print(faults_table(faults, results))
    CONSOLE.print(wires_table(faults, results))
    CONSOLE.print(failover_table(failover_rows(faults, results)))
    CONSOLE.print(f"{command}\nreport: {json_path}")
    found = complaints(faults, results, require_all=require_all)
    for complaint in found:
        CONSOLE.print(complaint, style="red", markup=False, soft_wrap=True)
    if found:
        raise typer.Exit(EXIT_FAULTS)


@dataclass(frozen=True)
class Plan:
    """How many runs there shall be, and what decides them."""

    seed: int
    turn: int
    runs: int
    duration_s: float | None


def run_all(faults: Sequence[Fault], plan: Plan, kept: Path) -> list[Run]:
    """The faults in turn on one site, which is mended between runs and built anew when it cannot be."""
    results: list[Run] = []
    deadline = time.monotonic() + (plan.duration_s or float("inf"))
    kept.mkdir(parents=True, exist_ok=True)
    with suppress(KeyboardInterrupt), progress_bar() as bar:
        task = bar.add_task("faults", total=plan.runs)
        while len(results) < plan.runs and time.monotonic() < deadline:
            with temporary_site() as site:
                campus = Campus(site)
                while len(results) < plan.runs and time.monotonic() < deadline:
                    number = len(results)
                    fault, seed = faults[number % len(faults)], plan.seed + number
                    turn = plan.turn + number // len(faults)
                    results.append(_run_one(site, campus, fault, kept, seed=seed, turn=turn))
                    _tell(results[-1], number, bar, task)
                    if not results[-1].good:
                        break
    return results


def _run_one(site: Site, campus: Campus, fault: Fault, kept: Path, *, seed: int, turn: int) -> Run:
    history = kept / f"history-{fault.name}-{seed}.jsonl"
    run = run_fault(site, campus, fault, history, seed=seed, turn=turn)
    try:
        site.mend()
    except AssertionError as error:
        run.violations.append(f"could not be mended: {error}")
    if not run.good:
        shutil.copytree(
            site.directory, kept / f"logs-{fault.name}-{seed}", ignore=_all_but_logs, dirs_exist_ok=True
        )
    return run


def _all_but_logs(folder: str, names: list[str]) -> list[str]:
    """What of a site's directory is not worth keeping: everything but the logs at its top."""
    return [name for name in names if not name.endswith(".log") or Path(folder, name).is_dir()]


def _tell(run: Run, number: int, bar: Progress, task: TaskID) -> None:
    """One line per run: its seed, where the fault landed, and what was wrong."""
    bar.advance(task)
    repeat = f"--runs 1 --only {run.fault} --seed {run.seed}" + (f" --turn {run.turn}" if run.wire else "")
    line = f"{number:4} {run.fault:22} {run.state}: {run.where} [{run.requests} requests, {run.took_s:.1f} s] {repeat}"
    bar.console.print(line, markup=False, soft_wrap=True, style="" if run.good else "red")
    for violation in run.violations:
        bar.console.print(f"     {violation}", markup=False, soft_wrap=True, style="red")


if __name__ == "__main__":
    typer.run(main)
