"""Rounds are shared fairly."""

from hypothesis import given
from hypothesis import strategies as st

from worker.turns import Turns


@given(st.sets(st.text(min_size=1, max_size=3), max_size=40), st.integers(1, 60))
def test_a_round_holds_every_ready_course_that_has_a_place(ready: set[str], round_size_max: int) -> None:
    """Each at most once, and nobody else."""
    chosen = Turns(round_size_max).next_round(ready)
    assert set(chosen) <= ready
    assert len(chosen) == len(set(chosen)) == min(len(ready), round_size_max)


def test_with_more_courses_than_a_round_holds_none_starves() -> None:
    """Ten courses, three at a time: after four rounds each had a turn, whatever their order."""
    turns = Turns(3)
    courses = [f"course-{number}" for number in range(10)]
    served = [course for _ in range(4) for course in turns.next_round(courses)]
    assert set(served) == set(courses)


@given(st.data(), st.integers(1, 5), st.integers(1, 12))
def test_a_course_waits_at_most_as_many_rounds_as_the_others_need(
    data: st.DataObject, round_size_max: int, count: int
) -> None:
    """While it stays ready, a course is served within ceil(courses / round size) rounds, whoever comes and goes."""
    turns = Turns(round_size_max)
    others = [f"other-{number}" for number in range(count)]
    for _ in range(data.draw(st.integers(0, 5))):
        turns.next_round(data.draw(st.sets(st.sampled_from(others))))
    patience = -(-(count + 1) // round_size_max)
    rounds = [
        turns.next_round([*data.draw(st.sets(st.sampled_from(others))), "patient"]) for _ in range(patience)
    ]
    assert any("patient" in chosen for chosen in rounds)
