"""Metrics tell the truth, with one API process or several, and stay few however many courses there are."""

import contextlib
import os
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from scripts.local_servers import free_port
from tests.e2e.campus import Campus
from tests.e2e.program import Program
from tests.e2e.scraping import Scrape
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

API_PROCESSES = 3


@contextlib.contextmanager
def several_processes(stack: Stack) -> Iterator[tuple[Program, str]]:
    """The API as `python -m api` starts it, with several processes; the block gets the program and its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = stack.launch(["api", "--port", str(port), "--processes", str(API_PROCESSES)])
    try:
        wait_until(lambda: len(serving_processes(program)) == API_PROCESSES, "every process serves", 60)
        stack._wait_for_api(program, url)
        yield program, url
    finally:
        program.stop()


def serving_processes(program: Program) -> list[psutil.Process]:
    """The processes that have finished starting, by their own log."""
    log = program.log_path.read_text()
    return [child for child in program.children() if f"Started server process [{child.pid}]" in log]


def test_any_of_several_processes_tells_what_all_of_them_have_counted(stack: Stack, campus: Campus) -> None:
    """Whichever process a scrape reaches, the sum is right, also after one of them was killed and replaced."""
    course_id = campus.course(seats=100)
    students = campus.students(12)
    with several_processes(stack) as (program, url):
        for student in students:
            # A connection each, so that every process gets some.
            answer = httpx.post(f"{url}/courses/{course_id}/register", headers=student.headers)
            assert answer.status_code == 202
        counts = {Scrape(url).total("registration_accepted_total", operation="REGISTER") for _ in range(9)}
        assert counts == {12}
        victim = serving_processes(program)[0]
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(lambda: not victim.is_running() or victim.status() == "zombie", "it is dead")
        wait_until(lambda: answers_ready(url), "the others serve")
        assert Scrape(url).total("registration_accepted_total") == 12
    for student in students:
        assert stack.http.get("/requests", headers=student.headers).json()["requests"]


def answers_ready(url: str) -> bool:
    """Whether the API takes requests; a connection that the killed process held counts as no."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/health/ready", timeout=5).is_success
    return False


def test_a_new_run_counts_from_zero(stack: Stack, campus: Campus) -> None:
    """No file of an earlier run is added up, and none is left behind."""
    course_id = campus.course()
    for _ in range(2):
        with several_processes(stack) as (_, url):
            assert Scrape(url).total("registration_accepted_total") == 0
            student = campus.student()
            assert httpx.post(f"{url}/courses/{course_id}/register", headers=student.headers).is_success
            wait_until(lambda: Scrape(url).total("registration_accepted_total") == 1, "it is counted")


def test_accepted_refused_and_decided_requests_are_counted_by_kind(stack: Stack, campus: Campus) -> None:
    """One enrolled, one reserved, one rejected; one repeated; one refused for its course."""
    port = free_port()
    stack.stop_workers()
    stack.start_workers(METRICS_PORT=str(port))
    before = Scrape(stack.api_url)
    course_id = campus.course(seats=1, reserve=1)
    students = campus.students(3)
    for student in students:
        student.registered(course_id)
    with stack.held(course_id):
        first, again = students[0].drop(course_id), students[0].drop(course_id)
        assert first.json()["request_id"] == again.json()["request_id"]
    students[0].outcome(first)
    assert students[0].register("00000000-0000-0000-0000-000000000000").status_code == 404
    after, worker = Scrape(stack.api_url), Scrape(f"http://127.0.0.1:{port}")

    def grown(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    assert grown("registration_accepted_total", operation="REGISTER") == 3
    assert grown("registration_accepted_total", operation="DROP") == 1
    assert grown("registration_repeated_total", operation="DROP") == 1
    assert grown("registration_refused_total", reason="not_found") == 1
    outcomes = {
        (labels["operation"], labels["status"], labels["result"], labels["reason"]): value
        for labels, value in worker.series("registration_outcomes_total")
        if value
    }
    assert outcomes == {
        ("REGISTER", "APPLIED", "ENROLLED", ""): 1,
        ("REGISTER", "APPLIED", "RESERVED", ""): 1,
        ("REGISTER", "REJECTED", "", "course_full"): 1,
        ("DROP", "APPLIED", "DROPPED", ""): 1,
    }
    assert worker.total("registration_latency_seconds_count") == 4
    assert worker.total("registration_round_requests_sum") == 4
    assert 0 < worker.total("registration_latency_seconds_sum") < 60
    for part in ("peek", "apply", "publish"):
        assert worker.total("registration_round_seconds_count", part=part) >= 1
    for statement in ("lock_courses", "append_to_ledger", "commit"):
        assert worker.total("registration_postgresql_seconds_count", statement=statement) >= 1
    assert worker.total("registration_redis_seconds_count", operation="finish") >= 1


def test_what_waits_shows_per_shard_and_for_the_longest_queues_only(stack: Stack, campus: Campus) -> None:
    """With three courses waiting and two allowed a name, two have one; the sums know of all; RQ's view agrees."""
    stack.stop_workers()
    courses = [campus.course(code=f"MET{number}", seats=5) for number in (1, 2, 3)]
    with stack.another_api(METRICS_COURSES_MAX="2") as http:
        for number, course_id in enumerate(courses, start=1):
            for student in campus.students(number, http):
                assert student.register(course_id).status_code == 202
        scrape = Scrape(str(http.base_url))
    waiting = {
        labels["course"]: value for labels, value in scrape.series("registration_course_waiting_requests")
    }
    assert waiting == {"MET3 A": 3, "MET2 A": 2}
    assert scrape.total("registration_shard_waiting_requests") == 6
    assert scrape.total("rq_jobs", status="queued") == 6
    assert scrape.total("rq_jobs", queue="other", status="queued") == 1
    oldest = max(value for _, value in scrape.series("registration_shard_oldest_seconds"))
    assert 0 < oldest < 60
    assert len(scrape.series("registration_shard_waiting_requests")) == 64
    assert scrape.total("registration_shard_owned") == 0
    stack.start_workers()
    wait_until(
        lambda: Scrape(stack.api_url).total("registration_shard_waiting_requests") == 0, "all is applied"
    )


def test_each_worker_of_a_machine_has_a_port_and_the_api_shows_who_owns_what(stack: Stack) -> None:
    """Base port and the next; the shards of both sum up; RQ's names show both."""
    base = wait_until(two_free_ports, "two free ports in a row")
    stack.stop_workers()
    stack.start_workers(2, METRICS_PORT=str(base))
    for port in (base, base + 1):
        worker = Scrape(f"http://127.0.0.1:{port}")
        assert worker.total("registration_shard_changes_total", change="gained") >= 32
        assert worker.total("registration_accepted_total") == 0

    def api_shows_both() -> bool:
        scrape = Scrape(stack.api_url)
        shares = [value for _, value in scrape.series("registration_worker_shards")]
        return shares == [32, 32] and len(scrape.series("rq_workers", queues="course-*")) == 2

    wait_until(api_shows_both, "the API shows both workers")
    assert Scrape(stack.api_url).total("registration_shard_owned") == 64


def two_free_ports() -> int | None:
    """A port that is free together with the next one."""
    port = free_port()
    with contextlib.suppress(OSError):
        listening = [
            connection.laddr.port for connection in psutil.net_connections("tcp") if connection.laddr
        ]
        return port if port + 1 not in listening and port < 65535 else None
    return port


@pytest.mark.parametrize("part", ["postgresql", "redis"])
def test_a_part_that_is_away_shows_red_and_its_readings_are_left_out(stack: Stack, part: str) -> None:
    """The scrape itself still answers: it is then that it is needed."""
    server = stack.postgres if part == "postgresql" else stack.valkey
    missing = {
        "postgresql": ["registration_shard_owned"],
        "redis": ["registration_shard_waiting_requests", "registration_workers_paused"],
    }
    server.kill()
    wait_until(lambda: Scrape(stack.api_url).total("registration_ready", part=part) == 0, f"{part} shows red")
    scrape = Scrape(stack.api_url)
    assert not any(scrape.series(name) for name in missing[part])
    server.start()
    wait_until(lambda: Scrape(stack.api_url).total("registration_ready") == 2, "both parts show green")


def test_a_pause_shows_until_somebody_resumes(stack: Stack) -> None:
    """That is what the alert on a forgotten one rests on."""
    assert Scrape(stack.api_url).series("registration_workers_paused") == [({}, 0)]
    try:
        stack.run("shared.manage", "pause")
        wait_until(lambda: Scrape(stack.api_url).total("registration_workers_paused") == 1, "the pause shows")
    finally:
        stack.run("shared.manage", "resume")
    wait_until(lambda: Scrape(stack.api_url).total("registration_workers_paused") == 0, "its end shows")


def test_a_busy_metrics_port_costs_the_metrics_and_nothing_else(stack: Stack, campus: Campus) -> None:
    """The worker says so in its log and works."""
    stack.stop_workers()
    stack.start_workers(METRICS_PORT=str(stack.api_port))
    assert campus.student().registered(campus.course())["result"] == "ENROLLED"
    assert '"no metrics"' in stack.workers.log()


def test_logins_are_counted_by_result(stack: Stack, campus: Campus) -> None:
    """A right one, a wrong one; nothing is left waiting or hashing."""
    student = campus.student()
    before = Scrape(stack.api_url)
    for password in ("correct horse", "wrong"):
        stack.http.post("/auth/login", json={"student_number": student.number, "password": password})
    after = Scrape(stack.api_url)
    for result in ("ok", "wrong"):
        name = "registration_logins_total"
        assert after.total(name, result=result) - before.total(name, result=result) == 1
    assert after.total("registration_logins_waiting") == 0
    assert after.total("registration_logins_hashing") == 0
