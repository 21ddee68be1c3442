"""Redis or PostgreSQL away: what still works, what is refused, and that everything comes back by itself."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import httpx
import psutil

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


def test_a_whole_system_is_live_and_ready(http: httpx.Client) -> None:
    """Both dependencies are named and in order."""
    assert http.get("/health/live").json()["status"] == "ok"
    ready = http.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ok",
        "dependencies": {"redis": "ok", "postgresql": "ok", "workers": "not paused"},
    }


def test_metrics_are_in_prometheus_text_format(http: httpx.Client) -> None:
    """`/metrics` answers with samples that a scraper can read."""
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE" in answer.text


def test_without_redis_nothing_is_accepted_and_what_is_final_can_still_be_read(
    stack: Stack, http: httpx.Client, student: Student, course_id: str
) -> None:
    """503 at once with Retry-After, readiness names redis, outcomes are read from the ledger; then it recovers."""
    location = student.register(course_id, wait=20).headers["Location"]
    outcome = student.get(location).json()
    stack.valkey.kill()
    refused = student.drop(course_id, key="late")
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.elapsed.total_seconds() < 2
    ready = http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["status"] == "unavailable"
    assert ready.json()["dependencies"]["redis"] != "ok"
    assert ready.json()["dependencies"]["postgresql"] == "ok"
    assert http.get("/health/live").status_code == 200
    assert student.get(location, wait=20).json() == outcome
    assert student.get(f"/requests/{uuid4()}").status_code == 503
    api_pid, worker_pid = stack.api.pid, stack.workers.pid
    stack.valkey.start()
    wait_until(lambda: http.get("/health/ready").status_code == 200, "ready again")
    assert student.outcome(student.drop(course_id, key="late"))["result"] == "DROPPED"
    assert (stack.api.pid, stack.workers.pid) == (api_pid, worker_pid)
    assert stack.api.running
    assert stack.workers.running


def test_who_waits_for_an_outcome_while_redis_restarts_still_gets_it(
    stack: Stack, student: Student, course_id: str
) -> None:
    """A restart of Redis loses neither the waiting request nor its order, and polling goes on after it."""
    with stack.held(course_id):
        answer = student.register(course_id)
        stack.valkey.kill()
        stack.valkey.start()
        assert stack.waiting_in(course_id) == [answer.json()["request_id"]]
        polled = wait_until(
            lambda: (poll := student.get(answer.headers["Location"])).is_success and poll,
            "polling works again",
        )
        assert polled.json()["status"] == "QUEUED"
    assert student.outcome(answer)["result"] == "ENROLLED"


def test_without_postgresql_accepting_and_polling_go_on_and_all_is_applied_later(
    stack: Stack, http: httpx.Client, campus: Campus, semester_id: str
) -> None:
    """202 and QUEUED as ever, readiness `degraded`, reads of the database 503; then every request is applied."""
    course_id = campus.course(seats=2, reserve=3, semester_id=semester_id)
    known, *students = campus.students(6)
    known.registered(course_id)
    stack.postgres.stop_immediately()
    started = time.monotonic()
    answers = [student.register(course_id) for student in students]
    assert [answer.status_code for answer in answers] == [202] * 5
    assert time.monotonic() - started < 3
    for student, answer in zip(students, answers, strict=True):
        polled = student.get(answer.headers["Location"])
        assert (polled.status_code, polled.json()["status"]) == (200, "QUEUED")
    ready = http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["dependencies"]["redis"] == "ok"
    assert ready.json()["dependencies"]["postgresql"] != "ok"
    for path in (f"/semesters/{semester_id}/my-courses", "/requests"):
        away = known.get(path)
        assert (away.status_code, away.json()["code"]) == (503, "database_unavailable"), path
    for path in ("/semesters/", f"/courses/{course_id}"):
        assert http.get(path).status_code == 503
    login = http.post("/auth/login", json={"student_number": known.number, "password": "x"})
    assert login.status_code == 503
    stack.postgres.start()
    outcomes = [student.outcome(answer) for student, answer in zip(students, answers, strict=True)]
    assert [(one["result"], one["reserve_position"]) for one in outcomes] == [
        ("ENROLLED", None),
        ("RESERVED", 1),
        ("RESERVED", 2),
        ("RESERVED", 3),
        (None, None),
    ]
    wait_until(lambda: http.get("/health/ready").json()["status"] == "ok", "ready again")


def test_with_postgresql_frozen_accepting_and_polling_go_on(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """A server that is there and says nothing delays a poll by the read limit at the most, however many poll."""
    students = campus.students(20)
    students[0].registered(course_id)
    with frozen(stack.postgres.pid):
        answers = [student.register(course_id) for student in students]
        assert {answer.status_code for answer in answers} == {202}
        with ThreadPoolExecutor(len(students)) as devices:
            polls = list(
                devices.map(lambda one, answer: one.get(answer.headers["Location"]), students, answers)
            )
        assert {poll.json()["status"] for poll in polls} == {"QUEUED"}
        assert max(poll.elapsed.total_seconds() for poll in polls) < 8
    for student, answer in zip(students, answers, strict=True):
        assert student.outcome(answer)["status"] in {"APPLIED", "REJECTED"}


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and its children stand still while the block runs."""
    parent = psutil.Process(pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_the_api_starts_while_postgresql_is_away(
    stack: Stack, http: httpx.Client, campus: Campus, student: Student, course_id: str
) -> None:
    """A restart during an outage keeps what waits visible, and accepts again as soon as the courses can be read."""
    with stack.held(course_id):
        waiting = student.register(course_id)
        stack.postgres.stop_immediately()
        stack.restart_api()
    assert student.get(waiting.headers["Location"]).json()["status"] == "QUEUED"
    assert first_register(http, campus, course_id) == (503, "database_unavailable")
    stack.postgres.start()
    assert student.outcome(waiting)["result"] == "ENROLLED"
    assert student.dropped(course_id)["result"] == "DROPPED"


def first_register(http: httpx.Client, campus: Campus, course_id: str) -> tuple[int, str]:
    """How a register is answered by an API that has not read the catalogue yet."""
    headers = {"Authorization": f"Bearer {campus.token(str(uuid4()), 'x')}"}
    answer = http.post(f"/courses/{course_id}/register", headers=headers)
    return answer.status_code, answer.json()["code"]


def test_readiness_says_that_a_full_redis_takes_no_requests(
    stack: Stack, http: httpx.Client, student: Student, course_id: str
) -> None:
    """At maxmemory both readiness and accepting are 503, and with room again both are fine, without a restart."""
    with stack.redis() as client:
        client.config_set("maxmemory", 1)
        try:
            ready, refused = http.get("/health/ready"), student.register(course_id)
        finally:
            client.config_set("maxmemory", 0)
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "takes no writes" in ready.json()["dependencies"]["redis"]
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_unavailable")
    assert http.get("/health/ready").json()["status"] == "ok"
    assert student.registered(course_id)["result"] == "ENROLLED"


def test_the_api_refuses_to_start_on_a_redis_that_may_lose_requests(stack: Stack) -> None:
    """Without `appendfsync always` neither the API nor a worker runs, and each says which setting is wrong."""
    with stack.redis() as client:
        client.config_set("appendfsync", "everysec")
        try:
            stack.stop_workers()
            for arguments in (["worker"], ["api", "--port", "1"]):
                program = stack.launch(arguments)
                assert program.wait() != 0
                assert "appendfsync is everysec, must be always" in program.log()
            ready = stack.http.get("/health/ready")
            assert ready.status_code == 503
            assert "appendfsync" in ready.json()["dependencies"]["redis"]
        finally:
            client.config_set("appendfsync", "always")
