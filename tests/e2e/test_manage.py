"""`python -m shared.manage` on a running system: what it shows, what it changes, and its exit codes."""

import re
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from shared.course_queue.keys import shard_of
from tests.e2e.campus import Campus, Student
from tests.e2e.operators import NOT_AS_WISHED, UNAVAILABLE, UNKNOWN, Operator
from tests.e2e.stack import SHARDS, Stack


def test_top_shows_queues_ages_and_who_works_on_them(
    stack: Stack, campus: Campus, operator: Operator, tmp_path: Path
) -> None:
    """The fullest queue first, by its course's title; each worker with its state and shards; as a picture too."""
    busy = campus.course(seats=9, code="TOP 100")
    quiet = campus.course(seats=9, code="TOP 200")
    with stack.held(busy, quiet):
        for student in campus.students(3):
            student.register(busy)
        campus.student().register(quiet)
        picture = operator.json("top")
        text = operator.run("top", "--once")
        operator.run("top", "--svg", str(tmp_path / "top.svg"))
    assert "TOP&#160;100&#160;A" in (tmp_path / "top.svg").read_text()
    assert (picture["waiting"], picture["paused_since"], picture["unowned_shards"]) == (4, None, 0)
    assert [(queue["title"], queue["waiting"]) for queue in picture["queues"]] == [
        ("TOP 100 A", 3),
        ("TOP 200 A", 1),
    ]
    assert picture["oldest_age_s"] > 0
    assert {worker["shards"] for worker in picture["workers"] if worker["shards"]} == {64}
    assert "waiting 4 in 2 courses" in text
    assert "TOP 100 A" in text
    assert picture["workers"][0]["name"] in text


def test_top_shows_what_is_left_when_postgresql_is_away(
    stack: Stack, course_id: str, student: Student, operator: Operator
) -> None:
    """What waits is known; who works on it is not, and is not called nobody."""
    operator.run("pause")
    student.register(course_id)
    stack.postgres.stop_immediately()
    told = operator.run("top", "--once", code=UNAVAILABLE)
    picture = operator.json("top", code=UNAVAILABLE)
    assert "PostgreSQL does not answer: connection to server at" in told
    assert "waiting 1 in 1 courses" in told
    assert "have no owner" not in told
    assert re.search(r"suspended +\? ", told)
    assert re.search(rf" {shard_of(course_id, SHARDS)} +unknown", told)
    assert picture["unowned_shards"] is None
    assert {worker["shards"] for worker in picture["workers"]} == {None}


def test_top_shows_nothing_as_a_fact_that_redis_does_not_tell(stack: Stack, operator: Operator) -> None:
    """How much waits is unknown then, not nothing."""
    stack.valkey.kill()
    told = operator.run("top", "--once", code=UNAVAILABLE)
    picture = operator.json("top", code=UNAVAILABLE)
    assert "Redis does not answer" in told
    assert "waiting ? in ? courses, oldest ?" in told
    assert "have no owner" not in told
    nothing = ("waiting", "oldest_age_s", "shards", "unowned_shards", "queues", "workers")
    assert [picture[name] for name in nothing] == [None] * len(nothing)


def test_what_needs_redis_ends_when_it_is_away(stack: Stack, operator: Operator) -> None:
    """With the exit code that says so."""
    stack.valkey.kill()
    for command in ("pause", "resume", "drain", "retire-queues"):
        assert operator.run(command, code=UNAVAILABLE).startswith("Redis: ")


def test_the_cause_of_an_outage_is_told_without_the_password(stack: Stack, operator: Operator) -> None:
    """A wrong password is not a server that is down."""
    place = stack.postgres.url.rpartition("@")[2]
    settings = {"DATABASE_URL": f"postgresql://nobody:never-shown@{place}"}
    for arguments in (["top", "--once"], ["course", "X"], ["request", str(uuid4())], ["audit"]):
        told = operator.run(*arguments, code=UNAVAILABLE, **settings)
        assert 'password authentication failed for user "nobody"' in told
        assert "never-shown" not in told


def test_a_part_that_is_away_is_told_by_the_exit_code_of_what_is_shown_without_it(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """The roster and the ledger can be read without Redis, but they are not all there is."""
    request_id = student.registered(course_id)["request_id"]
    stack.valkey.kill()
    told = operator.run("course", course_id, code=UNAVAILABLE)
    assert "Redis does not answer" in told
    assert re.search(r"^queue +unknown$", told, re.MULTILINE)
    assert student.number in told
    assert operator.json("course", course_id, code=UNAVAILABLE)["queue"] is None
    assert "APPLIED ENROLLED" in operator.run("request", request_id, code=UNAVAILABLE)


def test_a_command_does_not_wait_long_for_somebodys_lock(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """It says that somebody holds it."""
    request_id = student.registered(course_id)["request_id"]
    limit = {"READ_TIMEOUT_MS": "200"}
    with stack.sole_use_of("courses"):
        for arguments in (["course", course_id], ["request", request_id], ["audit", "--course", course_id]):
            assert "lock timeout" in operator.run(*arguments, code=UNAVAILABLE, **limit)


def test_a_course_is_told_with_roster_reserve_list_and_queue(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """By code and section as by id; the reserve list in order."""
    course_id = campus.course(seats=1, reserve=2, code="ROSTER 7")
    students = campus.students(3)
    for student in students:
        student.registered(course_id)
    document = operator.json("course", course_id)
    assert [(place["student_number"], place["reserve_position"]) for place in document["roster"]] == [
        (students[0].number, None),
        (students[1].number, 1),
        (students[2].number, 2),
    ]
    assert (document["queue"]["waiting"], document["queue"]["sequence"]) == (0, 3)
    told = operator.run("course", "roster", "7", "A")
    assert "1 of 1 taken" in told
    assert "empty; 3 accepted so far" in told
    assert document["owner"] in told
    assert "0 waiting" not in told


def test_a_course_that_is_not_one_is_told_as_such(campus: Campus, operator: Operator) -> None:
    """None, or several to choose from."""
    assert "No course is named NOWHERE 1" in operator.run("course", "NOWHERE", "1", code=UNKNOWN)
    ids = [campus.course(code="TWICE 1", semester_id=campus.semester()) for _ in range(2)]
    told = operator.run("course", "TWICE", "1", code=UNKNOWN)
    assert all(course_id in told for course_id in ids)


def test_paused_workers_apply_nothing_while_the_api_accepts_and_readiness_says_so(
    stack: Stack, http: httpx.Client, student: Student, course_id: str, operator: Operator
) -> None:
    """Nothing leaves the queues, nobody loses a shard, everything is said; resumed, all that waited is applied."""
    operator.run("pause")
    owned = stack.shards_owned_by()
    answer = student.register(course_id)
    assert answer.status_code == 202
    ready = http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["dependencies"]["workers"] == "paused"
    assert "Already paused" in operator.run("pause")
    assert "PAUSED since" in operator.run("top", "--once")
    told = operator.run("request", answer.json()["request_id"])
    assert "PAUSED" in told
    assert "due in" not in told
    assert stack.waiting_in(course_id) == [answer.json()["request_id"]]
    assert stack.shards_owned_by() == owned
    assert '"event": "paused"' in stack.workers.log()
    assert {worker["state"] for worker in operator.json("top")["workers"] if worker["shards"]} == {
        "suspended"
    }
    operator.run("resume")
    assert student.outcome(answer)["result"] == "ENROLLED"
    assert "Nothing was paused" in operator.run("resume")
    assert http.get("/health/ready").json()["status"] == "ok"


def test_a_pause_outlives_redis_and_the_workers(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """What was stopped on purpose is not started again by an accident."""
    operator.run("pause")
    stack.valkey.kill()
    stack.valkey.start()
    stack.kill_workers()
    stack.start_workers()
    answer = student.register(course_id)
    operator.run("pause")
    assert stack.waiting_in(course_id) == [answer.json()["request_id"]]
    operator.run("resume")
    assert student.outcome(answer)["result"] == "ENROLLED"


def test_drain_waits_for_the_queues_and_says_whether_they_are_empty(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """0 when nothing waits, 1 after the time limit, and 1 at once while nobody applies."""
    with stack.held(course_id):
        answer = student.register(course_id)
        assert "1 requests still wait" in operator.run("drain", "--timeout", "0.5", code=NOT_AS_WISHED)
        operator.run("pause")
        assert "resume" in operator.run("drain", "--timeout", "60", code=NOT_AS_WISHED)
    operator.run("resume")
    assert "Nothing waits" in operator.run("drain", "--timeout", "30")
    assert student.get(answer.headers["Location"]).json()["result"] == "ENROLLED"


def test_the_audit_is_the_same_as_ever(student: Student, course_id: str, operator: Operator) -> None:
    """One program for operators."""
    student.registered(course_id)
    assert "1 courses, 1 requests, 0 differences" in operator.run("audit", "--course", course_id)


def test_the_audit_takes_a_course_by_every_name_that_it_has(
    student: Student, campus: Campus, operator: Operator
) -> None:
    """As `course` does; where several have the name, the semester's decides."""
    semester_id = campus.semester()
    student.registered(campus.course(code="AUDITED 1", semester_id=semester_id))
    assert "1 courses, 1 requests" in operator.run("audit", "--course", "audited 1 a")
    campus.course(code="AUDITED 1")
    assert "2 courses are named" in operator.run("audit", "--course", "AUDITED 1", code=UNKNOWN)
    one = ("--course", "AUDITED 1", "--semester", f"Semester {semester_id}")
    assert "1 courses, 1 requests" in operator.run("audit", *one)
    assert "No course is named nonsense" in operator.run("audit", "--course", "nonsense", code=UNKNOWN)


def test_empty_and_forgotten_queues_are_retired(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """Also where no worker does it; a queue with something to show stays."""
    student.registered(course_id)
    stack.stop_workers()
    with stack.redis() as client:
        forgotten = f"rq:queue:course-{uuid4()}"
        client.sadd("rq:queues", forgotten)
        assert "queues retired" in operator.run("retire-queues")
        assert not client.sismember("rq:queues", forgotten)
        assert client.sismember("rq:queues", f"rq:queue:course-{course_id}")
        client.delete(f"rq:finished:course-{course_id}")
        operator.run("retire-queues")
        assert not client.sismember("rq:queues", f"rq:queue:course-{course_id}")


@pytest.mark.parametrize("command", [["top", "--once"], ["drain"], ["course", "X"], ["audit"]])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("SECRET_KEY", "short"), ("REDIS_URL", "nonsense"), ("DATABASE_URL", "mysql://x")],
)
def test_a_wrong_configuration_is_told_in_one_line(
    operator: Operator, command: list[str], variable: str, value: str
) -> None:
    """Exit code 3, and the variable that is wrong."""
    [told] = operator.run(*command, code=UNAVAILABLE, **{variable: value}).splitlines()
    assert told.startswith(f"The configuration is wrong: {variable}")


@pytest.mark.parametrize("arguments", [["worker"], ["api"]], ids=["worker", "api"])
@pytest.mark.parametrize(("variable", "value"), [("REDIS_URL", "nonsense"), ("DATABASE_URL", "mysql://x")])
def test_nobody_starts_with_a_url_that_is_none(
    stack: Stack, arguments: list[str], variable: str, value: str
) -> None:
    """One line says which."""
    program = stack.launch(arguments, **{variable: value})
    assert program.wait(30) == 1
    [told] = program.log().splitlines()
    assert f"cannot start: {variable}: must look like" in told
