"""The benchmarks of whole crowds measure what they say: repeats change nothing, and a term runs to its end and is checked."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench import term
from bench.amplification import expected_results, repeated_rush
from bench.ground import Ground, prepared_ground
from bench.scale import QUICK
from bench.term_demand import draw_wishes
from bench.waiting import waiting_bytes

STUDENTS = 40
TINY = replace(QUICK, repeating_students=STUDENTS)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Both servers, the tables and a few students."""
    with prepared_ground(tmp_path_factory.mktemp("crowd") / "data", STUDENTS) as prepared:
        yield prepared


def test_copies_change_neither_order_nor_outcome(ground: Ground) -> None:
    """Sent once or eight times: as many seats, as many reserve positions, as many refusals, in the same order."""
    for copies in (1, 8):
        trial = repeated_rush(ground, TINY, copies)
        assert trial.problems == []
        assert trial.answers == expected_results(STUDENTS, STUDENTS // 2)
        assert trial.calls_per_finished >= copies


def test_a_term_runs_to_its_end_and_is_checked(ground: Ground) -> None:
    """Sections too small for everybody: students go on to others, and what they were told is what the tables hold."""
    course_ids = term.make_catalogue(ground, [1, 2, 3, 30])
    wishes = draw_wishes(STUDENTS, course_ids, seed=1)
    report = term.run_term(ground, course_ids, wishes, at_once=16, workers=2, api_processes=1)
    assert report.problems == []
    assert report.outcomes["ENROLLED"] == 36, "every seat is taken"
    assert report.finished == sum(report.outcomes.values()) == 4 * STUDENTS
    assert report.copies_sent > report.finished
    assert set(report.peaks.memory_mb) == {"api", "workers", "postgresql", "valkey"} == set(report.cost_ms)
    assert {"registration_requests", "course_registrations"} <= set(report.tables_mb)


def test_what_waits_is_weighed_by_its_keys(ground: Ground) -> None:
    """The parts come to about what Redis says that it takes in all."""
    total, parts = waiting_bytes(ground, STUDENTS)
    assert 0.5 * total < sum(parts.values()) < 1.5 * total
