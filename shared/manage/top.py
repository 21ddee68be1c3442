"""`manage top`: queues, rates, workers and ages, live."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from shared.manage.parts import Parts, running_system, wrong_key_text
from shared.manage.picture import Picture, take_picture
from shared.manage.terminal import columns, console, draw, duration, or_unknown, say_json

TITLE_LENGTH_MAX = 36


def top(
    once: Annotated[bool, typer.Option("--once", help="One look, then end; the default in a pipe.")] = False,  # noqa: FBT002 - a flag on the command line
    as_json: Annotated[bool, typer.Option("--json", help="One look, as JSON.")] = False,  # noqa: FBT002 - a flag on the command line
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 1.0,
    queues: Annotated[int, typer.Option(min=1, max=500, help="Show this many of the fullest queues.")] = 15,
    svg: Annotated[
        Path | None, typer.Option(help="One look, as a picture in this file.", dir_okay=False)
    ] = None,
) -> None:
    """Show what waits, how fast it moves, and who works on it, until Ctrl-C.

    Looking costs Redis a few milliseconds with thousands of courses. Exit code 3 if Redis or PostgreSQL does not answer
    the one look of --once, --json or --svg.
    """
    with running_system() as parts:
        if not (once or as_json or svg) and console.is_terminal:
            _watch(parts, interval, queues)
            return
        picture = take_picture(parts)
        if as_json:
            say_json(document(picture))
        elif svg:
            draw(view(picture, None, queues), svg, "python -m shared.manage top")
        else:
            console.print(view(picture, None, queues))
        parts.require_answers(picture.problems)


def _watch(parts: Parts, interval_s: float, queues: int) -> None:
    """Look again and again. Ctrl-C is how one leaves."""
    earlier, picture = None, take_picture(parts)
    try:
        with Live(view(picture, earlier, queues), console=console, auto_refresh=False, screen=True) as live:
            while True:
                live.update(view(picture, earlier, queues), refresh=True)
                time.sleep(interval_s)
                earlier, picture = picture, take_picture(parts)
    except KeyboardInterrupt:
        return


def view(picture: Picture, earlier: Picture | None, queues: int) -> RenderableType:
    """The picture for people; with an earlier one it shows rates."""
    lines = [Text(f"{part} {problem}", "red") for part, problem in picture.problems.items()]
    lines += [Text(wrong_key_text(problem), "red") for problem in picture.wrong_keys]
    if picture.paused_since:
        lines.append(Text(f"PAUSED since {picture.paused_since}: workers apply nothing", "yellow"))
    lines.append(Text(_sums(picture, earlier)))
    if picture.unowned_shards:
        lines.append(Text(f"{picture.unowned_shards} of {picture.shards} shards have no owner", "red"))
    return Group(*lines, Text(), _queues(picture, queues), Text(), _workers(picture))


def _sums(picture: Picture, earlier: Picture | None) -> str:
    if picture.queues is None:
        return "waiting ? in ? courses, oldest ?"
    told = (
        f"waiting {picture.waiting} in {len(picture.queues)} courses, oldest {duration(picture.oldest_age_s)}"
    )
    rates = None if earlier is None else picture.rates_since(earlier)
    if rates is not None:
        told += f", accepted {rates[0]:.0f}/s, applied {rates[1]:.0f}/s"
    return told


def _queues(picture: Picture, limit: int) -> RenderableType:
    table = columns("COURSE", "WAITING", "OLDEST", "EACH", "SHARD", "WORKER")
    for queue in (picture.queues or [])[:limit]:
        table.add_row(
            (queue.title or queue.course_id)[:TITLE_LENGTH_MAX],
            str(queue.waiting),
            duration(queue.oldest_age_s),
            duration(queue.pace_us / 1_000_000),
            or_unknown(picture.shard_of(queue.course_id)),
            picture.owner_of(queue.course_id),
        )
    return table


def _workers(picture: Picture) -> RenderableType:
    table = columns("WORKER", "STATE", "SHARDS", "FINISHED", "FAILED", "SEEN")
    for worker in picture.workers or []:
        table.add_row(
            worker.name,
            worker.state,
            or_unknown(picture.shards_of(worker.name)),
            str(worker.finished),
            str(worker.failed),
            f"{duration(worker.seen_age_s)} ago",
        )
    return table


def document(picture: Picture) -> dict[str, Any]:
    """The picture for programs; null is what is not known."""
    return {
        "problems": picture.problems,
        "wrong_keys": picture.wrong_keys,
        "paused_since": picture.paused_since,
        "waiting": picture.waiting,
        "oldest_age_s": picture.oldest_age_s,
        "shards": picture.shards,
        "unowned_shards": picture.unowned_shards,
        "queues": picture.queues,
        "workers": None
        if picture.workers is None
        else [
            {
                "name": worker.name,
                "state": worker.state,
                "shards": picture.shards_of(worker.name),
                "finished": worker.finished,
                "failed": worker.failed,
                "seen_age_s": worker.seen_age_s,
            }
            for worker in picture.workers
        ],
    }
