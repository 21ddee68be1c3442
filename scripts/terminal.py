"""How the commands speak to a person: progress on standard output, problems on standard error, exit code 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sqlalchemy.exc import SQLAlchemyError

from shared.database import cause_of
from shared.errors import DatabaseUnavailableError, ImportFileError, RegistrationSystemError
from shared.settings import problems_of

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def say(line: str, style: str | None = None) -> None:
    """One line on standard output, as it is."""
    console.print(line, markup=False, soft_wrap=True, style=style)


def progress_bar() -> Progress:
    """A bar with counts, time gone and time left; it shows only at a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def problems_told() -> Iterator[None]:
    """Tell what went wrong in the block as text, without a traceback, and exit with 1."""
    try:
        yield
    except ImportFileError as error:
        _tell(*error.problems, str(ImportFileError.__doc__))
    except ValidationError as error:
        _tell(f"The configuration is wrong: {problems_of(error)}")
    except DatabaseUnavailableError as error:
        _tell(f"{error} {cause_of(error)}")
    except RegistrationSystemError as error:
        _tell(str(error))
    except SQLAlchemyError as error:
        _tell(f"PostgreSQL refused: {getattr(error, 'orig', None) or error}")


def _tell(*lines: str) -> None:
    for line in lines:
        errors.print(line.strip(), markup=False, soft_wrap=True)
    raise typer.Exit(1)
