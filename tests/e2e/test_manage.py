"""`python -m shared.manage` on a running system: what it shows, what it changes, and its exit codes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from scripts.local_servers import free_port
from shared.course_queue.keys import shard_of
from tests.e2e.campus import Campus, Student
from tests.e2e.stack import SHARDS, Stack
from tests.e2e.waiting import wait_until

NOT_AS_WISHED, UNKNOWN, UNAVAILABLE = 1, 2, 3


class Operator:
    """Somebody at a terminal of the running system."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def run(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """What a command prints; fails unless it ends with that exit code."""
        program = self._stack.launch(["shared.manage", *arguments], **settings)
        returncode = program.wait(60)
        output = program.log_path.read_text(encoding="utf-8")
        assert returncode == code, f"{arguments} ended with {returncode}:\n{output}"
        return output

    def json(self, *arguments: str, code: int = 0, **settings: str) -> Any:
        """The same as a document, which is all of what it prints but for lines about what is missing."""
        printed = self.run(*arguments, "--json", code=code, **settings)
        return json.loads(printed[printed.index("{") :])


def new_ids() -> Iterator[str]:
    """Ids for new courses, one after the other."""
    return iter(lambda: str(uuid4()), "")


@pytest.fixture
def operator(stack: Stack) -> Iterator[Operator]:
    """Leaves no pause behind."""
    yield Operator(stack)
    stack.valkey.start()
    with stack.redis() as client:
        client.delete("cr:paused")


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


def test_no_command_goes_by_a_number_of_shards_of_its_own(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """What waits is seen, and who works on it, whatever QUEUE_SHARDS says where the operator sits."""
    wrong = {"QUEUE_SHARDS": "1"}
    # Its shard is one that the operator's setting does not have.
    course_id = campus.course(course_id=next(new for new in new_ids() if shard_of(new, SHARDS) > 0))
    with stack.held(course_id):
        request_id = campus.student().register(course_id).json()["request_id"]
        left = operator.run("drain", "--timeout", "0", code=NOT_AS_WISHED, **wrong)
        picture = operator.json("top", **wrong)
        course = operator.json("course", course_id, **wrong)
        shown = operator.run("course", course_id, **wrong)
        owner = operator.json("request", request_id, **wrong)["owner"]
    assert "1 requests still wait" in left
    assert (picture["waiting"], picture["shards"], picture["unowned_shards"]) == (1, SHARDS, 0)
    assert f"shard {shard_of(course_id, SHARDS)}, " in shown
    assert f".{stack.worker_pids()[0]}." in course["owner"] == owner


@pytest.mark.parametrize("part", ["worker", "api"])
def test_nobody_starts_with_another_number_of_shards_than_the_running_system(stack: Stack, part: str) -> None:
    """Both numbers are named, and where to read how it is changed; the system is left as it was."""
    program = stack.launch(
        [part, *(["--port", str(free_port())] if part == "api" else [])], QUEUE_SHARDS="32"
    )
    assert program.wait(30) != 0
    told = program.log_path.read_text(encoding="utf-8")
    assert f"QUEUE_SHARDS is 32, but the system runs with {SHARDS} shards" in told
    assert "docs/runbooks/rolling-upgrade.md" in told
    with stack.redis() as client:
        assert client.get("cr:shards") == str(SHARDS).encode()


def test_a_running_system_goes_on_when_redis_has_forgotten_how_many_shards_there_are(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """It is asked for at start only; whoever starts next says it again."""
    with stack.redis() as client:
        client.flushdb()
        assert campus.student().registered(campus.course())["result"] == "ENROLLED"
        assert not client.exists("cr:shards")
        assert operator.json("top")["shards"] == SHARDS
        stack.restart_api()
        assert client.get("cr:shards") == str(SHARDS).encode()


def test_a_request_is_told_with_the_counts_it_was_decided_by(campus: Campus, operator: Operator) -> None:
    """Why did I not get in: who was before, what was taken, when, by which worker."""
    course_id = campus.course(seats=1, reserve=1, code="STORY 1")
    first, second, third = campus.students(3)
    first.registered(course_id)
    reserved = second.registered(course_id)
    refused = third.registered(course_id)
    told = operator.run("request", refused["request_id"])
    assert "STORY 1 A" in told
    assert third.number in told
    assert "1 of 1 seats and 1 of 1 reserve positions were taken" in told
    assert "REJECTED course_full" in told
    assert "as number 3 of its course" in told
    before = operator.json("request", reserved["request_id"])["counts_before"]
    assert (before["enrolled"], before["reserved"]) == (1, 0)


def test_a_request_is_told_with_what_became_of_its_place_later(campus: Campus, operator: Operator) -> None:
    """A promotion by somebody else's drop belongs to the story of who waited."""
    course_id = campus.course(seats=1, reserve=1)
    first, second = campus.students(2)
    first.registered(course_id)
    reserved = second.registered(course_id)
    dropped = first.dropped(course_id)
    told = operator.run("request", reserved["request_id"])
    assert "APPLIED RESERVED 1" in told
    assert "promoted to a seat by another student's drop" in told
    assert dropped["request_id"] in told
    assert "ENROLLED" in told.splitlines()[-1]
    assert second.number in operator.run("request", dropped["request_id"])


def test_a_waiting_request_is_told_with_its_place(
    stack: Stack, campus: Campus, course_id: str, operator: Operator
) -> None:
    """How many are before it, and who is to come to it."""
    with stack.held(course_id):
        answers = [student.register(course_id) for student in campus.students(3)]
        told = operator.run("request", answers[2].json()["request_id"])
    assert "behind 2 others; 3 wait in its queue" in told
    assert "due in" in told
    assert f".{stack.worker_pids()[0]}." in told


def test_a_window_that_was_moved_later_is_told_as_such(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """What is shown is the window as it is now, which need not be the one that a request was judged by."""
    semester_id = campus.semester()
    course_id = campus.course(semester_id=semester_id)
    enrolled = campus.student().registered(course_id)["request_id"]
    told = operator.run("request", enrolled)
    assert "window now" in told
    assert "moved" not in told
    stack.sql(
        "UPDATE semesters SET registration_end = now() - interval '1 hour', updated_at = now() WHERE id = %s",
        semester_id,
    )
    assert "moved since the request was decided" in operator.run("request", enrolled)
    assert operator.json("request", enrolled)["window_moved"] is True
    # An audit goes by the window as it is, too.
    stack.sql("UPDATE semesters SET registration_end = now() + interval '1 hour' WHERE id = %s", semester_id)


def test_a_refusal_for_a_window_that_was_moved_later_is_told_as_such(
    stack: Stack, campus: Campus, operator: Operator
) -> None:
    """Also the other way round: the request was too late, and the semester has been prolonged since."""
    semester_id = campus.semester()
    course_id = campus.course(semester_id=semester_id)
    with stack.held(course_id):
        answer = campus.student().register(course_id)
        stack.sql(
            "UPDATE semesters SET registration_end = now() - interval '1 hour' WHERE id = %s", semester_id
        )
    request_id = answer.json()["request_id"]
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    told = operator.run("request", request_id)
    assert "registration_closed" in told
    assert "moved" not in told
    stack.sql("UPDATE semesters SET registration_end = now() + interval '1 hour' WHERE id = %s", semester_id)
    assert "moved since the request was decided" in operator.run("request", request_id)
    stack.sql("UPDATE semesters SET registration_end = now() - interval '1 hour' WHERE id = %s", semester_id)


def test_what_postgresql_would_tell_of_a_request_is_unknown_while_it_is_away(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """Neither "nobody" nor a time to wait for; what Redis knows is told, and the exit code says that it is not all."""
    student.registered(course_id)
    dropped = student.dropped(course_id)["request_id"]
    with stack.held(course_id):
        waiting = student.register(course_id).json()["request_id"]
        stack.postgres.stop_immediately()
        told = operator.run("request", waiting, code=UNAVAILABLE)
        assert operator.json("request", waiting, code=UNAVAILABLE)["owner"] is None
    assert re.search(r"^worker +unknown$", told, re.MULTILINE)
    assert "behind 0 others" in told
    assert "due in" not in told
    told = operator.run("request", dropped, code=UNAVAILABLE)
    assert re.search(r"^outcome +APPLIED DROPPED$", told, re.MULTILINE)
    assert f".{stack.worker_pids()[0]}." in told


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


def test_a_failed_request_is_told_with_its_problem(
    stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """The text that RQ's failed registry keeps; from the ledger alone, where to look for it."""
    with stack.held(course_id):
        request_id = student.register(course_id).json()["request_id"]
        with stack.redis() as client:
            client.hset(f"rq:job:{request_id}", "data", b"broken")
    wait_until(lambda: not stack.waiting_in(course_id), "the queue drains")
    told = operator.run("request", request_id)
    assert "FAILED internal_error" in told
    assert "its payload is not ours" in told
    with stack.redis() as client:
        client.delete(f"rq:job:{request_id}", f"rq:results:{request_id}")
    assert "look for the request id in the workers' logs" in operator.run("request", request_id)


def test_a_request_that_never_was_is_told_as_such(stack: Stack, operator: Operator) -> None:
    """Exit code 2; and 3 while a part that might know it does not answer."""
    assert "There is no request" in operator.run("request", str(uuid4()), code=UNKNOWN)
    operator.run("request", "not-an-id", code=UNKNOWN)
    stack.postgres.stop_immediately()
    assert "as far as can be told" in operator.run("request", str(uuid4()), code=UNAVAILABLE)


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


@pytest.mark.parametrize("what", ["queue", "ready"])
def test_what_waits_behind_an_overwritten_key_is_never_told_as_nothing(
    what: str, stack: Stack, student: Student, course_id: str, operator: Operator
) -> None:
    """Drain does not end well, top names the key, and nobody says that Redis does not answer."""
    key = f"rq:queue:course-{course_id}" if what == "queue" else f"cr:ready:{shard_of(course_id, SHARDS)}"
    with stack.held(course_id), stack.redis() as client:
        answer = student.register(course_id)
        client.rename(key, "aside")
        client.set(key, "overwritten")
        told = operator.run("drain", "--timeout", "0", code=NOT_AS_WISHED)
        assert "Nothing waits" not in told
        assert f"A key in Redis was overwritten: {key}: WRONGTYPE" in told
        shown = operator.run("top", "--once")
        assert f"A key in Redis was overwritten: {key}: WRONGTYPE" in shown
        assert "does not answer" not in shown
        wait_until(lambda: f"{key}: WRONGTYPE" in stack.workers.log(), "a worker names the key")
        client.rename("aside", key)
    assert student.outcome(answer)["result"] == "ENROLLED"


def test_a_course_whose_queue_cannot_be_shown_is_told_by_the_exit_code_too(
    stack: Stack, course_id: str, operator: Operator
) -> None:
    """As its help promises; the key is named."""
    key = f"rq:queue:course-{course_id}"
    with stack.redis() as client:
        client.set(key, "overwritten")
        assert key in operator.run("course", course_id, code=UNAVAILABLE)
        client.delete(key)
    assert "empty" in operator.run("course", course_id)


@pytest.mark.parametrize("key", ["rq:queue:course-{}", "cr:course:{}", "cr:ready:{}"])
def test_a_request_behind_an_overwritten_key_comes_to_its_outcome_once_the_course_is_rebuilt(
    key: str, stack: Stack, campus: Campus, operator: Operator
) -> None:
    """P2: as the runbook says, while API and workers run."""
    course_id = campus.course(seats=2)
    first, second = campus.students(2)
    name = key.format(shard_of(course_id, SHARDS) if "ready" in key else course_id)
    with stack.held(course_id), stack.redis() as client:
        answer = first.register(course_id)
        client.set(name, "overwritten")
        assert first.get(answer.headers["Location"]).json()["status"] == "QUEUED"
        assert "put back" in operator.run("rebuild-queue", course_id)
    assert first.outcome(answer)["result"] == "ENROLLED"
    assert second.registered(course_id)["result"] == "ENROLLED"
    assert "Nothing waits" in operator.run("drain", "--timeout", "30")
    assert "1 courses, 2 requests, 0 differences" in operator.run("audit", "--course", course_id)


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
        client.sadd("rq:queues", f"rq:queue:course-{uuid4()}")
        assert "1 of " in operator.run("retire-queues")
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
