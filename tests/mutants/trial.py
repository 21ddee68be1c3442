"""Running tests in a copy of the project, and judging whether they failed for the right reason."""

import os
import subprocess
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutants.mutant import Mutant
from tests.mutants.project_copy import project_copy, python_of

TRIAL_LIMIT_S = 240
TEST_LIMIT_S = 90
TESTS_FAILED = 1
REASON_LENGTH_MAX = 160
# What a test says when the planted bug did not let it begin at all.
NOT_A_VERDICT = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError")

KILLED, SURVIVED, BROKEN = "killed", "SURVIVED", "BROKEN"


@dataclass(frozen=True, slots=True)
class Run:
    """What pytest said: its exit code, how many failed and how many could not even start, and the first reason."""

    exit_code: int
    failed: int
    errors: int
    reason: str
    output: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant, and why."""

    mutant: str
    files: list[str]
    test: str
    result: str
    reason: str
    took_s: float

    def as_json(self) -> dict[str, object]:
        """For the report."""
        return asdict(self)


def try_mutant(mutant: Mutant) -> Verdict:
    """Plant the bug in a copy and run its test there. Raises DoesNotApplyError."""
    started = time.monotonic()
    with project_copy() as root:
        for edit in mutant.edits:
            edit.apply(root)
        run = run_tests(root, [mutant.test])
    took_s = round(time.monotonic() - started, 1)
    result, reason = judge(run, mutant.saying)
    return Verdict(mutant.name, mutant.files, mutant.test, result, reason, took_s)


def judge(run: Run, saying: str = "") -> tuple[str, str]:
    """Killed only by a test that ran, failed and said so; what breaks before the test can speak proves nothing."""
    if run.exit_code == 0:
        return SURVIVED, "the test is green"
    if run.exit_code != TESTS_FAILED or run.failed == 0 or run.errors:
        return BROKEN, f"pytest ended with {run.exit_code}: {run.output[-REASON_LENGTH_MAX:]}"
    if run.reason.startswith(NOT_A_VERDICT):
        return BROKEN, run.reason
    if saying not in run.reason:
        return BROKEN, f"red, but not for {saying!r}: {run.reason}"
    return KILLED, run.reason


def run_tests(root: Path, tests: Collection[str], *options: str, limit_s: float = TRIAL_LIMIT_S) -> Run:
    """Run these tests, by node id, in a copy of the project; each starts servers of its own."""
    report = root / "report.xml"
    command = [
        *(python_of(root), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--timeout={TEST_LIMIT_S}"),
        *(f"--junitxml={report}", *options, *tests),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            timeout=limit_s,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Run(-1, 0, 0, "", f"no end within {limit_s:g} s")
    return _read(done.returncode, done.stdout + done.stderr, report)


def _read(exit_code: int, output: str, report: Path) -> Run:
    if not report.is_file():
        return Run(exit_code, 0, 0, "", output)
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    failure = suite.find(".//failure")
    message = "" if failure is None else failure.get("message", "")
    reason = message.replace("AssertionError: ", "").partition("\n")[0][:REASON_LENGTH_MAX]
    return Run(exit_code, int(suite.get("failures", "0")), int(suite.get("errors", "0")), reason, output)
