"""How the commands show things: tables at a terminal, plain aligned columns in a pipe, JSON on request."""

import dataclasses
import json
from datetime import datetime
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table

from shared.requests import rfc3339

# A pipe has no width of its own, and nothing may be cut off there.
PLAIN_WIDTH = 200
PICTURE_WIDTH = 88

console = Console(highlight=False, markup=False)
if not console.is_terminal:
    console = Console(highlight=False, markup=False, width=PLAIN_WIDTH)
errors = Console(stderr=True, highlight=False, markup=False)


def say(line: str, style: str | None = None) -> None:
    """One line on standard output, as it is."""
    console.print(line, soft_wrap=True, style=style)


def tell_problem(line: str) -> None:
    """One line on standard error."""
    errors.print(line.strip(), soft_wrap=True)


def say_json(document: object) -> None:
    """A document for programs: dataclasses as objects, times as RFC 3339."""
    console.out(json.dumps(document, default=_plain, indent=2), highlight=False)


def draw(shown: RenderableType, path: Path, title: str) -> None:
    """Write what a terminal would show to an SVG file."""
    canvas = Console(record=True, width=PICTURE_WIDTH, file=StringIO(), highlight=False, markup=False)
    canvas.print(shown)
    canvas.save_svg(str(path), title=title)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def columns(*names: str) -> Table:
    """A table without lines, so that it reads the same in a terminal and in a log."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def say_facts(facts: dict[str, object]) -> None:
    """A heading and what belongs to it, one a line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")


def duration(seconds: float | None) -> str:
    """A length of time for people: 340 ms, 4.2 s, 7 min, 3 h, or a dash."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004 - two minutes are still read in seconds
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - and two hours in minutes


def or_unknown(value: object) -> str:
    """The value, or a question mark for one that is not known."""
    return "?" if value is None else str(value)


def moment_text(value: datetime | None) -> str:
    """A time in UTC to the millisecond, or a dash."""
    text = rfc3339(value)
    return "-" if text is None else text[:-4] + "Z"
