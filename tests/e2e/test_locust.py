"""The load test for Locust, run as a person would run it: its rows, its exit code, and what it makes of a broken promise."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.campus import Campus
from tests.e2e.program import Program
from tests.e2e.stack import PROJECT_ROOT, Stack

RUN_LIMIT_S = 90
ROWS_OF_SCENARIOS = {
    "register end to end",
    "drop end to end",
    "/semesters/{id}/courses?search=",
    "/semesters/{id}/my-courses",
    "login end to end",
    "repeats name one request",
    "accepted requests are final",
}

Row = dict[str, Any]


class LoadTest:
    """Locust on one semester, with minted tokens."""

    def __init__(self, stack: Stack, campus: Campus, directory: Path) -> None:
        self._stack = stack
        self._report = directory / "report"
        self.semester_id = campus.semester()
        self.course_ids = [campus.course(seats=2, reserve=2, semester_id=self.semester_id) for _ in range(3)]
        tokens = directory / "tokens.csv"
        stack.run("scripts.make_students", "--count", "12", "--tokens", str(tokens))
        self._options = [
            *("-f", str(PROJECT_ROOT / "locust" / "locustfile.py"), "--headless", "-H", stack.api_url),
            *("-u", "6", "-r", "100", "--stop-timeout", "20", "--only-summary"),
            *("--json-file", str(self._report), "--semester", f"Semester {self.semester_id}"),
            *("--tokens", str(tokens), "--students", "LOAD%06d", "--student-count", "12"),
            *("--password", "load-test"),
        ]

    def start(self, *options: str, **environment: str) -> Program:
        """Start Locust with further options."""
        return self._stack.launch(["locust", *self._options, *options], **environment)

    def rows(self) -> dict[str, Row]:
        """What it reported, by name."""
        [report] = self._report.parent.glob("report*")
        return {row["name"]: row for row in json.loads(report.read_text(encoding="utf-8"))}


@pytest.fixture
def load_test(stack: Stack, campus: Campus, tmp_path: Path) -> Iterator[LoadTest]:
    """Three small courses of a new semester, twelve students."""
    return LoadTest(stack, campus, tmp_path)


def test_every_scenario_takes_part_by_its_weight_and_ends_well(load_test: LoadTest) -> None:
    """No failure in any of their rows, and after the run everything accepted is final."""
    locust = load_test.start("-u", "22", "-t", "7s")
    assert locust.wait(RUN_LIMIT_S) == 0, locust.log()
    rows = load_test.rows()
    assert set(rows) >= ROWS_OF_SCENARIOS
    assert all(row["num_failures"] == 0 for row in rows.values())


def test_refusals_are_outcomes_and_not_failures(load_test: LoadTest, stack: Stack) -> None:
    """Six students want two seats and two reserve positions; the ledger says the same as the rows."""
    locust = load_test.start("--tags", "rush", "-t", "3s", "--hot-share", "1")
    assert locust.wait(RUN_LIMIT_S) == 0, locust.log()
    rows = load_test.rows()
    assert "login end to end" not in rows, "only the scenario of that tag"
    assert {"register: ENROLLED", "register: RESERVED", "register: course_full"} <= set(rows)
    [counted] = stack.sql(
        "SELECT count(*) FROM registration_requests WHERE course_id = ANY(%s::uuid[])", load_test.course_ids
    )
    assert rows["accepted requests are final"]["num_requests"] == counted["count"]


def test_a_request_that_is_never_finished_fails_the_run(load_test: LoadTest, stack: Stack) -> None:
    """What was accepted and stays waiting is found by asking the server, although nobody saw a failure."""
    with stack.held(*load_test.course_ids):
        locust = load_test.start("--tags", "rush", "-t", "2s", "--stop-timeout", "0", "--finish-limit-s", "1")
        assert locust.wait(RUN_LIMIT_S) == 1, locust.log()
    assert load_test.rows()["accepted requests are final"]["num_failures"] > 0


def test_a_master_fails_the_run_for_what_its_workers_find(load_test: LoadTest, stack: Stack) -> None:
    """Several processes: the workers check what each was promised, and their master's exit code tells."""
    distributed = ("--processes", "2", "--expect-workers", "2", "--tags", "rush", "-t", "3s")
    locust = load_test.start(*distributed)
    assert locust.wait(RUN_LIMIT_S) == 0, locust.log()
    assert load_test.rows()["accepted requests are final"]["num_requests"] > 0
    with stack.held(*load_test.course_ids):
        locust = load_test.start(*distributed, "--stop-timeout", "0", "--finish-limit-s", "1")
        assert locust.wait(RUN_LIMIT_S) == 1, locust.log()


def test_an_opening_morning_has_a_shape_only_when_asked_for(load_test: LoadTest) -> None:
    """With it the users follow the morning and the run ends with it."""
    locust = load_test.start("--tags", "rush", "-t", "4s", LOCUST_SHAPE="opening-morning")
    assert locust.wait(RUN_LIMIT_S) == 0, locust.log()
    assert "Shape test" in locust.log()
    assert load_test.rows()["register end to end"]["num_requests"] > 0
