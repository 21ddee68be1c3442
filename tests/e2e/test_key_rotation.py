"""Changing SECRET_KEY on a running system, process by process, as the runbook says: nobody is logged out."""

import secrets
from dataclasses import replace

import httpx

from tests.e2e.campus import PASSWORD, Campus
from tests.e2e.stack import Stack


def test_two_processes_in_the_middle_of_a_change_take_each_others_tokens(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """Rounds one and two of the runbook side by side; without the overlap the token is refused."""
    old, new = stack.secret_key, secrets.token_urlsafe(48)
    student = campus.student()
    with (
        stack.another_api(SECRET_KEY=old, SECRET_KEYS_PREVIOUS=new) as not_yet,
        stack.another_api(SECRET_KEY=new, SECRET_KEYS_PREVIOUS=old) as changed,
        stack.another_api(SECRET_KEY=new) as too_soon,
    ):
        tokens = [log_in(http, student.number) for http in (not_yet, changed)]
        for http in (not_yet, changed):
            for token in tokens:
                assert replace(student, token=token, http=http).get("/requests").status_code == 200
        outcome = replace(student, token=tokens[1], http=not_yet).registered(course_id)
        assert outcome["result"] == "ENROLLED"
        assert replace(student, token=tokens[0], http=too_soon).get("/requests").status_code == 401


def log_in(http: httpx.Client, student_number: str) -> str:
    """A token signed by that process."""
    answer = http.post("/auth/login", json={"student_number": student_number, "password": PASSWORD})
    return str(answer.json()["access_token"])
