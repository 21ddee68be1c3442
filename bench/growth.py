"""What a request costs as things grow: rounds, courses, rosters, the ledger. Flat is good."""

from collections.abc import Iterator
from functools import partial

from bench.applying import draw, our_worker
from bench.draining import drain, fill
from bench.ground import Ground
from bench.scale import Scale
from bench.steps import Step
from bench.trials import Trial

ROUND_SIZE, COURSES, ROSTER, LEDGER = "round size", "courses", "roster size", "ledger rows"
ROSTER_COURSES = 10

# Failures of courses that never were: rows like any other for the indexes, and none that the audit would miss.
GROW_LEDGER = """
    INSERT INTO registration_requests (request_id, course_id, student_id, applied_at, applied_index, status, reason, worker)
    SELECT gen_random_uuid(), course_id, gen_random_uuid(), now(), applied_index, 'FAILED', 'internal_error', 'bench'
      FROM (SELECT gen_random_uuid() AS course_id FROM generate_series(1, :courses)) AS course,
           generate_series(1, 100) AS applied_index
"""


def steps(ground: Ground, scale: Scale) -> Iterator[Step]:
    """One step per point of each curve. The ledger's come first, for every trial makes it longer."""
    for rows in scale.ledger_sizes:
        yield Step(f"{LEDGER} {rows}", partial(ledger_size, ground, scale, rows))
    for size in scale.round_sizes:
        yield Step(f"{ROUND_SIZE} {size}", partial(round_size, ground, scale, size))
    for count in scale.course_counts:
        yield Step(f"{COURSES} {count}", partial(course_count, ground, scale, count))
    for size in scale.roster_sizes:
        yield Step(f"{ROSTER} {size}", partial(roster_size, ground, scale, size))


def ledger_size(ground: Ground, scale: Scale, rows: int) -> Trial:
    """Applying with so many rows in the ledger already."""
    [[present]] = ground.rows("SELECT count(*) FROM registration_requests")
    ground.execute(GROW_LEDGER, courses=max(0, rows - present) // 100)
    ground.execute("ANALYZE registration_requests")
    asks = draw(ground, scale.applied, ground.courses(scale.courses))
    return our_worker(ground, f"{LEDGER} {rows}", asks)


def round_size(ground: Ground, scale: Scale, size: int) -> Trial:
    """Applying with at most so many requests per transaction."""
    count = min(scale.applied, size * 1_000)
    asks = draw(ground, count, ground.courses(scale.courses))
    return our_worker(ground, f"{ROUND_SIZE} {size}", asks, ROUND_SIZE_MAX=str(size))


def course_count(ground: Ground, scale: Scale, count: int) -> Trial:
    """Applying as many requests, spread over so many courses."""
    asks = draw(ground, scale.applied, ground.courses(count))
    return our_worker(ground, f"{COURSES} {count}", asks)


def roster_size(ground: Ground, scale: Scale, size: int) -> Trial:
    """Applying to courses that have so many students each already."""
    course_ids = ground.courses(ROSTER_COURSES)
    early = [student.student_id for student in ground.students[:size]]
    ground.empty_redis()
    fill(ground, [(student_id, course_id) for course_id in course_ids for student_id in early])
    drain(ground, course_ids, size * ROSTER_COURSES)
    asks = draw(ground, scale.applied // 3, course_ids, skip=size)
    return our_worker(ground, f"{ROSTER} {size}", asks)
