"""The RQ dashboard as operators see it, in a real browser, with as many courses as a large university has."""

import os
import time
from base64 import b64encode
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
import redis
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from scripts.local_servers import LocalValkey, free_port
from shared.course_queue.connection import sync_client
from shared.rules import Status
from shared.settings import Settings
from tests.conftest import REPOSITORY
from tests.e2e import browser
from tests.e2e.program import Program
from tests.e2e.waiting import wait_until
from tests.integration.course_queue import CourseQueueOnRedis

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing()),
]

COURSES = 2_000
SUBJECTS = ("ART", "BIOL", "CHEM", "CS", "ECON", "HIST", "MATH", "PHYS")
HOSTILE_TITLE = "<img src=x onerror='window.attacked=true'>"
PROBLEM = "its payload is not ours: version 7"
CREDENTIALS = "ops:secret"


def title_of(number: int) -> str:
    """Code and section of the n-th course."""
    subject, rest = SUBJECTS[number % len(SUBJECTS)], number // len(SUBJECTS)
    return f"{subject} {100 + rest // 4} {'ABCD'[rest % 4]}"


@pytest.fixture(scope="module")
def term(redis_server: LocalValkey, settings: Settings) -> Iterator[str]:
    """Queues of a whole term, accepted by the real script; the id of the one request in them that failed."""
    redis_server.start()
    client = sync_client(settings)
    client.flushdb()
    for number in range(COURSES):
        course = CourseQueueOnRedis(client, settings)
        for _ in range(40 if number % 400 == 0 else 1):
            course.accepted(student_id=str(uuid4()), course_title=title_of(number))
    yield failed_request(client, settings, "CS 225 A", PROBLEM)
    client.flushdb()
    client.close()


def failed_request(client: redis.Redis, settings: Settings, title: str, problem: str) -> str:
    """A request of a course of its own that a worker has given up; its id."""
    course = CourseQueueOnRedis(client, settings)
    request_id = course.accepted(course_title=title)
    course.finish(course.head(), Status.FAILED, {request_id: problem})
    return request_id


@pytest.fixture(scope="module")
def dashboard(term: str, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the dashboard, a process of its own."""
    directory, port = tmp_path_factory.mktemp("dashboard"), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "REDIS_URL": settings.redis_url,
        "RQ_DASHBOARD_PASSWORD": CREDENTIALS.partition(":")[2],
        "DASHBOARD_PORT": str(port),
    }
    program = Program(["scripts.dashboard"], directory, directory / "dashboard.log", environment)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: program.running and answers(url), "the dashboard answers")
        yield url
    finally:
        program.kill()


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    try:
        return bool(httpx.get(url).status_code)
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser whose user has typed the password."""
    with browser.chromium(tmp_path_factory.mktemp("profile")) as driver:
        authorization = f"Basic {b64encode(CREDENTIALS.encode()).decode()}"
        browser.send_with_every_request(driver, {"Authorization": authorization})
        yield driver


# Pages replace their tables every few seconds, so what is found is used in the same script.
def rows(window: Chrome, role: str) -> int:
    """How many rows the table has, once it has any."""
    script = "return document.querySelectorAll(`tr[data-role=${arguments[0]}]`).length"
    return int(wait_until(lambda: window.execute_script(script, role), f"rows of {role}s", 30))


def click(window: Chrome, selector: str) -> None:
    """Click on the first such element, once there is one."""
    script = "const found = document.querySelector(arguments[0]); if (found) found.click(); return !!found"
    wait_until(lambda: window.execute_script(script, selector), f"{selector} to click on")


def text_of(window: Chrome, selector: str) -> str:
    """The text of the first such element, once it has some."""
    script = "const found = document.querySelector(arguments[0]); return found ? found.innerText : ''"
    return str(wait_until(lambda: window.execute_script(script, selector), f"text in {selector}"))


def test_the_overview_lists_every_course_with_what_needs_somebody_on_top(
    window: Chrome, dashboard: str
) -> None:
    """The failed request first, then the longest queues, each under code and section of its course.

    How long that takes is printed and not judged; that it stays bounded is shown by the round trips it takes, in
    `integration/test_overview.py`.
    """
    started = time.monotonic()
    window.get(dashboard)
    shown = rows(window, "queue")
    took_s = time.monotonic() - started
    assert shown == COURSES + 1
    print(f"\nRQ dashboard | overview of {shown:,} queues | in the browser | {took_s:.1f} s")  # noqa: T201
    print(f"RQ dashboard | overview of {shown:,} queues | its data | {data_s(dashboard):.2f} s")  # noqa: T201
    script = (
        "return [...document.querySelectorAll('tr[data-role=queue]')].slice(0, 3).map(row => row.innerText)"
    )
    failed, long, _ = window.execute_script(script)
    assert failed.startswith("CS 225 A · course-")
    assert long.split("\t")[1] == "40"
    browser.keep_screenshot(window, "dashboard-overview")


def test_a_failed_request_is_found_with_its_reason(window: Chrome, dashboard: str, term: str) -> None:
    """Two clicks from the overview: the course's failed requests, and the one with its reason."""
    window.get(dashboard)
    click(window, "tr[data-role=queue] td.failed a")
    assert PROBLEM in text_of(window, "tr[data-role=job] pre.exc_info")
    assert text_of(window, "tr[data-role=job] .description") == "REGISTER CS 225 A #1"
    browser.keep_screenshot(window, "dashboard-failed-requests")
    click(window, f"tr[data-job-id='{term}'] a")
    assert PROBLEM in text_of(window, "#job-data pre.exc_info")
    browser.keep_screenshot(window, "dashboard-failed-request")


def test_no_page_offers_a_button_that_changes_something(window: Chrome, dashboard: str, term: str) -> None:
    """Requeueing would reorder, and emptying would lose, what was accepted."""
    buttons = "[id$=requeue-job-btn], #requeue-all-btn, #compact-btn, #empty-btn, #delete-job-btn, [data-role$=job-btn]"
    shown = "return [...document.querySelectorAll(arguments[0])].filter(b => b.offsetParent).map(b => b.id)"
    [queue] = [row for row in window_queues(dashboard) if row["failed_job_registry_count"]]
    for path in (queue["failed_url"], queue["queued_url"], f"/0/view/job/{term}"):
        window.get(dashboard + path)
        text_of(window, "#jobs tbody, #job-data")
        assert window.execute_script(shown, buttons) == []


def data_s(dashboard: str) -> float:
    """How long the overview's data take, without a browser."""
    started = time.monotonic()
    assert len(window_queues(dashboard)) == COURSES + 1
    return time.monotonic() - started


def window_queues(dashboard: str) -> list[dict[str, str]]:
    """The overview's data."""
    username, _, password = CREDENTIALS.partition(":")
    queues: list[dict[str, str]] = httpx.get(
        f"{dashboard}/0/data/queues.json", auth=(username, password)
    ).json()["queues"]
    return queues


def test_a_hostile_title_runs_nothing_in_the_operators_browser(
    window: Chrome, dashboard: str, settings: Settings
) -> None:
    """It is shown as the text it is, on the overview and on the request's own page."""
    client = sync_client(settings)
    request_id = failed_request(client, settings, HOSTILE_TITLE, HOSTILE_TITLE)
    for path in ("/", f"/0/view/job/{request_id}"):
        window.get(dashboard + path)
        wait_until(lambda: HOSTILE_TITLE in text_of(window, ".section"), "the title is shown")
        assert not window.find_elements(By.CSS_SELECTOR, ".section img")
        assert window.execute_script("return window.attacked") is None
    client.close()
