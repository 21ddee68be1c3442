"""`python -m bench`: every contestant on the same servers, in turns, checked after each, and what it comes to."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench import growth, programme
from bench.ground import PROJECT_ROOT, prepared_ground
from bench.report import print_report, write_json, write_pictures
from bench.scale import FULL, QUICK
from bench.steps import Step
from bench.trials import Results

DATA_DIR = PROJECT_ROOT / ".local" / "bench"
EXIT_VOID = 1
WIDTH_IN_FILES = 150


def main(
    quick: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--quick", help="One short round, under a minute, for a first look.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Only the steps whose names contain this text, such as `one hot course`.")
    ] = "",
    json_file: Annotated[Path, typer.Option(help="Where to write all figures.")] = Path("reports/bench.json"),
    pictures: Annotated[
        Path, typer.Option(help="Where to write the pictures; docs/img keeps the published ones.")
    ] = Path("reports"),
) -> None:
    """Measure this system and its peers side by side on the same PostgreSQL and Valkey, both durable.

    Nothing else should run on the machine: what else it does is in every figure. Latencies count from the planned time
    of a call. After each trial the database is checked; a trial with anything oversold, lost, duplicated or out of order is
    void, and the exit code 1.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    scale = QUICK if quick else FULL
    results = Results()
    with _progress(console) as progress:
        task = progress.add_task("starting servers", total=None)

        def chosen(steps: Iterable[Step]) -> list[Step]:
            return [step for step in steps if only in step.name]

        def run(steps: list[Step]) -> None:
            _run(steps, results, progress, task)

        if scale.ledger_sizes:
            with prepared_ground(DATA_DIR, scale.students) as ground:
                run(chosen(growth.steps(ground, scale)))
        with prepared_ground(DATA_DIR, scale.students) as ground:
            run(chosen(programme.rounds(ground, scale)))
            later = chosen(programme.after_the_knee_is_known(ground, scale, results))
            run(programme.with_the_knee(ground, scale, results, later))
    print_report(results, console)
    write_json(results, json_file)
    write_pictures(results, pictures)
    if any(trial.problems for trial in results.trials):
        raise typer.Exit(EXIT_VOID)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _run(steps: list[Step], results: Results, progress: Progress, task: TaskID) -> None:
    progress.update(task, total=(progress.tasks[0].total or 0) + len(steps))
    for step in steps:
        progress.update(task, description=step.name)
        results.trials.append(step.run())
        progress.advance(task)


if __name__ == "__main__":
    typer.run(main)
