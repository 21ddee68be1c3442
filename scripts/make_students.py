"""Students for load tests, all with one password. For development only."""

from typing import Annotated

import typer

from scripts.import_students import write_students
from scripts.terminal import problems_told, say
from shared.database import command_engine
from shared.errors import RegistrationSystemError
from shared.security import hash_password
from shared.settings import Environment, load_settings


def make_students(
    count: Annotated[int, typer.Option(min=1, max=999_999, help="How many: LOAD000001 and on.")],
    password: Annotated[str, typer.Option(help="The password of them all.")] = "load-test",  # noqa: S107
    cost: Annotated[
        int | None, typer.Option(min=4, max=16, help="bcrypt cost; by default BCRYPT_COST.")
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
        shared_hash = hash_password(password, cost or settings.bcrypt_cost)
        numbers = [f"LOAD{number:06}" for number in range(1, count + 1)]
        write_students(
            command_engine(settings, "make-students"), [(number, shared_hash) for number in numbers]
        )
        say(f"{count} students, {numbers[0]} to {numbers[-1]}, password {password}")


if __name__ == "__main__":
    typer.run(make_students)
