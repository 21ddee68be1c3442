"""`python -m bench.term`: the registration of a large university's whole term, to its end, with everything checked after."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench import verdicts
from bench.contestants import (
    Running,
    all_shards_owned,
    server_pids,
    started,
    wait_until,
)
from bench.ground import PROJECT_ROOT, Ground, Student, prepared_ground
from bench.repeaters import Repeaters, out_of_order
from bench.term_demand import PLACES_WANTED, Wish, draw_wishes
from bench.term_report import TermReport, print_term, table_sizes_mb, write_term
from bench.watching import watched
from scripts.http_client import HttpClient
from scripts.local_servers import free_port
from scripts.make_courses import course_rows
from scripts.processes import http_status
from scripts.section_sizes import section_sizes
from scripts.terminal import progress_bar
from shared.audit import audit, describe
from shared.database import writing
from shared.store import imports

DATA_DIR = PROJECT_ROOT / ".local" / "bench-term"
GRANTED = ("ENROLLED", "RESERVED")
EXIT_VOID = 1

RECORDED = """
    SELECT request_id::text FROM registration_requests WHERE course_id = ANY(CAST(:course_ids AS uuid[]))
"""


def main(  # noqa: PLR0913, PLR0917 - the options of a command
    sections: Annotated[int, typer.Option(min=20, help="Sections of the term.")] = 2_900,
    seats: Annotated[int, typer.Option(min=1, help="Seats of all sections together.")] = 200_000,
    students: Annotated[int, typer.Option(min=1, help="Students who register.")] = 45_000,
    at_once: Annotated[int, typer.Option(min=1, help="Students at work at a time.")] = 1_000,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    api_processes: Annotated[int, typer.Option(min=1, help="API processes.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed draws the same wishes.")] = 1,
    json_file: Annotated[Path, typer.Option(help="Where to write all figures.")] = Path(
        "reports/bench-term.json"
    ),
) -> None:
    """Let a whole university register: sizes of sections as in real catalogues, popularity by Zipf's law, everybody repeating.

    Each student tries section after section until five places are granted or twelve were tried; half of the registrations
    are sent two to four times at once. After it the rosters, the ledger and the order are held against what the students
    were told, and the whole ledger is replayed. Exit code 1 if anything was oversold, lost, duplicated or out of order.
    """
    console = Console(highlight=False)
    with prepared_ground(DATA_DIR, students) as ground:
        course_ids = make_catalogue(ground, section_sizes(sections, seats))
        wishes = draw_wishes(students, course_ids, seed)
        report = run_term(ground, course_ids, wishes, at_once, workers, api_processes)
    print_term(report, console)
    write_term(report, json_file)
    if report.problems:
        raise typer.Exit(EXIT_VOID)


def make_catalogue(ground: Ground, sizes: Sequence[int]) -> list[str]:
    """Sections of these sizes in the ground's semester; returns their ids."""
    with writing(ground.engine) as connection:
        imports.upsert_courses(connection, ground.semester_id, course_rows(list(sizes)))
    rows = ground.rows("SELECT id::text FROM courses WHERE external_id LIKE 'LOAD-%' ORDER BY external_id")
    return [row[0] for row in rows]


def run_term(  # noqa: PLR0913, PLR0917 - what makes a term
    ground: Ground,
    course_ids: Sequence[str],
    wishes: Sequence[Sequence[Wish]],
    at_once: int,
    workers: int,
    api_processes: int,
) -> TermReport:
    """Run it and check everything."""
    with _system(ground, workers, api_processes) as system, ground.redis() as client:
        before = system.processor_times()
        with watched(system.pids, client) as peaks:
            repeaters, elapsed_s, generator_cores = uvloop.run(
                _register(system, ground.students, wishes, at_once)
            )
        after = system.processor_times()
    registered = repeaters.registered
    count = max(1, len(registered))
    return TermReport(
        students=len(wishes),
        sections=len(course_ids),
        seats=int(ground.rows("SELECT sum(max_capacity) FROM courses")[0][0]),
        elapsed_s=elapsed_s,
        outcomes=dict(Counter(one.code for one in registered)),
        latencies_s=sorted(one.latency_s for one in registered),
        calls=repeaters.http.calls,
        copies_sent=repeaters.copies_sent,
        put_off=repeaters.put_off,
        generator_cores=generator_cores,
        cost_ms={part: 1000 * (after[part] - before[part]) / count for part in after},
        peaks=peaks,
        tables_mb=table_sizes_mb(ground),
        problems=_problems(ground, course_ids, repeaters),
    )


@contextmanager
def _system(ground: Ground, workers: int, api_processes: int) -> Iterator[Running]:
    port = free_port()
    api = ["api", "--port", str(port), "--processes", str(api_processes)]
    worker = ["worker", "--processes", str(workers)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(started(ground, name, module))
            for name, module in (("api", api), ("workers", worker))
        ]
        wait_until(lambda: http_status(port, "/health/live") == HTTPStatus.OK, children)
        wait_until(lambda: all_shards_owned(ground), children)
        pids = {child.name: child.pid for child in children}
        yield Running(f"http://127.0.0.1:{port}", pids | server_pids(ground))


async def _register(
    system: Running, students: Sequence[Student], wishes: Sequence[Sequence[Wish]], at_once: int
) -> tuple[Repeaters, float, float]:
    """Everybody, so many at a time; returns what they saw, how long it took and the cores that this took."""
    waiting = iter(zip(students, wishes, strict=True))
    started_at, processor_s = time.perf_counter(), time.process_time()
    async with HttpClient(system.base_url, at_once) as http:
        repeaters = Repeaters(http)
        with progress_bar() as progress:
            task = progress.add_task("students", total=len(wishes))

            async def one_after_the_other() -> None:
                for student, wished in waiting:
                    await _try_until_satisfied(repeaters, student, wished)
                    progress.advance(task)

            await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    elapsed_s = time.perf_counter() - started_at
    return repeaters, elapsed_s, (time.process_time() - processor_s) / elapsed_s


async def _try_until_satisfied(repeaters: Repeaters, student: Student, wishes: Sequence[Wish]) -> None:
    granted = 0
    for wish in wishes:
        code = await repeaters.register(student, wish.course_id, wish.copies)
        granted += code in GRANTED
        if granted == PLACES_WANTED:
            return


def _problems(ground: Ground, course_ids: Sequence[str], repeaters: Repeaters) -> list[str]:
    """Whatever contradicts what the students were told, and what the audit of the whole ledger finds."""
    problems = list(repeaters.problems)
    if overtakers := out_of_order(repeaters.registered):
        problems.append(f"out of order: {overtakers} were sent later and stand earlier")
    granted = sum(one.code in GRANTED for one in repeaters.registered)
    problems += verdicts.rosters_against_answers(ground, course_ids, granted)
    recorded = {row[0] for row in ground.rows(RECORDED, course_ids=list(course_ids))}
    known = {one.request_id for one in repeaters.registered}
    if recorded != known:
        problems.append(f"lost: {len(known - recorded)}; not asked for: {len(recorded - known)}")
    return problems + [describe(difference) for difference in audit(ground.engine).differences[:20]]


if __name__ == "__main__":
    typer.run(main)
