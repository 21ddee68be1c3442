"""Students for load tests, all with one password. For development only."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from scripts.import_students import permitted_cost, write_students
from scripts.server_process import write_private
from scripts.terminal import problems_told, progress_bar, say
from shared.database import command_engine, reading
from shared.errors import RegistrationSystemError
from shared.security import hash_password, issue_token
from shared.settings import Environment, Settings, load_settings
from shared.store import imports


def make_students(
    count: Annotated[int, typer.Option(min=1, max=999_999, help="How many: LOAD000001 and on.")],
    password: Annotated[str, typer.Option(help="The password of them all.")] = "load-test",  # noqa: S107
    cost: Annotated[
        int | None,
        typer.Option(min=4, max=16, help="bcrypt cost; by default BCRYPT_COST, and no more than that."),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            help="Also write a CSV of student_number,token, so that a load test need not log in.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Create students LOAD000001, LOAD000002 and so on, all with one password. Safe to repeat.

    They share one bcrypt hash, so that a hundred thousand take seconds. Refuses to run with ENVIRONMENT=production.
    """
    with problems_told():
        settings = load_settings()
        if settings.environment is Environment.PRODUCTION:
            message = "Students with a shared password are for development only."
            raise RegistrationSystemError(message)
        shared_hash = hash_password(password, permitted_cost(cost, settings.bcrypt_cost))
        numbers = [f"LOAD{number:06}" for number in range(1, count + 1)]
        engine = command_engine(settings, "make-students")
        write_students(engine, [(number, shared_hash) for number in numbers])
        say(f"{count} students, {numbers[0]} to {numbers[-1]}, password {password}")
        if tokens is not None:
            write_private(tokens, token_rows(engine, settings, numbers))
            say(f"their tokens: {tokens}")


def token_rows(engine: Engine, settings: Settings, numbers: list[str]) -> str:
    """A CSV of these students' numbers and tokens, signed here with the API's secret."""
    with reading(engine) as connection:
        ids = imports.student_ids(connection, numbers)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["student_number", "token"])
    with progress_bar() as progress:
        for number in progress.track(numbers, description="tokens"):
            writer.writerow([number, issue_token(settings, ids[number], number)[0]])
    return text.getvalue()


if __name__ == "__main__":
    typer.run(make_students)
