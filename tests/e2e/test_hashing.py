"""P8 at the door: a storm of logins is turned away at once, and the processes that hash can be lost without harm."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil

from tests.e2e.campus import PASSWORD, Campus
from tests.e2e.scraping import Scrape
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

STORM = 60
PLACES = 3


def log_in(http: httpx.Client, number: str, password: str = PASSWORD) -> int:
    """Log in; the status of the answer."""
    return http.post("/auth/login", json={"student_number": number, "password": password}).status_code


async def storm(http: httpx.Client, number: str) -> list[tuple[int, str]]:
    """So many logins at once, each on a connection of its own, opened before: status and Connection of each answer."""
    assert http.base_url.port is not None
    port = http.base_url.port
    body = f'{{"student_number": "{number}", "password": "{PASSWORD}"}}'
    request = f"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(STORM)]
    for _, writer in connections:
        # The body follows in a piece of its own, as with many clients.
        writer.write(request.encode())
    await asyncio.sleep(0)
    for _, writer in connections:
        writer.write(body.encode())
    return list(await asyncio.gather(*(answer(reader, writer) for reader, writer in connections)))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, str]:
    """The status of an answer, and what its Connection header says."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    with contextlib.suppress(ConnectionError):
        writer.close()
    status = int(head.split()[1])
    return status, "close" if "connection: close" in head else ""


def test_of_logins_that_arrive_at_once_no_more_are_let_in_than_have_a_place(
    stack: Stack, campus: Campus
) -> None:
    """The others are answered 503 and told to hang up, each is counted, and registering goes on beside them."""
    student = campus.student()
    with stack.another_api(BCRYPT_COST="12", LOGIN_QUEUE_LIMIT=str(PLACES)) as http:
        answers = asyncio.run(storm(http, student.number))
        assert Counter(answers) == {(200, ""): PLACES, (503, "close"): STORM - PLACES}
        counted = Scrape(str(http.base_url).rstrip("/"))
        assert counted.total("registration_logins_total", result="busy") == STORM - PLACES
        assert counted.total("registration_problems_total", code="login_busy") == STORM - PLACES
        assert log_in(http, student.number) == 200


def test_a_hashing_process_that_is_killed_is_replaced(stack: Stack, campus: Campus) -> None:
    """Whoever killed it, the login at hand and all later ones get their answer."""
    student = campus.student()
    assert log_in(stack.http, student.number) == 200
    for process in hashing_processes(stack):
        process.kill()
    assert log_in(stack.http, student.number) == 200
    assert hashing_processes(stack)


def test_hashing_processes_end_with_the_api_that_was_killed(stack: Stack) -> None:
    """SIGKILL of the API leaves nothing behind that would hash on for nobody."""
    orphans = wait_until(lambda: hashing_processes(stack), "the API has hashing processes")
    try:
        os.kill(stack.api.pid, signal.SIGKILL)
        stack.api.wait()
        gone, alive = psutil.wait_procs(orphans, timeout=5)
        assert not alive
        assert gone
    finally:
        stack.start_api()


def test_logins_that_wait_are_turned_away_when_the_api_stops(stack: Stack, campus: Campus) -> None:
    """They are answered 503, as is one whose hash takes too long, and the API ends without an error or a trace."""
    student = campus.student()
    # At this cost refusing a password takes a core several seconds.
    stack.restart_api(BCRYPT_COST="16")
    with ThreadPoolExecutor(PLACES) as devices:
        answers = [devices.submit(log_in, stack.http, student.number, "wrong") for _ in range(PLACES)]
        wait_until(lambda: logins_waiting(stack) == PLACES - 1, "all but one wait")
        assert stack.api.stop() in (0, -signal.SIGTERM)
        assert Counter(answer.result() for answer in answers) == {503: PLACES}
    log = stack.api.log()
    stack.start_api()
    assert "Exception" not in log
    assert "leaked" not in log


def logins_waiting(stack: Stack) -> float:
    """How many logins wait to be hashed."""
    return Scrape(stack.api_url).total("registration_logins_waiting")


def hashing_processes(stack: Stack) -> list[psutil.Process]:
    """The processes in which the API hashes."""
    found = []
    for child in stack.api.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found
