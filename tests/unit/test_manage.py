"""The commands' own words: help for each, and figures that people can read."""

import pytest
from typer.testing import CliRunner

from shared.manage.__main__ import app
from shared.manage.terminal import duration

COMMANDS = ["top", "request", "course", "pause", "resume", "drain", "audit", "retire-queues"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """In the overview, and in full."""
    runner = CliRunner()
    assert command in runner.invoke(app, ["--help"]).output
    shown = runner.invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0004, "0 ms"), (0.34, "340 ms"), (4.21, "4.2 s"), (420, "7 min"), (10_800, "3.0 h")],
)
def test_lengths_of_time_are_short(seconds: float | None, text: str) -> None:
    """One unit, few digits."""
    assert duration(seconds) == text
