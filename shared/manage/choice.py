"""Which course an operator means."""

from typing import Any

import typer
from sqlalchemy import Connection, Row

from shared.manage.parts import EXIT_UNKNOWN
from shared.manage.terminal import tell_problem
from shared.store import inspection

CHOICES_SHOWN_MAX = 50


def chosen_course(connection: Connection, name: str, semester: str | None) -> Row[Any]:
    """The one course of that id, external id, or code and section; if it is not one, the choices and EXIT_UNKNOWN."""
    found = inspection.courses_named(connection, name, semester)
    if len(found) == 1:
        return found[0]
    tell_problem(f"{len(found)} courses are named {name}:" if found else f"No course is named {name}")
    for row in found[:CHOICES_SHOWN_MAX]:
        tell_problem(f"  {row.id}  {row.code} {row.section}  {row.semester}")
    raise typer.Exit(EXIT_UNKNOWN)
