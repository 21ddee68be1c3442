"""Traces cost nothing unless somebody asks for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import TracesUnavailableError
from shared.settings import Settings
from shared.tracing import tracer_of

REPOSITORY = Path(__file__).parents[2]


def test_without_a_collector_there_is_no_tracer() -> None:
    """Which is the default."""
    assert tracer_of(Settings(_env_file=None), "test") is None


def test_opentelemetry_is_not_imported_unless_asked_for() -> None:
    """Neither by the API nor by a worker."""
    code = (
        "import sys, api.main, worker.registration_worker; sys.exit('opentelemetry.exporter' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=REPOSITORY).returncode == 0


@pytest.mark.parametrize(
    "command",
    [["api", "--port", "1"], ["api", "--processes", "2"], ["worker"], ["worker", "--processes", "2"]],
)
def test_without_its_packages_a_process_that_should_trace_says_so_and_ends(command: list[str]) -> None:
    """One sentence, no traceback, and no process that is started over and over."""
    without_packages = (
        "import runpy, sys; sys.modules['opentelemetry.sdk'] = None; "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", without_packages, *command],
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"OTLP_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.endswith(f"cannot start: {TracesUnavailableError()}")
