"""Order as clients can tell it: who was sent after somebody's answer must not stand before them."""

from bench.repeaters import Registered, out_of_order
from bench.term_demand import WISHES_MAX, draw_wishes


def registered(sequence: int, sent_at: float, answered_at: float, course_id: str = "one") -> Registered:
    """A registration with these times."""
    return Registered(f"request {sequence}", sequence, course_id, "ENROLLED", sent_at, answered_at, 0.0)


def test_requests_under_way_together_may_stand_in_any_order() -> None:
    """Nobody can tell which of them came first."""
    assert out_of_order([registered(1, sent_at=0.5, answered_at=2.0), registered(2, 0.0, 1.0)]) == 0


def test_whoever_was_sent_after_an_answer_and_stands_before_it_is_found() -> None:
    """The second in the queue was answered before the first had been sent."""
    assert out_of_order([registered(1, sent_at=3.0, answered_at=4.0), registered(2, 0.0, 1.0)]) == 1
    assert out_of_order([registered(1, 3.0, 4.0), registered(2, 0.0, 1.0, "another course")]) == 0


def test_wishes_differ_are_unevenly_popular_and_are_the_same_for_the_same_seed() -> None:
    """Zipf's law: the most wanted section is wanted by nearly everybody, the least wanted by few."""
    course_ids = [f"course {number}" for number in range(300)]
    wishes = draw_wishes(200, course_ids, seed=3)
    assert wishes == draw_wishes(200, course_ids, seed=3)
    assert all(len({wish.course_id for wish in each}) == WISHES_MAX for each in wishes)
    wanted = sorted(
        sum(wish.course_id == course for each in wishes for wish in each) for course in course_ids
    )
    assert wanted[-1] > 120
    assert wanted[0] < 10
    assert {wish.copies for each in wishes for wish in each} == {1, 2, 3, 4}
