"""Contests over HTTP in which every client waits for its outcome: one hot course, many courses, and open arrivals."""

from dataclasses import replace

from bench import verdicts
from bench.contestants import OURS, Contestant, running
from bench.demand import introductions, registrations
from bench.ground import Ground
from bench.load import Measured, measure
from bench.scale import Scale
from bench.streams import REGISTER_HEADERS, Load, Stream
from bench.trials import Trial, trial_of

HOT = "end to end, one hot course"
SPREAD = "end to end, many courses"
MEMORY = "memory with many courses"


def contest(ground: Ground, scale: Scale, contestant: Contestant, name: str, courses: int) -> Trial:
    """As many registrations as the contestant finishes in the time, by clients that each wait for the outcome."""
    stream = {"clients": scale.clients, "duration_s": scale.seconds}
    return _trial(ground, contestant, name, courses, stream)


def open_arrivals(ground: Ground, scale: Scale, percent: int, knee_per_s: float) -> Trial:
    """Registrations that arrive at a share of the knee, the most that clients which wait could get."""
    stream = {"rate_per_s": knee_per_s * percent / 100, "duration_s": scale.seconds}
    return _trial(ground, OURS, f"open arrivals at {percent} % of the knee", scale.courses, stream)


def memory(ground: Ground, scale: Scale) -> Trial:
    """What every part holds in memory after a rush on many courses."""
    stream = {"clients": scale.clients, "duration_s": scale.seconds}
    return _trial(ground, OURS, MEMORY, max((scale.courses, *scale.course_counts)), stream)


def _trial(
    ground: Ground, contestant: Contestant, name: str, courses: int, stream: dict[str, float]
) -> Trial:
    ground.empty_redis()
    course_ids = ground.courses(courses)
    calls = registrations(ground.students, course_ids)
    registering = Stream(
        "register",
        calls,
        headers=REGISTER_HEADERS,
        until_final=True,
        **stream,  # type: ignore[arg-type]
    )
    with running(ground, contestant) as contender:
        load = Load(contender.base_url, [registering], introductions(ground.tokens()))
        measured = measure(contender, load)
        memory_mb = contender.memory_mb() if name == MEMORY else {}
    problems = _problems(ground, contestant, course_ids, measured)
    trial = trial_of(name, contestant.name, measured, measured.report.streams["register"], problems)
    return replace(trial, memory_mb=memory_mb)


def _problems(ground: Ground, contestant: Contestant, course_ids: list[str], measured: Measured) -> list[str]:
    report = measured.report.streams["register"]
    problems = verdicts.rosters_against_answers(ground, course_ids, verdicts.places_granted(report))
    if contestant is OURS:
        problems += verdicts.ledger_against_promises(ground, course_ids, report.request_ids)
    return problems
