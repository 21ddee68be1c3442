"""Where everything is required, a test that is skipped fails the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.skips import VARIABLE

FILES = {
    "marked": '@pytest.mark.skipif(True, reason="no gadget on this machine")\ndef test_it(): pass',
    "called": 'def test_it(): pytest.skip("no gadget on this machine")',
    "whole_file": 'pytest.skip("no gadget on this machine", allow_module_level=True)',
    "expected_to_fail": "@pytest.mark.xfail\ndef test_it(): assert False",
}


@pytest.mark.parametrize(
    ("excused", "failures"),
    [(None, 0), ("nothing", 3), ("widget", 3), ("", 3), ("widget, gadget", 0)],
    ids=["unset", "nothing", "another", "empty", "named"],
)
def test_a_skip_is_a_failure_unless_its_reason_is_excused(
    excused: str | None, failures: int, tmp_path: Path
) -> None:
    """However it comes about; what is expected to fail is reported in the same way, and is no skip."""
    for name, text in FILES.items():
        (tmp_path / f"test_{name}.py").write_text(f"import pytest\n{text}\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    if excused is not None:
        environment[VARIABLE] = excused
    # Without the summary: whether it says a reason again, and how much of it, depends on the terminal and on CI.
    options = ("-c", os.devnull, "-p", "tests.skips", "--continue-on-collection-errors", "-rN")
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.count("required here by") == failures, done.stdout
    assert (done.returncode == 0) == (failures == 0)
