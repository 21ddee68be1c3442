"""What the drill's own signals rest on: hastened rules, counters that begin anew, and words that are looked for."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scripts.drill import _print, drill
from scripts.drill_metrics import Samples, growth
from scripts.drill_prometheus import HASTE, RULES, hastened
from scripts.drill_signals import Check, Seen, observe

COUNTER = ("registration_accepted_total", frozenset({("operation", "REGISTER")}))
PATIENCE = re.compile(r"(?:for: |\[)(\d+)(ms|s|m)\b")
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000}


def patience_ms(rules: str) -> list[int]:
    """How long each rule waits, and over which range it looks, in the order they stand."""
    return [int(number) * MILLISECONDS[unit] for number, unit in PATIENCE.findall(rules)]


def test_hastened_rules_wait_a_tenth_and_are_the_same_in_all_else() -> None:
    """Else the drill would check other alerts than those of operations."""
    rules = RULES.read_text()
    assert [HASTE * each for each in patience_ms(hastened(rules))] == patience_ms(rules)
    assert PATIENCE.sub("", hastened(rules)) == PATIENCE.sub("", rules)
    assert len(patience_ms(rules)) >= rules.count("for: ") > 0


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [({}, {COUNTER: 3.0}, 3), ({COUNTER: 2.0}, {COUNTER: 3.0}, 1), ({COUNTER: 7.0}, {COUNTER: 3.0}, 3)],
)
def test_a_counter_that_fell_began_at_zero(before: Samples, after: Samples, grown: float) -> None:
    """As Prometheus' own `increase` takes it: the process was started anew."""
    assert growth(before, after) == grown


def test_expected_pieces_are_found_in_their_order() -> None:
    """What lies between them is left out where there is no room."""
    seen = observe("step", Check("signal", "503 … queue_full", lambda: f"503 {'-' * 300} queue_full"))
    assert seen.as_expected
    assert len(seen.text) <= 100
    assert seen.text.startswith("503")
    assert seen.text.endswith("queue_full")


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Prometheus and Chromium, as far as looking for them can tell."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_summary_without_prometheus_says_that_alerts_were_not_checked(
    no_programs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a run without them would look as good as one with them."""
    _print([Seen("step", "signal", "ok", "ok", as_expected=True, after_s=0.0)])
    assert "NOT CHECKED" in capsys.readouterr().out


def test_a_drill_that_requires_alerts_does_not_begin_without_prometheus(no_programs: None) -> None:
    """It fails at once, and says what to install."""
    program = typer.Typer()
    program.command()(drill)
    finished = CliRunner().invoke(program, ["--require-alerts"])
    assert finished.exit_code == 1
    assert "apt-get install prometheus" in finished.output


def test_a_drill_that_takes_pictures_does_not_begin_without_chromium(
    no_programs: None, tmp_path: Path
) -> None:
    """The whole system would have been started for nothing."""
    program = typer.Typer()
    program.command()(drill)
    finished = CliRunner().invoke(program, ["--pictures", str(tmp_path)])
    assert finished.exit_code == 1
    assert "apt-get install chromium" in finished.output
