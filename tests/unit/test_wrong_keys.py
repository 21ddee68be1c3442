"""An overwritten key is told once as long as it is met, and again when it had been mended."""

from shared.course_queue.wrong_keys import FORGOTTEN_AFTER_S, WrongKeys


def test_a_problem_is_news_once_as_long_as_it_is_met() -> None:
    """However long that lasts; one more is news of its own."""
    wrong = WrongKeys()
    assert wrong.news(["a", "a"], 0.0) == ["a"]
    for turn in range(1, 10):
        assert wrong.news(["a"], turn * FORGOTTEN_AFTER_S * 0.9) == []
    assert wrong.news(["a", "b"], 9 * FORGOTTEN_AFTER_S * 0.9) == ["b"]


def test_a_problem_that_was_not_met_for_a_minute_is_mended_and_news_again() -> None:
    """Somebody who overwrites the key once more must be heard of."""
    wrong = WrongKeys()
    wrong.news(["a", "b"], 0.0)
    wrong.news(["b"], FORGOTTEN_AFTER_S / 2)
    assert wrong.news([], FORGOTTEN_AFTER_S) == []
    assert wrong.news(["a", "b"], FORGOTTEN_AFTER_S) == ["a"]
