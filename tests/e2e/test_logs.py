"""Logs are JSON, a request can be followed from its HTTP call to its commit by `grep`, and they tell no secrets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from scripts.local_servers import free_port
from tests.e2e.campus import PASSWORD, Campus
from tests.e2e.program import Program
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


def lines_with(path: Path, word: str) -> list[dict[str, Any]]:
    """`grep`, and the JSON of each line found."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if word in line]


def wait_for_events(program: Program, word: str, *events: str) -> list[dict[str, Any]]:
    """The lines of a program's log that hold the word, once they are these events and no others, in this order."""

    def found() -> list[dict[str, Any]]:
        lines = lines_with(program.log_path, word)
        return lines if [line["event"] for line in lines] == list(events) else []

    return wait_until(found, f"{events} in {program.log_path}")


def told_of(line: dict[str, Any], request_id: str) -> str:
    """What a line says of a request, without its id."""
    (told,) = [text for text in line["requests"] if text.startswith(request_id)]
    return str(told).removeprefix(request_id).strip()


def test_a_request_is_followed_by_grep_from_the_call_to_the_commit(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """Its id leads to the call that brought it in, to what was decided at which place, and to the publication."""
    student = campus.student()
    answer = student.register(course_id)
    request_id = answer.json()["request_id"]
    student.outcome(answer)
    (accepted,) = wait_for_events(stack.api, request_id, "accepted")
    call = f"call={answer.headers['X-Request-ID']}"
    assert told_of(accepted, request_id) == f"REGISTER course={course_id} {call}"
    committed, published = wait_for_events(stack.workers, request_id, "committed", "published")
    assert told_of(committed, request_id) == "REGISTER APPLIED ENROLLED index=1"
    assert told_of(published, request_id) == ""
    assert committed["worker"] == published["worker"]
    assert accepted["timestamp"] <= committed["timestamp"] <= published["timestamp"]


def test_a_repeat_is_tied_to_the_request_it_repeats(stack: Stack, campus: Campus, course_id: str) -> None:
    """Both calls are found by the one request's id."""
    student = campus.student()
    first, again = (student.register(course_id, key="opening-morning") for _ in range(2))
    assert first.headers["X-Request-ID"] != again.headers["X-Request-ID"]
    _, repeated = wait_for_events(stack.api, first.json()["request_id"], "accepted", "repeated")
    assert again.headers["X-Request-ID"] in json.dumps(repeated)


def test_many_requests_share_lines_that_no_collector_cuts_off(stack: Stack, campus: Campus) -> None:
    """A round of 150 is told in lines of a hundred at most, below 16 KiB each, and every request stands in one."""
    course_id = campus.course(seats=200)
    stack.stop_workers()
    ids = [student.register(course_id).json()["request_id"] for student in campus.students(150)]
    stack.start_workers()

    def published() -> list[str]:
        lines = lines_with(stack.workers.log_path, '"published"')
        return [request_id for line in lines for request_id in line["requests"]]

    wait_until(lambda: published() == ids, "every request is told as published, in order")
    lines = stack.workers.log_path.read_text().splitlines()
    assert max(len(line) for line in lines) < 16 * 1024
    assert len(lines) < 50


def test_every_line_of_the_api_is_json_and_tells_no_secret(stack: Stack, campus: Campus) -> None:
    """Start, calls, refusals, logins and stop; neither tokens nor passwords nor names appear."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = stack.launch(["api", "--port", str(port), "--access-log"])
    try:
        stack._wait_for_api(program, url)
        student = campus.student()
        login = {"student_number": student.number, "password": PASSWORD}
        token = httpx.post(f"{url}/auth/login", json=login).json()["access_token"]
        secret = "wrong-but-still-a-secret"
        httpx.post(f"{url}/auth/login", json=login | {"password": secret})
        httpx.post(f"{url}/courses/{campus.course()}/register", headers={"Authorization": f"Bearer {token}"})
        httpx.get(f"{url}/requests", headers={"Authorization": f"Bearer {token}x"})
    finally:
        program.stop()
    text = program.log_path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"uvicorn.error", "uvicorn.access", "shared.logs"} <= {line["logger"] for line in lines}
    assert any("POST /auth/login" in line["event"] for line in lines)
    for line in lines:
        assert line.keys() >= {"timestamp", "level", "event"}
    for word in (token, student.token, PASSWORD, secret, stack.secret_key):
        assert word not in text


@contextmanager
def altered(stack: Stack, table: str, change: str, back: str) -> Iterator[None]:
    """The table, altered for the block."""
    stack.sql(f"ALTER TABLE {table} {change}")
    try:
        yield
    finally:
        stack.sql(f"ALTER TABLE {table} {back}")


def test_statements_that_fail_show_no_secret_in_any_log(stack: Stack, campus: Campus, course_id: str) -> None:
    """Neither their parameters nor the row or the part of the statement that PostgreSQL quotes: hash, password, token."""
    student = campus.student()
    stack.restart_api(BCRYPT_COST="5")

    def log_in() -> None:
        # The new hash cannot be stored, and what the client is answered then is not the subject.
        login = {"student_number": student.number, "password": PASSWORD}
        httpx.post(f"{stack.api_url}/auth/login", json=login, timeout=30)

    refusal = (
        "ADD CONSTRAINT refused CHECK (created_at < '2000-01-01') NOT VALID",
        "DROP CONSTRAINT refused",
    )
    with altered(stack, "students", *refusal), altered(stack, "course_registrations", *refusal):
        # The row that fails is quoted.
        log_in()
        assert student.registered(course_id)["status"] == "FAILED"
    columns = "RENAME COLUMN updated_at TO changed_at", "RENAME COLUMN changed_at TO updated_at"
    with altered(stack, "students", *columns):
        # The place in the statement that fails is quoted.
        log_in()
    texts = [path.read_text(encoding="utf-8") for path in (stack.api.log_path, stack.workers.log_path)]
    assert all('violates check constraint \\"refused\\"' in text for text in texts)
    assert 'column \\"updated_at\\" ' in texts[0]
    for text in texts:
        for secret in ("$2b$", PASSWORD, student.token, "[parameters:"):
            assert secret not in text


def test_what_goes_wrong_during_a_call_is_logged_with_the_calls_id(stack: Stack, campus: Campus) -> None:
    """With Redis away, logins are counted alone, and the line that says so names the call."""
    call = "0f1e2d3c4b5a49788796a5b4c3d2e1f0"
    student = campus.student()
    stack.valkey.kill()
    login = {"student_number": student.number, "password": PASSWORD}
    answer = stack.http.post("/auth/login", json=login, headers={"X-Request-ID": call})
    assert answer.headers["X-Request-ID"] == call
    lines = wait_until(lambda: lines_with(stack.api.log_path, call), "a line that names the call")
    assert {line["correlation_id"] for line in lines} == {call}
