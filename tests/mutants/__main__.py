"""`python -m tests.mutants`: plant each bug in a copy of the project, and see its test turn red."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scripts.terminal import console, progress_bar, say
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import DoesNotApplyError, Mutant
from tests.mutants.project_copy import project_copy
from tests.mutants.trial import KILLED, Verdict, run_tests, try_mutant

STYLES = {KILLED: "green"}
TABLE_WIDTH = 170
BASELINE_LIMIT_S = 900


def main(
    only: Annotated[str, typer.Option(help="Only mutants whose name contains this.")] = "",
    jobs: Annotated[int, typer.Option(min=1, max=16, help="How many at a time.")] = 2,
    report: Annotated[Path, typer.Option(help="Where the same goes as JSON.")] = Path("reports/mutants.json"),
) -> None:
    """Check that the named tests are green as things stand, then that each planted bug turns its test red.

    Exits with 1 if a mutant survives, breaks before its test could judge it, or no longer applies.
    """
    chosen = [mutant for mutant in MUTANTS if only in mutant.name]
    try:
        require_green(chosen, jobs)
        verdicts = try_all(chosen, jobs)
    except DoesNotApplyError as error:
        say(str(error), "red")
        raise typer.Exit(1) from error
    Console(width=max(console.width, TABLE_WIDTH)).print(table_of(verdicts))
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps([verdict.as_json() for verdict in verdicts], indent=2), encoding="utf-8")
    killed = sum(verdict.result == KILLED for verdict in verdicts)
    say(f"{killed} of {len(verdicts)} mutants killed; {report}")
    raise typer.Exit(0 if verdicts and killed == len(verdicts) else 1)


def require_green(mutants: Sequence[Mutant], jobs: int) -> None:
    """Every mutant applies, and without any of them all their tests pass; else a red test would prove nothing."""
    tests = sorted({mutant.test for mutant in mutants})
    with project_copy() as root:
        for mutant in mutants:
            for edit in mutant.edits:
                edit.check(root)
        say(f"{len(tests)} tests without any mutant …")
        run = run_tests(root, tests, f"--numprocesses={jobs}", "--dist=loadfile", limit_s=BASELINE_LIMIT_S)
    if run.exit_code != 0:
        say(run.output)
        say("Without any mutant the tests must be green.", "red")
        raise typer.Exit(1)


def try_all(mutants: Sequence[Mutant], jobs: int) -> list[Verdict]:
    """So many at a time; the verdicts in the order of the catalogue."""
    verdicts: dict[str, Verdict] = {}
    with ThreadPoolExecutor(jobs) as pool, progress_bar() as bar:
        task = bar.add_task("mutants", total=len(mutants))
        for future in as_completed([pool.submit(try_mutant, mutant) for mutant in mutants]):
            verdict = future.result()
            verdicts[verdict.mutant] = verdict
            bar.advance(task)
            say(f"{verdict.result:8} {verdict.mutant} ({verdict.took_s:g} s): {verdict.reason}")
    return [verdicts[mutant.name] for mutant in mutants]


def table_of(verdicts: Sequence[Verdict]) -> Table:
    """Mutant, file, named test, result, seconds."""
    table = Table(title="Planted bugs")
    for heading in ("mutant", "file", "named test", "result"):
        table.add_column(heading, overflow="fold")
    table.add_column("s", justify="right")
    for verdict in verdicts:
        result = f"[{STYLES.get(verdict.result, 'bold red')}]{verdict.result}[/]"
        test = verdict.test.removeprefix("tests/").replace("::", "\n")
        table.add_row(verdict.mutant, "\n".join(verdict.files), test, result, f"{verdict.took_s:g}")
    return table


if __name__ == "__main__":
    typer.run(main)
