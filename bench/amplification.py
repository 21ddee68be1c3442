"""What it costs that students repeat themselves: the same rush with 1, 5 and 50 copies of every registration.

Neither the order nor an outcome may depend on the copies: every copy is answered with the same request, nobody who was sent
later stands earlier, seats and reserve positions go to the first in line, and the audit finds nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import uvloop

from bench import verdicts
from bench.contestants import OURS, Running, running
from bench.ground import RESERVE_LIMIT, Ground, Student
from bench.repeaters import Repeaters, out_of_order
from bench.scale import Scale
from bench.steps import Step
from bench.trials import Results, Trial
from scripts.http_client import HttpClient

AMPLIFIED = "everybody repeats, copies: "
CONNECTIONS = 256
# Students at work at a time; each holds a connection per copy while it lasts.
AT_ONCE = 64


def steps(ground: Ground, scale: Scale) -> Iterator[Step]:
    """One step per number of copies."""
    for copies in scale.copies:
        yield Step(f"{AMPLIFIED}{copies}", partial(repeated_rush, ground, scale, copies))


def repeated_rush(ground: Ground, scale: Scale, copies: int) -> Trial:
    """All students ask for one course that has seats for half of them; finishing means that everybody knows the outcome."""
    ground.empty_redis()
    students = ground.students[: scale.repeating_students]
    seats = len(students) // 2
    [course_id] = ground.courses(1, seats)
    with running(ground, OURS) as contender:
        before = contender.processor_times()
        repeaters, elapsed_s, generator_cores = uvloop.run(_rush(contender, students, course_id, copies))
        after = contender.processor_times()
    count = max(1, len(repeaters.registered))
    return Trial(
        f"{AMPLIFIED}{copies}",
        OURS.name,
        len(repeaters.registered) / elapsed_s,
        cost_ms={part: 1000 * (after[part] - before[part]) / count for part in after},
        generator_cores=generator_cores,
        calls_per_finished=repeaters.http.calls / count,
        answers=dict(Counter(one.code for one in repeaters.registered)),
        problems=_problems(ground, course_id, repeaters, expected_results(len(students), seats)),
    )


def expected_results(students: int, seats: int) -> dict[str, int]:
    """What must come out, whatever the number of copies."""
    return {"ENROLLED": seats, "RESERVED": RESERVE_LIMIT, "course_full": students - seats - RESERVE_LIMIT}


async def _rush(
    contender: Running, students: Sequence[Student], course_id: str, copies: int
) -> tuple[Repeaters, float, float]:
    waiting = iter(students)
    started_at, processor_s = time.perf_counter(), time.process_time()
    async with HttpClient(contender.base_url, CONNECTIONS) as http:
        repeaters = Repeaters(http)

        async def one_after_the_other() -> None:
            for student in waiting:
                await repeaters.register(student, course_id, copies)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    elapsed_s = time.perf_counter() - started_at
    return repeaters, elapsed_s, (time.process_time() - processor_s) / elapsed_s


def _problems(ground: Ground, course_id: str, repeaters: Repeaters, expected: dict[str, int]) -> list[str]:
    problems = list(repeaters.problems)
    results = Counter(one.code for one in repeaters.registered)
    if results != expected:
        problems.append(f"outcomes changed: {dict(results)} instead of {expected}")
    if overtakers := out_of_order(repeaters.registered):
        problems.append(f"out of order: {overtakers} were sent later and stand earlier")
    request_ids = [one.request_id for one in repeaters.registered]
    granted = expected["ENROLLED"] + expected["RESERVED"]
    problems += verdicts.rosters_against_answers(ground, [course_id], granted)
    return problems + verdicts.ledger_against_promises(ground, [course_id], request_ids)


def growth(results: Results) -> dict[int, float]:
    """Copies -> how many times as long as without repeats everybody's outcome took."""
    rates = {
        int(contest.removeprefix(AMPLIFIED)): results.rate(contest, OURS.name)
        for contest, _ in results.pairs()
        if contest.startswith(AMPLIFIED)
    }
    alone = rates.get(1, 0.0)
    return {copies: alone / rate for copies, rate in rates.items() if alone and rate}
