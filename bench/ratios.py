"""The ratios that this system is held to: what must be, what is the goal, and what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import accepting, applying, end_to_end
from bench.contestants import EMPTY_POST, ONE_STATEMENT, OURS, OURS_ACCEPTING, ROW_LOCK, SEED_STYLE
from bench.trials import Results


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio's two bars. With `ceiling`, smaller is better."""

    name: str
    must: float
    goal: float
    measure: Callable[[Results], float]
    ceiling: bool = False


@dataclass(frozen=True, slots=True)
class Ratio:
    """A measured ratio: None when a trial that it needs is missing or void."""

    bar: Bar
    value: float | None

    @property
    def verdict(self) -> str:
        """`goal`, `must`, `missed`, or `not measured`."""
        if self.value is None:
            return "not measured"
        return next((word for word in ("goal", "must") if self._reaches(getattr(self.bar, word))), "missed")

    def _reaches(self, mark: float) -> bool:
        assert self.value is not None
        return self.value <= mark if self.bar.ceiling else self.value >= mark


def _applying_over(peer: str) -> Callable[[Results], float]:
    return lambda results: (
        results.rate(applying.APPLY, applying.OUR_WORKER) / results.rate(applying.APPLY, peer)
    )


def _end_to_end_over(contest: str, peer: str) -> Callable[[Results], float]:
    return lambda results: results.rate(contest, OURS.name) / results.rate(contest, peer)


def _accepting_over_empty(results: Results) -> float:
    contest = accepting.ACCEPT
    return results.rate(contest, OURS_ACCEPTING.name) / results.rate(contest, EMPTY_POST.name)


def _p99_over(loaded: str, plain: str) -> Callable[[Results], float]:
    return lambda results: (
        results.percentile(loaded, OURS.name, "99") / results.percentile(plain, OURS.name, "99")
    )


BARS = (
    Bar("apply rate / stock SimpleWorker, same transaction", 40, 80, _applying_over(applying.SIMPLE_WORKER)),
    Bar("apply rate / raw batched loop", 0.4, 0.65, _applying_over(applying.BATCHED_LOOP)),
    Bar("accepted per second / empty FastAPI POST", 0.5, 0.8, _accepting_over_empty),
    Bar(
        "end to end, one hot course / seed-style peer",
        9,
        18,
        _end_to_end_over(end_to_end.HOT, SEED_STYLE.name),
    ),
    Bar(
        "end to end, one hot course / simple peer, row lock",
        2,
        3.5,
        _end_to_end_over(end_to_end.HOT, ROW_LOCK.name),
    ),
    Bar(
        "end to end, one hot course / simple peer, one statement",
        2,
        3.5,
        _end_to_end_over(end_to_end.HOT, ONE_STATEMENT.name),
    ),
    Bar(
        "end to end, many courses / simple peer, row lock",
        1.3,
        2,
        _end_to_end_over(end_to_end.SPREAD, ROW_LOCK.name),
    ),
    Bar(
        "end to end, many courses / simple peer, one statement",
        1.3,
        2,
        _end_to_end_over(end_to_end.SPREAD, ONE_STATEMENT.name),
    ),
    Bar(
        "accept p99, many waiting / none",
        2,
        1.3,
        _p99_over(accepting.MANY_WAITING, accepting.NONE_WAITING),
        ceiling=True,
    ),
    Bar(
        "accept p99, login storm / none", 3, 1.5, _p99_over(accepting.STORM, accepting.NO_STORM), ceiling=True
    ),
    Bar("my-courses p99, rush / idle", 3, 2, _p99_over(accepting.RUSH, accepting.IDLE), ceiling=True),
    Bar(
        "HTTP calls per finished registration",
        2,
        1.1,
        lambda results: results.calls(end_to_end.HOT, OURS.name),
        ceiling=True,
    ),
)


def measured_ratios(results: Results) -> list[Ratio]:
    """Every ratio, in the order of the bars."""
    return [Ratio(bar, _value(bar, results)) for bar in BARS]


def _value(bar: Bar, results: Results) -> float | None:
    try:
        return bar.measure(results) or None
    except ZeroDivisionError:
        return None
