"""What was measured: one trial per contest, contestant and round, and what the rounds come to together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.load import Measured
from bench.streams import StreamReport


@dataclass(frozen=True, slots=True)
class Trial:
    """One contestant in one round of a contest. `cost_ms` is processor time per finished request, by part."""

    contest: str
    contestant: str
    rate_per_s: float
    percentiles_ms: Mapping[str, float] = field(default_factory=dict)
    cost_ms: Mapping[str, float] = field(default_factory=dict)
    generator_cores: float = 0.0
    calls_per_finished: float = 0.0
    answers: Mapping[str, int] = field(default_factory=dict)
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    problems: Sequence[str] = ()
    """What the check of the database found; with any, the trial is void."""


def trial_of(
    contest: str, contestant: str, measured: Measured, stream: StreamReport, problems: Sequence[str]
) -> Trial:
    """The trial that one stream of a load stands for."""
    finished = max(1, stream.finished)
    return Trial(
        contest,
        contestant,
        stream.rate_per_s,
        stream.percentiles_ms,
        {part: 1000 * seconds / finished for part, seconds in measured.processor_s.items()},
        measured.report.generator_cores,
        stream.calls / finished,
        stream.statuses,
        problems=problems,
    )


@dataclass(slots=True)
class Results:
    """All trials of a run."""

    trials: list[Trial] = field(default_factory=list)

    def of(self, contest: str, contestant: str) -> list[Trial]:
        """The valid trials of a contestant in a contest."""
        return [
            trial
            for trial in self.trials
            if (trial.contest, trial.contestant) == (contest, contestant) and not trial.problems
        ]

    def rate(self, contest: str, contestant: str) -> float:
        """The median of the rounds' rates; 0 without a valid trial."""
        return _median([trial.rate_per_s for trial in self.of(contest, contestant)])

    def percentile(self, contest: str, contestant: str, percent: str) -> float:
        """The median of the rounds' percentiles, in milliseconds."""
        return _median([trial.percentiles_ms[percent] for trial in self.of(contest, contestant)])

    def cost(self, contest: str, contestant: str) -> float:
        """The median of the rounds' processor milliseconds per finished request, over all parts."""
        return _median([sum(trial.cost_ms.values()) for trial in self.of(contest, contestant)])

    def calls(self, contest: str, contestant: str) -> float:
        """The median of the rounds' HTTP calls per finished request."""
        return _median([trial.calls_per_finished for trial in self.of(contest, contestant)])

    def pairs(self) -> list[tuple[str, str]]:
        """Every (contest, contestant), in the order in which they first took part."""
        return list(dict.fromkeys((trial.contest, trial.contestant) for trial in self.trials))


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
