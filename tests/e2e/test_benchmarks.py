"""The benchmarks measure what they say: every contestant keeps the rules, and the check finds what is wrong."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench import accepting, applying, end_to_end, programme, verdicts
from bench.contestants import EMPTY_POST, ONE_STATEMENT, OURS, ROW_LOCK, SEED_STYLE, Contestant, running
from bench.demand import introductions, registrations
from bench.ground import RESERVE_LIMIT, Ground, prepared_ground
from bench.load import measure
from bench.scale import QUICK
from bench.streams import REGISTER_HEADERS, Load, Stream
from bench.trials import Results

SEATS = 2
STUDENTS = SEATS + RESERVE_LIMIT + 8
TINY = replace(QUICK, seconds=0.3, students=STUDENTS, clients=4, courses=3)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Both servers, the tables and a few students."""
    with prepared_ground(tmp_path_factory.mktemp("bench") / "data", STUDENTS) as prepared:
        yield prepared


@pytest.mark.parametrize(
    "contestant", [OURS, SEED_STYLE, ROW_LOCK, ONE_STATEMENT], ids=lambda contestant: contestant.name
)
def test_every_contestant_fills_a_course_by_the_same_rules(ground: Ground, contestant: Contestant) -> None:
    """Seats, then reserve positions, then refusals: who is compared does the same work."""
    [course_id] = ground.courses(1, seats=SEATS)
    calls = registrations(ground.students, [course_id])
    stream = Stream("register", calls, 10, headers=REGISTER_HEADERS, clients=4, until_final=True)
    with running(ground, contestant) as contender:
        report = measure(contender, Load(contender.base_url, [stream])).report.streams["register"]
    assert report.results == {"ENROLLED": SEATS, "RESERVED": RESERVE_LIMIT, "course_full": 8}
    assert verdicts.rosters_against_answers(ground, [course_id], SEATS + RESERVE_LIMIT) == []


def test_a_contest_from_start_to_verdict(ground: Ground) -> None:
    """Ours on several courses: what was finished in time is counted, and nothing found."""
    trial = end_to_end.contest(ground, TINY, OURS, end_to_end.SPREAD, TINY.courses)
    assert trial.problems == []
    assert set(trial.answers) == {"200"}
    assert trial.rate_per_s > 0
    assert set(trial.cost_ms) == {"api", "worker", "postgresql", "valkey"}


def test_what_is_measured_at_a_part_of_the_knee_is_not_measured_without_it(ground: Ground) -> None:
    """A run of a few steps finds the knee first; else it would read my-courses beside a rush of nobody."""
    results = Results()
    steps = [
        step
        for step in programme.after_the_knee_is_known(ground, TINY, results)
        if step.name == accepting.RUSH
    ]
    knee, *rest = programme.with_the_knee(ground, TINY, results, steps)
    assert (knee.name, rest) == (f"{end_to_end.SPREAD}: {OURS.name}", steps)
    assert programme.with_the_knee(ground, TINY, results, []) == []
    results.trials.append(knee.run())
    assert programme.with_the_knee(ground, TINY, results, steps) == steps


@pytest.mark.parametrize("kind", ["simple", "fork"])
def test_stock_rq_workers_apply_the_same_transaction(ground: Ground, kind: str) -> None:
    """The ledger they leave replays to the rosters, as ours does."""
    asks = applying.draw(ground, STUDENTS, ground.courses(1))
    assert applying.rq_worker(ground, kind, kind, asks).problems == []


def test_the_batched_loop_writes_the_same_rows(ground: Ground) -> None:
    """It skips the deciding, not the writing."""
    asks = applying.draw(ground, STUDENTS, ground.courses(2))
    assert applying.batched_loop(ground, asks).problems == []


def test_the_empty_post_checks_tokens(ground: Ground) -> None:
    """It does what every accept must do, and nothing else."""
    known = registrations(ground.students[:3], ["3f0e9c2a-6d1b-4f0e-9a51-0c7f4f1e2b8d"])
    forged = [(known[0][0], f"{known[0][1]}x")]
    with running(ground, EMPTY_POST) as contender:
        load = Load(
            contender.base_url, [Stream("all", known + forged, 10, clients=1)], introductions(ground.tokens())
        )
        report = measure(contender, load).report.streams["all"]
    assert report.statuses == {"202": 3, "401": 1}


def test_the_check_finds_places_that_were_lost_duplicated_or_oversold(ground: Ground) -> None:
    """Were a contestant to cheat, its trial would be void."""
    course_ids = ground.courses(1, seats=5)
    asks = applying.draw(ground, 4, course_ids)
    assert applying.our_worker(ground, "cheating", asks).problems == []
    assert "lost" in verdicts.rosters_against_answers(ground, course_ids, 5)[0]
    assert "duplicated" in verdicts.rosters_against_answers(ground, course_ids, 3)[0]
    ground.execute(
        "UPDATE course_registrations SET status = 'RESERVED', reserve_position = 2"
        " WHERE course_id = :course_id AND student_id = :student_id",
        course_id=course_ids[0],
        student_id=asks[0][0],
    )
    assert "gap on the reserve list" in verdicts.rosters_against_answers(ground, course_ids, 4)[0]
    assert verdicts.ledger_against_promises(ground, course_ids, [])
