"""Traces cost nothing unless somebody asks for them."""

import subprocess
import sys
from pathlib import Path

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
