"""The order of a run: contestants take turns within each round, so that whatever else the machine does meets them all."""

from collections.abc import Iterator, Sequence
from functools import cache, partial

from bench import accepting, amplification, applying, end_to_end
from bench.contestants import EMPTY_POST, ONE_STATEMENT, OURS, OURS_ACCEPTING, ROW_LOCK, SEED_STYLE
from bench.ground import Ground
from bench.scale import Scale
from bench.steps import Step
from bench.trials import Results, Trial


def rounds(ground: Ground, scale: Scale) -> Iterator[Step]:
    """Every contest whose contestants are compared, round after round."""
    for _ in range(scale.rounds):
        yield from _end_to_end(ground, scale)
        yield from _applying(ground, scale)
        yield from _accepting(ground, scale)
        yield from amplification.steps(ground, scale)


def _end_to_end(ground: Ground, scale: Scale) -> Iterator[Step]:
    for name, courses in ((end_to_end.HOT, 1), (end_to_end.SPREAD, scale.courses)):
        for contestant in (OURS, SEED_STYLE, ROW_LOCK, ONE_STATEMENT):
            run = partial(end_to_end.contest, ground, scale, contestant, name, courses)
            yield Step(f"{name}: {contestant.name}", run)


def _applying(ground: Ground, scale: Scale) -> Iterator[Step]:
    def asks(count: int) -> applying.Asks:
        return applying.draw(ground, count, ground.courses(scale.courses))

    simple, forking = applying.SIMPLE_WORKER, applying.FORKING_WORKER
    runs = {
        applying.OUR_WORKER: lambda: applying.our_worker(ground, applying.APPLY, asks(scale.applied)),
        simple: lambda: applying.rq_worker(ground, simple, "simple", asks(scale.applied_by_simple_worker)),
        forking: lambda: applying.rq_worker(ground, forking, "fork", asks(scale.applied_by_forking_worker)),
        applying.BATCHED_LOOP: lambda: applying.batched_loop(ground, asks(scale.applied)),
        applying.RAW_ENQUEUE: lambda: applying.raw_enqueue(ground, scale.applied),
    }
    for contestant, run in runs.items():
        yield Step(f"{applying.APPLY}: {contestant}", run)


def _accepting(ground: Ground, scale: Scale) -> Iterator[Step]:
    for contestant in (OURS_ACCEPTING, EMPTY_POST):
        run = partial(accepting.accept, ground, scale, contestant)
        yield Step(f"{accepting.ACCEPT}: {contestant.name}", run)
    for waiting in (0, scale.waiting):
        yield Step(f"accepting behind {waiting}", partial(accepting.accept_behind, ground, scale, waiting))
    for logins in (0, scale.logins):
        run = partial(accepting.accept_in_login_storm, ground, scale, logins)
        yield Step(f"accepting beside {logins} logins", run)


def after_the_knee_is_known(ground: Ground, scale: Scale, results: Results) -> Iterator[Step]:
    """What is measured at a part of the most that clients which wait can get."""

    @cache
    def term() -> str:
        return accepting.usual_term(ground)

    def read(name: str) -> Trial:
        return accepting.read_my_courses(ground, scale, term(), name, _knee_per_s(results))

    def arrive(percent: int) -> Trial:
        return end_to_end.open_arrivals(ground, scale, percent, _knee_per_s(results))

    for _ in range(scale.rounds):
        for name in accepting.READS_BESIDE:
            yield Step(name, partial(read, name))
        for percent in scale.knee_percents:
            yield Step(f"open arrivals at {percent} %", partial(arrive, percent))
    yield Step("memory", partial(end_to_end.memory, ground, scale))


def with_the_knee(ground: Ground, scale: Scale, results: Results, chosen: Sequence[Step]) -> list[Step]:
    """These steps, after the contest that finds the knee where a run has left that out."""
    missing = chosen and not _knee_per_s(results)
    return [*([_many_courses(ground, scale)] if missing else []), *chosen]


def _many_courses(ground: Ground, scale: Scale) -> Step:
    run = partial(end_to_end.contest, ground, scale, OURS, end_to_end.SPREAD, scale.courses)
    return Step(f"{end_to_end.SPREAD}: {OURS.name}", run)


def _knee_per_s(results: Results) -> float:
    return results.rate(end_to_end.SPREAD, OURS.name)
