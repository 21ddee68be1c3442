"""The commands' own words: help for each, and figures that people can read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.local_servers import free_port
from shared.manage import parts
from shared.manage.__main__ import app
from shared.manage.terminal import duration
from shared.settings import Settings, load_settings

COMMANDS = ["top", "request", "course", "pause", "resume", "drain", "audit", "rebuild-queue", "retire-queues"]


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


@pytest.fixture
def stack_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `make run` would have written how to reach its stack."""
    path = tmp_path / "a folder" / "stack.env"
    path.parent.mkdir()
    monkeypatch.setattr(parts, "STACK_ENVIRONMENT", path)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Default settings, at which nobody answers."""
    urls = {
        "DATABASE_URL": f"postgresql://registration@127.0.0.1:{free_port()}/registration",
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
    }
    for name, url in urls.items():
        monkeypatch.setenv(name, url)
    monkeypatch.setattr(parts, "DEFAULT_URLS", frozenset(urls.values()))
    load_settings.cache_clear()
    yield load_settings()
    load_settings.cache_clear()


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("command", [["top", "--once"], ["drain"], ["course", "X"], ["audit"]])
def test_who_forgot_to_say_which_stack_is_meant_is_told_how(
    command: list[str], stack_environment: Path
) -> None:
    """Where the defaults lead nowhere although `make run` has a stack; without one there is nothing to tell."""
    hint = "DATABASE_URL and REDIS_URL are not set. For the stack of `make run`: set -a; . 'a folder/stack.env'; set +a"
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 3
    assert hint not in told.output
    stack_environment.touch()
    assert hint in CliRunner().invoke(app, command).output


def test_who_said_which_system_is_meant_is_not_told_of_another(
    stack_environment: Path, nowhere: Settings
) -> None:
    """One URL is enough."""
    stack_environment.touch()
    assert parts.environment_hint(nowhere)
    for url in ("database_url", "redis_url"):
        assert not parts.environment_hint(nowhere.model_copy(update={url: "elsewhere"}))


def test_the_defaults_are_those_of_the_settings() -> None:
    """Both of them."""
    assert {
        "postgresql://registration@127.0.0.1:5432/registration",
        "redis://127.0.0.1:6379/0",
    } == parts.DEFAULT_URLS
