"""Rounds are shared fairly."""

from hypothesis import given
from hypothesis import strategies as st

from worker.turns import Turns


@given(st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=40), st.integers(1, 60))
def test_a_round_never_exceeds_its_size_and_gives_everyone_in_it_a_turn(
    ready: set[str], round_size_max: int
) -> None:
    """Quotas are at least 1 and together at most the round's size."""
    quotas = Turns(round_size_max).next_round(ready)
    assert set(quotas) <= ready
    assert all(quota >= 1 for quota in quotas.values())
    assert sum(quotas.values()) <= round_size_max
    assert len(quotas) == min(len(ready), round_size_max)


def test_a_single_ready_course_has_the_whole_round() -> None:
    """Nothing is reserved for courses that have nothing to do."""
    assert Turns(400).next_round(["hot"]) == {"hot": 400}


def test_a_hot_course_leaves_every_other_ready_course_its_turn() -> None:
    """In every round, every ready course has the same quota, however long its queue is."""
    assert Turns(9).next_round(["hot", "cold", "mild"]) == {"hot": 3, "cold": 3, "mild": 3}


def test_nothing_ready_makes_an_empty_round() -> None:
    """No courses, no division by zero."""
    assert Turns(400).next_round([]) == {}


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
