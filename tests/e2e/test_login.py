"""Logging in: `POST /auth/login` with JSON and `POST /auth/token` with a form."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import pytest

from shared.course_queue import keys
from tests.e2e.campus import PASSWORD, Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

Way = Callable[[httpx.Client, str, str], httpx.Response]


def log_in(http: httpx.Client, number: str, password: str = PASSWORD) -> httpx.Response:
    """Log in with JSON."""
    return http.post("/auth/login", json={"student_number": number, "password": password})


def log_in_with_form(http: httpx.Client, number: str, password: str = PASSWORD) -> httpx.Response:
    """Log in with an OAuth2 password form."""
    return http.post("/auth/token", data={"username": number, "password": password})


@pytest.mark.parametrize("way", [log_in, log_in_with_form])
def test_the_token_of_a_login_opens_the_students_own_routes(
    way: Way, http: httpx.Client, student: Student
) -> None:
    """The right password gives a bearer token that is good for the time it says."""
    answer = way(http, student.number, PASSWORD)
    assert answer.status_code == 200
    token = answer.json()
    assert token["token_type"] == "bearer"
    assert token["expires_in"] == 43_200
    mine = http.get("/requests", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert mine.json() == {"requests": [], "next": None}


@pytest.mark.parametrize("way", [log_in, log_in_with_form])
def test_a_wrong_password_and_an_unknown_student_get_the_same_answer(
    way: Way, http: httpx.Client, student: Student
) -> None:
    """Nobody can find out from a failed login which student numbers exist."""
    wrong, unknown = way(http, student.number, "wrong"), way(http, "STU-nobody", "wrong")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["code"] == "wrong_credentials"
    assert wrong.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("way", [log_in, log_in_with_form])
@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37])
def test_a_password_above_72_bytes_is_invalid_and_never_cut(
    way: Way, password: str, http: httpx.Client, student: Student
) -> None:
    """What bcrypt cannot tell apart is refused as input, not compared in part."""
    answer = way(http, student.number, password)
    assert answer.status_code == 422
    assert answer.json()["code"] == "password_too_long"


@pytest.mark.parametrize("way", [log_in, log_in_with_form])
@pytest.mark.parametrize("number", ["x" * 65, "nul\x00nul"])
def test_an_impossible_student_number_is_invalid_input(way: Way, number: str, http: httpx.Client) -> None:
    """A student number that no student can have is a 422 in both forms of login, never an error of ours."""
    assert way(http, number, PASSWORD).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\x80",
        b'{"student_number": "x"}',
        b'{"student_number": 1, "password": "x"}',
    ],
)
def test_a_malformed_login_body_is_invalid_input(body: bytes, http: httpx.Client) -> None:
    """A body that is no pair of credentials is a 422."""
    answer = http.post("/auth/login", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"


def test_a_refused_login_never_repeats_the_password(http: httpx.Client, student: Student) -> None:
    """No answer carries the password back, not even in what was wrong with it."""
    for password in ("s3cret-s3cret", "s3cret" * 50):
        assert "s3cret" not in log_in(http, student.number, password).text


def test_ten_failed_logins_close_the_account_for_a_minute_and_no_other(
    http: httpx.Client, campus: Campus
) -> None:
    """The eleventh login of an account is refused, even a right one, with Retry-After; others go on."""
    victim, bystander = campus.students(2)
    assert {log_in(http, victim.number, "wrong").status_code for _ in range(10)} == {401}
    throttled = log_in(http, victim.number)
    assert throttled.status_code == 429
    assert throttled.json()["code"] == "too_many_failed_logins"
    assert 0 < int(throttled.headers["Retry-After"]) <= 60
    assert log_in(http, bystander.number).status_code == 200


def test_a_closed_account_opens_by_itself_however_often_it_is_tried_meanwhile(
    stack: Stack, http: httpx.Client, student: Student
) -> None:
    """Nobody is locked out for good: the minute counts from the first failure, and what is refused prolongs nothing."""
    account = sha256(student.number.encode()).hexdigest()[:32]
    with stack.redis() as client:

        def ends_in_ms() -> dict[bytes, int]:
            return {key: client.pttl(key) for key in client.scan_iter(f"{keys.LOGIN_FAILURES}*{account}*")}

        assert {log_in(http, student.number, "wrong").status_code for _ in range(10)} == {401}
        closed = ends_in_ms()
        assert {log_in(http, student.number, "wrong").status_code for _ in range(5)} == {429}
        later = ends_in_ms()
        assert later.keys() == closed.keys()
        assert all(0 < later[key] <= closed[key] <= 60_000 for key in closed)
        for key in closed:
            client.pexpire(key, 1)
        wait_until(lambda: not ends_in_ms(), "the minute is over")
    assert log_in(http, student.number).status_code == 200


def test_successful_logins_are_never_throttled(http: httpx.Client, student: Student) -> None:
    """Only failures count against the limit, so several devices can log in again and again."""
    assert {log_in(http, student.number).status_code for _ in range(15)} == {200}


def test_an_address_that_fails_for_many_accounts_is_throttled(stack: Stack, campus: Campus) -> None:
    """Guessing one password for many students ends after a few failures of the address."""
    with stack.another_api(LOGIN_FAILURES_PER_ADDRESS_PER_MINUTE="3") as http:
        assert [log_in(http, f"STU-{n}", "wrong").status_code for n in range(4)] == [401, 401, 401, 429]
        assert log_in(http, campus.student().number).status_code == 429


def test_a_student_under_attack_can_log_in_from_where_they_did_before(stack: Stack, campus: Campus) -> None:
    """Failures from all over close an account to strangers' addresses only, so nobody can be locked out for good."""
    victim, stranger = campus.students(2)
    trusted = {"FORWARDED_ALLOW_IPS": "127.0.0.1", "LOGIN_FAILURES_PER_ACCOUNT_PER_MINUTE": "3"}
    with stack.another_api(**trusted) as http:

        def try_from(address: str, number: str, password: str) -> int:
            http.headers["X-Forwarded-For"] = address
            return log_in(http, number, password).status_code

        assert try_from("192.0.2.1", victim.number, PASSWORD) == 200
        assert [try_from(f"198.51.100.{n}", victim.number, "wrong") for n in range(4)] == [401, 401, 401, 429]
        assert try_from("198.51.100.9", victim.number, PASSWORD) == 429
        assert try_from("192.0.2.1", victim.number, PASSWORD) == 200
        assert try_from("198.51.100.9", stranger.number, PASSWORD) == 200


def test_logins_of_students_who_do_not_exist_cost_as_much_as_others(stack: Stack) -> None:
    """They take their turn at the hashing like any other: the time of an answer does not tell who exists."""
    with (
        stack.another_api(BCRYPT_COST="12", LOGIN_QUEUE_LIMIT="1") as http,
        ThreadPoolExecutor(8) as devices,
    ):
        answers = list(devices.map(lambda n: log_in(http, f"STU-nobody-{n}", "wrong"), range(8)))
    assert {answer.status_code for answer in answers} == {401, 503}


def test_a_login_storm_is_refused_at_the_door_with_retry_after(stack: Stack, campus: Campus) -> None:
    """When too many logins wait to be hashed, the rest are told to come back, and those taken succeed."""
    students = campus.students(8)
    with (
        stack.another_api(BCRYPT_COST="12", LOGIN_QUEUE_LIMIT="1") as http,
        ThreadPoolExecutor(len(students)) as devices,
    ):
        answers = list(devices.map(lambda student: log_in(http, student.number, "wrong"), students))
        assert {answer.status_code for answer in answers} == {401, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["code"] == "login_busy"
        assert int(refused.headers["Retry-After"]) >= 1
        assert log_in(http, students[0].number, "wrong").status_code == 401


def test_a_login_renews_a_hash_that_costs_less_than_configured(stack: Stack, student: Student) -> None:
    """Raising BCRYPT_COST reaches each stored hash at the next login, and the password stays the same."""

    def stored_hash() -> str:
        query = "SELECT password_hash FROM students WHERE id = %s"
        return str(stack.sql(query, student.student_id)[0]["password_hash"])

    assert stored_hash().startswith("$2b$04$")
    with stack.another_api(BCRYPT_COST="5") as http:
        assert log_in(http, student.number, "wrong").status_code == 401
        assert stored_hash().startswith("$2b$04$")
        assert log_in(http, student.number).status_code == 200
        renewed = stored_hash()
        assert renewed.startswith("$2b$05$")
        assert log_in(http, student.number).status_code == 200
        assert stored_hash() == renewed
