"""Contests about accepting and reading alone: its rate, and its latency while something else goes on."""

from collections.abc import Sequence
from dataclasses import replace

from bench import verdicts
from bench.contestants import EMPTY_POST, OURS, OURS_ACCEPTING, Contestant, Running, running
from bench.demand import Call, introductions, registrations
from bench.draining import NO_LIMIT, drain, fill
from bench.ground import PASSWORD, Ground
from bench.load import Measured, measure
from bench.scale import Scale
from bench.streams import REGISTER_HEADERS, Load, Stream
from bench.trials import Trial, trial_of

ACCEPT = "accepted, not yet applied"
NONE_WAITING, MANY_WAITING = "accepting with none waiting", "accepting with many waiting"
NO_STORM, STORM = "accepting without logins", "accepting in a login storm"
IDLE, RUSH, NEAR_THE_KNEE = "my-courses while idle", "my-courses in the rush", "my-courses near the knee"
# What arrives, as a part of the knee: in the rush both cores are busy most of the time, near the knee always.
READS_BESIDE = {IDLE: 0.0, RUSH: 0.5, NEAR_THE_KNEE: 0.8}
COURSES_EACH = 5
ALL_AT_ONCE_PER_S = 1_000_000.0
# Arrivals are random; this many times their expected number is never reached.
MORE_THAN_ARRIVE = 1.3


def accept(ground: Ground, scale: Scale, contestant: Contestant) -> Trial:
    """As many registrations as are accepted in the time; nobody waits for outcomes, and no worker runs."""
    ground.empty_redis()
    course_ids = ground.courses(scale.courses)
    calls = registrations(ground.students, course_ids)
    stream = Stream("accept", calls, scale.seconds, clients=scale.clients)
    with running(ground, contestant, QUEUE_LIMIT=NO_LIMIT) as contender:
        measured = measure(contender, Load(contender.base_url, [stream], introductions(ground.tokens())))
    report = measured.report.streams["accept"]
    problems = [] if contestant is EMPTY_POST else _drained(ground, course_ids, report.finished)
    return trial_of(ACCEPT, contestant.name, measured, report, problems)


def accept_behind(ground: Ground, scale: Scale, waiting: int) -> Trial:
    """Latency of accepting for one course whose queue is so long already."""
    ground.empty_redis()
    [course_id] = ground.courses(1)
    early, late = ground.students[:waiting], ground.students[waiting:]
    fill(ground, [(student.student_id, course_id) for student in early])
    calls = registrations(late, [course_id])
    with running(ground, OURS_ACCEPTING, QUEUE_LIMIT=NO_LIMIT) as contender:
        measured = _steady(contender, scale, calls)
    report = measured.report.streams["accept"]
    problems = _drained(ground, [course_id], waiting + report.finished)
    name = MANY_WAITING if waiting else NONE_WAITING
    return trial_of(name, OURS.name, measured, report, problems)


def accept_in_login_storm(ground: Ground, scale: Scale, logins: int) -> Trial:
    """Latency of accepting while so many students log in at once."""
    ground.empty_redis()
    course_ids = ground.courses(scale.courses)
    login = f'{{"student_number": "{ground.students[0].student_number}", "password": "{PASSWORD}"}}'
    storm = Stream(
        "login",
        [("/auth/login", "")] * logins,
        scale.seconds,
        headers={"Content-Type": "application/json"},
        body=login,
        rate_per_s=ALL_AT_ONCE_PER_S,
    )
    calls = registrations(ground.students, course_ids)
    with running(ground, OURS) as contender:
        beside = Load(contender.base_url, [storm]) if logins else None
        measured = _steady(contender, scale, calls, beside)
    report = measured.report.streams["accept"]
    problems = _drained(ground, course_ids, report.finished)
    trial = trial_of(STORM if logins else NO_STORM, OURS.name, measured, report, problems)
    return replace(trial, cost_ms={})


def usual_term(ground: Ground) -> str:
    """A semester in which everybody has a usual number of courses, as my-courses shows them; returns its id."""
    ground.empty_redis()
    semester_id = ground.semester("A usual term")
    for course_id in ground.courses(COURSES_EACH, semester_id=semester_id):
        fill(ground, [(student.student_id, course_id) for student in ground.students])
        drain(ground, [course_id], len(ground.students))
    return semester_id


def read_my_courses(ground: Ground, scale: Scale, semester_id: str, name: str, knee_per_s: float) -> Trial:
    """Latency of my-courses in this semester while registrations arrive at the named part of the knee."""
    rush_per_s = READS_BESIDE[name] * knee_per_s
    ground.empty_redis()
    course_ids = ground.courses(scale.courses, semester_id=semester_id)
    path = f"/semesters/{semester_id}/my-courses"
    reads = [(path, student.token) for student in ground.students]
    reading = Stream("read", reads, scale.steady_seconds, method="GET", rate_per_s=scale.steady_rate_per_s)
    rush = Stream(
        "register",
        registrations(ground.students, course_ids),
        scale.steady_seconds,
        headers=REGISTER_HEADERS,
        rate_per_s=rush_per_s,
        until_final=True,
    )
    with running(ground, OURS) as contender:
        streams = [reading, rush] if rush_per_s else [reading]
        measured = measure(contender, Load(contender.base_url, streams, introductions(ground.tokens())))
    granted = verdicts.places_granted(measured.report.streams["register"]) if rush_per_s else 0
    problems = verdicts.rosters_against_answers(ground, course_ids, granted)
    trial = trial_of(name, OURS.name, measured, measured.report.streams["read"], problems)
    # The processor time of the registrations beside them says nothing about reads.
    return replace(trial, cost_ms={})


def _steady(contender: Running, scale: Scale, calls: Sequence[Call], beside: Load | None = None) -> Measured:
    """Accept at a steady rate that a small part of the machine can carry, beside another load."""
    expected = calls[: int(MORE_THAN_ARRIVE * scale.steady_rate_per_s * scale.steady_seconds)]
    stream = Stream("accept", expected, scale.steady_seconds, rate_per_s=scale.steady_rate_per_s)
    tokens = introductions([token for _, token in expected])
    return measure(contender, Load(contender.base_url, [stream], tokens), beside)


def _drained(ground: Ground, course_ids: Sequence[str], accepted: int) -> list[str]:
    """Apply all that was accepted, and check that this is what became of it."""
    drain(ground, course_ids, accepted)
    problems = verdicts.rosters_against_answers(ground, course_ids, accepted)
    return problems + verdicts.ledger_against_promises(ground, course_ids, [])
