"""The RQ dashboard: behind a password, read-only, and truthful about what is queued."""

from collections.abc import Iterator

import httpx
import pytest

from scripts.local_servers import free_port
from tests.e2e.campus import Campus
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until

USERNAME, PASSWORD = "ops", "a password of the tests"
PAGES = (
    "/",
    "/0/view/workers",
    "/0/view/jobs/course-x/queued/8/asc/1",
    "/0/data/queues.json",
    "/0/data/workers.json",
)
CHANGES = (
    "/job/x/delete",
    "/job/x/requeue",
    "/requeue-all/course-x",
    "/queue/course-x/empty",
    "/queue/course-x/queued/compact",
)


@pytest.fixture(scope="module")
def dashboard(lasting_stack: Stack) -> Iterator[str]:
    """The address of a running dashboard."""
    port = free_port()
    program = lasting_stack.launch(
        ["scripts.dashboard"],
        RQ_DASHBOARD_USERNAME=USERNAME,
        RQ_DASHBOARD_PASSWORD=PASSWORD,
        DASHBOARD_PORT=str(port),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), "the dashboard answers")
        yield url
    finally:
        program.kill()


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    try:
        return bool(httpx.get(url).status_code)
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("path", [*PAGES, *CHANGES, "/no/such/page"])
@pytest.mark.parametrize("auth", [None, (USERNAME, "wrong"), ("wrong", PASSWORD), ("", "")])
def test_nothing_is_shown_or_done_without_the_password(
    path: str, auth: tuple[str, str] | None, dashboard: str
) -> None:
    """Every path asks for it, known or not, by GET and by POST."""
    for method in ("GET", "POST"):
        answer = httpx.request(method, dashboard + path, auth=auth)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_with_the_password(path: str, dashboard: str) -> None:
    """Pages and the data behind them."""
    assert httpx.get(dashboard + path, auth=(USERNAME, PASSWORD)).status_code == 200


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_can_be_changed_even_with_the_password(path: str, dashboard: str) -> None:
    """What would requeue, empty or delete, and so reorder or lose accepted requests, is refused."""
    for method in ("GET", "POST"):
        answer = httpx.request(method, dashboard + path, auth=(USERNAME, PASSWORD))
        assert answer.status_code in (403, 404, 405)


def test_a_waiting_request_is_shown_with_course_operation_and_sequence(
    dashboard: str, stack: Stack, campus: Campus
) -> None:
    """Ops see at a glance what waits where."""
    course_id, student = campus.course(), campus.student()
    with stack.held(course_id):
        request_id = student.register(course_id).json()["request_id"]
        listing = httpx.get(
            f"{dashboard}/0/data/jobs/course-{course_id}/queued/8/asc/1.json", auth=(USERNAME, PASSWORD)
        )
    [job] = listing.json()["jobs"]
    assert job["id"] == request_id
    assert job["description"].startswith("REGISTER ")
    assert job["description"].endswith(" #1")


def test_the_dashboard_ends_when_asked_to(stack: Stack) -> None:
    """It handles SIGTERM itself, for a container's first process gets no other."""
    port = free_port()
    program = stack.launch(["scripts.dashboard"], RQ_DASHBOARD_PASSWORD=PASSWORD, DASHBOARD_PORT=str(port))
    wait_until(lambda: answers(f"http://127.0.0.1:{port}"), "the dashboard answers")
    assert program.stop() == 0


def test_a_dashboard_without_a_password_does_not_start(stack: Stack) -> None:
    """There is no default to forget."""
    program = stack.launch(["scripts.dashboard"], RQ_DASHBOARD_PASSWORD="", DASHBOARD_PORT=str(free_port()))
    assert program.wait() == 1
    assert "RQ_DASHBOARD_PASSWORD" in program.log()


def test_a_suspended_worker_is_called_so(dashboard: str, lasting_stack: Stack) -> None:
    """The page itself would call it idle."""

    def suspended() -> list[bool]:
        answer = httpx.get(f"{dashboard}/0/data/workers.json", auth=(USERNAME, PASSWORD)).json()
        return [worker["name"].endswith("suspended") for worker in answer["workers"]]

    assert not any(suspended())
    try:
        assert lasting_stack.launch(["shared.manage", "pause"]).wait(60) == 0
        wait_until(lambda: all(suspended()), "all workers are called suspended")
    finally:
        assert lasting_stack.launch(["shared.manage", "resume"]).wait(60) == 0


@pytest.mark.parametrize("path", ["/", "/0/view/workers", "/0/data/queues.json", "/0/data/workers.json"])
def test_every_page_says_when_redis_does_not_answer(path: str, dashboard: str, stack: Stack) -> None:
    """With 503, so that monitors notice as well as people."""
    stack.valkey.kill()
    answer = httpx.get(dashboard + path, auth=(USERNAME, PASSWORD))
    assert (answer.status_code, answer.text) == (503, "Redis does not answer.\n")
    stack.valkey.start()
    assert httpx.get(dashboard + path, auth=(USERNAME, PASSWORD)).status_code == 200
