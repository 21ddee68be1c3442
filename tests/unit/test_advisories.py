"""`make advisories` is good only when every package was looked up: silence is no proof."""

import json

from scripts.advisories import EXIT_ADVISORIES, EXIT_CLEAN, EXIT_NOT_CHECKED, verdict

CLEAN = {"name": "rq", "version": "3.0.0", "vulns": []}
BAD = {"name": "x", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "y", "skip_reason": "Dependency not found on PyPI and could not be audited: y (1)"}


def report(*packages: dict[str, object]) -> str:
    """What pip-audit prints about these packages."""
    return json.dumps({"dependencies": packages, "fixes": []})


def test_every_package_looked_up_and_nothing_known_is_good() -> None:
    """The count says that something was looked at."""
    assert verdict(report(CLEAN, CLEAN), "") == (EXIT_CLEAN, ["2 packages, no known advisory"])


def test_an_advisory_is_named_with_its_cure() -> None:
    """Also beside a package of which nothing is known."""
    code, lines = verdict(report(CLEAN, BAD, UNKNOWN), "Found 1 known vulnerability in 1 package")
    assert code == EXIT_ADVISORIES
    assert lines == ["x 1: PYSEC-1, fixed in 2", UNKNOWN["skip_reason"]]


def test_a_package_that_no_database_knows_was_not_checked() -> None:
    """pip-audit itself would end with 0 and `No known vulnerabilities found`."""
    code, lines = verdict(report(CLEAN, UNKNOWN), "No known vulnerabilities found")
    assert code == EXIT_NOT_CHECKED
    assert lines[-1] == "NOT CHECKED: 1 of 2 packages are in no database asked"
    assert verdict(report(), "")[0] == EXIT_NOT_CHECKED


def test_without_a_report_nothing_was_checked() -> None:
    """No network: pip-audit breaks off, and its last words say why."""
    code, lines = verdict("", "Traceback\nConnectionError: no route")
    assert (code, lines) == (EXIT_NOT_CHECKED, ["NOT CHECKED: ConnectionError: no route"])
    assert verdict("", "")[0] == EXIT_NOT_CHECKED
    assert verdict("[]", "")[0] == EXIT_NOT_CHECKED
