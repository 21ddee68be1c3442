"""Whether a test may be skipped: on any machine by itself, but not where somebody has said what there is.

With `REQUIRE_EVERYTHING_BUT=kubectl,tmpfs` a skip is a failure unless its reason has one of these words; `nothing` is a
good word for nothing. `.ci/run` sets it to what it has looked for itself and not found.
"""

import os
from collections.abc import Generator

import pytest

VARIABLE = "REQUIRE_EVERYTHING_BUT"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped or skips itself."""
    report = yield
    _fail_if_required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole file that is skipped."""
    report = yield
    _fail_if_required(report)
    return report


def _fail_if_required(report: pytest.TestReport | pytest.CollectReport) -> None:
    # What is expected to fail is reported as skipped too, without a reason.
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not may_be_skipped(reason, os.environ.get(VARIABLE)):
            report.outcome = "failed"
            report.longrepr = f"required here by {VARIABLE}, and not to be had: {reason}"


def may_be_skipped(reason: str, excused: str | None) -> bool:
    """Whether a test may be skipped for this reason; `excused` is the variable's value, or None."""
    if excused is None:
        return True
    return any(word.strip() in reason for word in excused.split(",") if word.strip())
