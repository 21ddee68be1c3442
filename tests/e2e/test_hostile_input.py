"""What is malformed, forged or too large is refused with a stable code, bounded, and harms nobody."""

import base64
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from jose import jwt

from tests.e2e.campus import Campus, Student
from tests.e2e.routes import own_routes, routes_of
from tests.e2e.stack import Stack

Claims = dict[str, Any]

MEGABYTE = 1024 * 1024


def own_claims(student: Student, **changes: object) -> Claims:
    """The claims of a good token, with changes; None takes a claim out."""
    claims = {
        "sub": student.student_id,
        "num": student.number,
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def unsigned(claims: Claims) -> str:
    """A token that says it needs no signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return b".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts), b""]).decode()


def tampered(token: str) -> str:
    """The same signature under other claims."""
    header, _, signature = token.split(".")
    claims = {"sub": str(uuid4()), "num": "x", "exp": int(time.time()) + 600}
    return ".".join(
        [header, base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode(), signature]
    )


BAD_TOKENS: dict[str, Callable[[Student, str], str | None]] = {
    "missing": lambda _, __: None,
    "empty": lambda _, __: "Bearer",
    "other_scheme": lambda student, _: f"Basic {student.token}",
    "no_jwt": lambda _, __: "Bearer nonsense",
    "wrong_key": lambda student, _: "Bearer " + jwt.encode(own_claims(student), "x" * 48, "HS256"),
    "wrong_algorithm": lambda student, key: "Bearer " + jwt.encode(own_claims(student), key, "HS512"),
    "unsigned": lambda student, _: "Bearer " + unsigned(own_claims(student)),
    "tampered": lambda student, _: "Bearer " + tampered(student.token),
    "expired": lambda student, key: (
        "Bearer " + jwt.encode(own_claims(student, exp=int(time.time()) - 1), key, "HS256")
    ),
    "without_end": lambda student, key: "Bearer " + jwt.encode(own_claims(student, exp=None), key, "HS256"),
    "without_student": lambda student, key: (
        "Bearer " + jwt.encode(own_claims(student, sub=None), key, "HS256")
    ),
}
OPEN_TO_ALL = {
    *("POST /auth/login", "POST /auth/token"),
    *("GET /semesters/", "GET /semesters/{semester_id}", "GET /semesters/{semester_id}/courses"),
    *("GET /courses/{course_id}", "GET /health/live", "GET /health/ready", "GET /metrics"),
}


@pytest.fixture
def victims_ids(student: Student, semester_id: str, course_id: str) -> dict[str, str]:
    """Everything of a student that a route may have a place for; the student is enrolled in the course."""
    outcome = student.registered(course_id)
    assert outcome["result"] == "ENROLLED"
    return {
        "request_id": outcome["request_id"],
        "after": outcome["request_id"],
        "course_id": course_id,
        "semester_id": semester_id,
    }


def test_every_route_is_open_to_all_on_purpose_or_needs_a_token(http: httpx.Client) -> None:
    """A route that forgot its token is on no list."""
    routes = routes_of(http.get("/openapi.json").json())
    assert {str(route) for route in routes if not route.needs_token} == OPEN_TO_ALL
    assert len(routes) > len(OPEN_TO_ALL)


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_token_that_is_not_a_valid_one_of_ours_opens_nothing(
    kind: str, stack: Stack, http: httpx.Client, student: Student, victims_ids: dict[str, str]
) -> None:
    """Missing, forged, expired or unsigned: every route of a student's own answers 401 with a challenge."""
    authorization = BAD_TOKENS[kind](student, stack.secret_key)
    headers = {} if authorization is None else {"Authorization": authorization}
    for route in own_routes(http.get("/openapi.json").json()):
        method, path, query = route.call(victims_ids)
        answer = http.request(method, path, params=query, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), str(route)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_another_students_ids_open_nothing_and_change_nothing(
    http: httpx.Client, campus: Campus, student: Student, semester_id: str, victims_ids: dict[str, str]
) -> None:
    """With a good token of one's own, on every route: no answer tells of the other, and the other keeps it all."""
    before = (student.get("/requests").json(), student.my_courses(semester_id))
    thief = campus.student()
    for route in own_routes(http.get("/openapi.json").json()):
        method, path, query = route.call(victims_ids)
        query |= {"student_id": student.student_id}
        answer = http.request(method, path, params=query, headers=thief.headers)
        anothers = {"request_id", "after"} & route.parameters.keys()
        assert answer.status_code == (404 if anothers else 202 if method == "POST" else 200), str(route)
        for secret in (student.student_id, student.number, victims_ids["request_id"]):
            assert secret not in answer.text, str(route)
        if answer.status_code == 202:
            thief.outcome(answer)
    assert (student.get("/requests").json(), student.my_courses(semester_id)) == before


def test_anothers_idempotency_key_is_just_a_key(campus: Campus, student: Student, course_id: str) -> None:
    """The same key sent by somebody else stands for a request of theirs."""
    mine = student.register(course_id, key="the-key").json()["request_id"]
    theirs = campus.student().register(course_id, key="the-key")
    assert theirs.status_code == 202
    assert theirs.json()["request_id"] != mine


def test_a_token_ends_at_its_time_even_when_it_was_good_a_moment_ago(
    stack: Stack, campus: Campus, http: httpx.Client, student: Student
) -> None:
    """A verified token is remembered no longer than it lasts."""
    token = jwt.encode(own_claims(student, exp=int(time.time()) + 2), stack.secret_key, "HS256")
    brief = Student(student.student_id, student.number, token, http)
    assert brief.get("/requests").status_code == 200
    deadline = time.monotonic() + 10
    while brief.get("/requests").status_code != 401:
        assert time.monotonic() < deadline


def test_an_unknown_route_and_a_wrong_method_are_problems_too(http: httpx.Client) -> None:
    """404 and 405 (with Allow) carry stable codes like every other error."""
    unknown = http.get("/nothing/here")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    wrong = http.delete("/semesters/")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET"


def test_a_malformed_id_is_invalid_on_every_route(http: httpx.Client, student: Student) -> None:
    """What is no UUID is 422 and names the place."""
    malformed = dict.fromkeys(("request_id", "course_id", "semester_id"), "no-uuid")
    for route in own_routes(http.get("/openapi.json").json()):
        if "path" in route.parameters.values():
            method, path, _ = route.call(malformed)
            answer = http.request(method, path, headers=student.headers)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), str(route)
            assert answer.json()["errors"][0]["location"].startswith("path.")


class Connection:
    """A raw connection to the API: it sends what no client library would, and reads what comes back."""

    def __init__(self, stack: Stack) -> None:
        self._socket = socket.create_connection(("127.0.0.1", stack.api_port), timeout=10)
        self.sent = 0

    def send(self, data: bytes) -> bool:
        """Send; False when the server has hung up."""
        try:
            self._socket.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self.sent += len(data)
        return True

    def answered(self) -> bool:
        """Whether something can be read."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def read_to_the_end(self) -> bytes:
        """All that comes until the server closes. Fails when it does not within the time limit."""
        received = b""
        while True:
            try:
                part = self._socket.recv(65_536)
            except ConnectionResetError:
                return received
            if not part:
                return received
            received += part

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@pytest.fixture
def connection(stack: Stack) -> Iterator[Connection]:
    """A raw connection to the API."""
    connection = Connection(stack)
    yield connection
    connection.close()


def head(method: str, path: str, *lines: str) -> bytes:
    """The first part of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    """The status of a raw answer."""
    return int(answer.split(b" ", 2)[1])


BODY_ROUTES = [("POST", "/auth/login"), ("POST", "/auth/token"), ("POST", "/courses/{id}/register")]


@pytest.mark.parametrize(("method", "path"), [*BODY_ROUTES, ("GET", "/semesters/"), ("POST", "/nothing")])
def test_an_announced_body_of_10_megabytes_is_refused_unread(
    method: str, path: str, connection: Connection, student: Student, course_id: str
) -> None:
    """413 comes on the headers alone, and the connection is closed."""
    connection.send(
        head(
            *(method, path.format(id=course_id), f"Authorization: Bearer {student.token}"),
            *("Content-Type: application/json", f"Content-Length: {10 * MEGABYTE}"),
        )
    )
    answer = connection.read_to_the_end()
    assert status_of(answer) == 413
    assert b"content_too_large" in answer
    assert b"application/problem+json" in answer


CHUNK = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"


@pytest.mark.parametrize(
    ("method", "path", "media_type"),
    [
        ("POST", "/auth/login", "application/json"),
        ("POST", "/auth/login", "text/plain"),
        ("POST", "/auth/token", "application/x-www-form-urlencoded"),
        ("POST", "/auth/token", "multipart/form-data; boundary=x"),
        ("POST", "/auth/token", "application/json"),
        ("POST", "/courses/{id}/register", "application/json"),
        ("GET", "/semesters/", "application/json"),
        ("POST", "/nothing", "application/json"),
    ],
)
def test_a_chunked_body_without_end_is_refused_and_cut_off(
    method: str, path: str, media_type: str, *, connection: Connection, student: Student, course_id: str
) -> None:
    """Whether the route wants a body or not, it is answered 413 after little of it, and the connection is closed."""
    connection.send(
        head(
            *(method, path.format(id=course_id), f"Authorization: Bearer {student.token}"),
            *(f"Content-Type: {media_type}", "Transfer-Encoding: chunked"),
        )
    )
    if media_type.startswith("multipart"):
        start = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n'
        connection.send(f"{len(start):x}\r\n".encode() + start + b"\r\n")
    while not connection.answered() and connection.send(CHUNK):
        assert connection.sent < 10 * MEGABYTE, "neither answered nor cut off"
    answer = connection.read_to_the_end()
    assert status_of(answer) == 413
    assert b"content_too_large" in answer
    assert student.get("/requests").json()["requests"] == []


def test_a_short_chunked_body_on_a_route_that_needs_none_is_ignored(
    stack: Stack, student: Student, course_id: str
) -> None:
    """A client library that sends its bodies in chunks still gets its place."""
    url = f"{stack.api_url}/courses/{course_id}/register"
    headers = {**student.headers, "Prefer": "wait=10"}
    answer = httpx.post(url, content=iter([b"{", b"}"]), headers=headers)
    assert (answer.status_code, answer.json()["result"]) == (200, "ENROLLED")


def test_a_body_in_small_chunks_above_the_limit_is_refused(stack: Stack) -> None:
    """What counts is the sum, not the size of one chunk."""
    chunks = (b"x" * 1000 for _ in range(70))
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{stack.api_url}/auth/login", content=chunks, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")


def test_a_body_on_a_route_that_needs_none_is_ignored(
    http: httpx.Client, student: Student, course_id: str
) -> None:
    """A client library that always sends a body still gets its place."""
    answer = http.post(
        f"/courses/{course_id}/register", json={}, headers={**student.headers, "Prefer": "wait=10"}
    )
    assert (answer.status_code, answer.json()["result"]) == (200, "ENROLLED")


@pytest.mark.parametrize("value", [b"a\x01b", b"a\x7fb", b"a\x00b", b"\r\n X: y"])
def test_control_characters_in_a_header_are_never_taken(
    value: bytes, connection: Connection, student: Student, course_id: str
) -> None:
    """Whether the server or the API finds them: 400 or 422, and nothing is accepted."""
    request = head("POST", f"/courses/{course_id}/register", f"Authorization: Bearer {student.token}")
    key = b"Idempotency-Key: " + value + b"\r\nConnection: close\r\n\r\n"
    connection.send(request.removesuffix(b"\r\n") + key)
    assert status_of(connection.read_to_the_end()) in (400, 422)
    assert student.get("/requests").json()["requests"] == []
