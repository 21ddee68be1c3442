"""`make images`: build both images with whatever builder this machine has, and check that they can be used."""

import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scripts.image_builders import BUILDERS, Builder, BuilderError, Wishes
from scripts.image_checks import API_PORT, PARTS, Finding, Images, RunningImages, contents_of
from scripts.image_context import copy_with_strays
from scripts.server_process import ServerError
from scripts.terminal import console, say

EXIT_WRONG, EXIT_NOT_CHECKED = 1, 2
# In a pipe a table would be cut off at 80 columns.
PLAIN_WIDTH = 200


class BuilderName(StrEnum):
    """The names of BUILDERS."""

    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


def images(
    builder: Annotated[
        BuilderName | None, typer.Option(help="Which one; without it the first that answers.")
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            help="For the builder, before its subcommand; may be repeated: --argument=--storage-driver=vfs"
        ),
    ] = None,
    build_argument: Annotated[
        list[str] | None,
        typer.Option(help="For each build; may be repeated: --build-argument=--isolation=chroot"),
    ] = None,
    run_argument: Annotated[
        list[str] | None,
        typer.Option(
            help="For docker's and podman's run; may be repeated: --run-argument=--ulimit=nofile=1024"
        ),
    ] = None,
) -> None:
    """Build both images and check what is in them, who they run as, their health checks, and how they end.

    Needs docker, podman or, as root, buildah on Linux. The images are built from a copy of this folder with secrets
    and other strays in it, which must stay out; they run with a read-only root, on servers of their own. Exit code 0 if
    all is well, 1 if something is not, 2 if nothing could be checked.
    """
    # Ended by a supervisor it cleans up like after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wishes = Wishes(tuple(argument or ()), tuple(build_argument or ()), tuple(run_argument or ()))
    chosen = _chosen(builder, wishes)
    say(f"{chosen.name} builds …")
    findings: list[Finding] = []
    try:
        with tempfile.TemporaryDirectory(prefix="images-", ignore_cleanup_errors=True) as directory:
            findings.extend(_findings(chosen, Path(directory)))
    except (BuilderError, ServerError) as error:
        _print(findings)
        say(str(error), style="red")
        raise typer.Exit(EXIT_WRONG) from error
    _print(findings)
    if not all(finding.good for finding in findings):
        raise typer.Exit(EXIT_WRONG)


def _chosen(name: BuilderName | None, wishes: Wishes) -> Builder:
    """The builder that was named, or the first that can be used; where there is none, says why and exits."""
    problems = []
    for kind in BUILDERS:
        if name is None or name.value == kind.name:
            candidate = kind(wishes)
            problem = candidate.problem() or _problem_of_port()
            if problem is None:
                return candidate
            problems.append(f"{kind.name} {problem}")
    say(f"NOT CHECKED: {'; '.join(problems)}", style="red")
    raise typer.Exit(EXIT_NOT_CHECKED)


def _problem_of_port() -> str | None:
    """The API's image listens on one port, which must be free."""
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", API_PORT)) == 0
    return f"could not run the API: something listens on port {API_PORT}" if taken else None


def _findings(builder: Builder, directory: Path) -> Iterator[Finding]:
    context = directory / "context"
    context.mkdir()
    copy_with_strays(context)
    with closing(Images(builder, directory)) as both:
        for part in PARTS:
            yield both.build(part, context)
            yield from contents_of(both, part)
        yield from RunningImages(both, directory).findings()


def _print(findings: Sequence[Finding]) -> None:
    table = Table("IMAGE", "CHECK", "SEEN", "S", "", box=None, pad_edge=False)
    for one in findings:
        seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
        style = None if one.good else "red"
        table.add_row(one.image, one.check, one.seen, seconds, "ok" if one.good else "WRONG", style=style)
    wide = console if console.is_terminal else Console(width=PLAIN_WIDTH, highlight=False)
    wide.print(table, markup=False)
    wrong = sum(not one.good for one in findings)
    say(f"{len(findings)} checks, {wrong} not as they should be", style="red" if wrong else "green")


if __name__ == "__main__":
    typer.run(images)
