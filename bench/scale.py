"""How large a run is: the full one, a quick one for a first look, and a tiny one that only shows that all of it works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run. Counts are of requests unless said otherwise."""

    rounds: int
    seconds: float
    """How long a stream lasts that asks for all it can get."""
    steady_seconds: float
    """How long a stream of steady arrivals lasts."""
    students: int
    clients: int
    """Clients of a closed stream, each waiting for its answer before it calls again."""
    courses: int
    """Of the contests that spread requests over many courses."""
    steady_rate_per_s: float
    """Arrivals where latency, not throughput, is measured."""
    waiting: int
    logins: int
    applied: int
    applied_by_simple_worker: int
    applied_by_forking_worker: int
    knee_percents: tuple[int, ...]
    round_sizes: tuple[int, ...]
    course_counts: tuple[int, ...]
    roster_sizes: tuple[int, ...]
    ledger_sizes: tuple[int, ...]
    repeating_students: int
    copies: tuple[int, ...]
    """How often each of those students sends the same."""


FULL = Scale(
    rounds=3,
    seconds=3,
    steady_seconds=6,
    students=18_000,
    clients=128,
    courses=200,
    steady_rate_per_s=250,
    waiting=10_000,
    logins=2_500,
    applied=24_000,
    applied_by_simple_worker=500,
    applied_by_forking_worker=100,
    knee_percents=(50, 80, 150),
    round_sizes=(1, 10, 100, 1_000),
    course_counts=(1, 200, 2_000),
    roster_sizes=(30, 300, 3_000),
    ledger_sizes=(10_000, 1_000_000),
    repeating_students=1_000,
    copies=(1, 5, 50),
)

QUICK = Scale(
    rounds=1,
    seconds=0.5,
    steady_seconds=0.5,
    students=1_200,
    clients=64,
    courses=50,
    steady_rate_per_s=100,
    waiting=500,
    logins=15,
    applied=1_200,
    applied_by_simple_worker=60,
    applied_by_forking_worker=15,
    knee_percents=(80,),
    round_sizes=(),
    course_counts=(),
    roster_sizes=(),
    ledger_sizes=(),
    repeating_students=100,
    copies=(1, 5),
)
