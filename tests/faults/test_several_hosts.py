"""API and workers on hosts of their own, one of them cut off in the middle of a rush and healed: no promise breaks.

Needs root and iproute2. The figures it prints, with `-s`, are those of the page on reliability.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.campus import Campus
from tests.e2e.program import Program
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.campus_network import API_HOST, HOST_NAMES, CampusNetwork
from tests.faults.checker.verdict import check
from tests.faults.failover import watching
from tests.faults.history import History
from tests.faults.hosts import Cut, Hosts, what_is_missing
from tests.faults.load import Load
from tests.faults.moment import Caught, caught_before_commit, caught_in_commit
from tests.faults.scene import new_courses

MISSING = what_is_missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

STUDENTS = 24
OUTCOMES = 40
# A loose limit on a busy machine; the promise is two seconds.
FAILOVER_LIMIT_S = 5.0
NOTICED_LIMIT_S = 20.0
BACK_LIMIT_S = 15.0
# What a worker logs when it has lost a server.
GAVE_UP = "trying again"

Moment = Callable[[Stack], AbstractContextManager[Caught]]


@pytest.fixture(scope="module")
def lasting_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CampusNetwork]:
    """The system on three hosts, for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch, Hosts(HOST_NAMES) as hosts:
        # No proxy leads to hosts that exist on this machine only.
        patch.setenv("no_proxy", "*")
        with closing(CampusNetwork(tmp_path_factory.mktemp("hosts"), hosts)) as network:
            yield network.start()


@pytest.fixture
def network(lasting_network: CampusNetwork) -> CampusNetwork:
    """The system with every host at its cable."""
    lasting_network.heal()
    return lasting_network


@pytest.fixture(scope="module")
def campus(lasting_network: CampusNetwork) -> Campus:
    """What the database is filled with."""
    return Campus(lasting_network)


@pytest.fixture
def rush(network: CampusNetwork, campus: Campus, seed: int, tmp_path: Path) -> Iterator[Load]:
    """Clients that want places in new courses, as many of the one worker's as of the other's."""
    course_ids = new_courses(network, campus, random.Random(seed))
    with History(tmp_path / "history.jsonl") as history:
        yield Load(network.api_url, campus.students(STUDENTS), course_ids, seed, history)


@contextmanager
def in_the_middle(rush: Load, network: CampusNetwork) -> Iterator[None]:
    """The rush runs before, during and after the block; then the checker and the audit decide."""
    with rush:
        rush.wait_for_finals(OUTCOMES)
        yield
        rush.wait_for_finals(OUTCOMES, "outcomes after the fault")
    wait_until(lambda: not any(map(network.waiting_in, rush.course_ids)), "the queues drain")
    verdict = check([rush.history.path], network.postgres.url, network.valkey.url)
    assert verdict.violations == []
    assert "0 differences" in network.audit()


@pytest.mark.parametrize(
    ("how", "moment"),
    [
        (Cut.UNPLUGGED, caught_before_commit),
        (Cut.SILENT, caught_before_commit),
        (Cut.SILENT, caught_in_commit),
        (Cut.DEAF, caught_before_commit),
    ],
    ids=["unplugged-in-a-round", "silent-in-a-round", "silent-in-a-commit", "deaf-in-a-round"],
)
def test_a_workers_host_is_cut_off_and_healed(
    how: Cut, moment: Moment, rush: Load, network: CampusNetwork
) -> None:
    """Its session is ended by the server and the other host does all the work; healed, the same process has its share."""
    with in_the_middle(rush, network):
        worker_pid, _ = cut_off_an_owner(how, moment, rush, network)
        rush.wait_for_finals(OUTCOMES, "the other host does all the work")
        heal_an_owner(worker_pid, network, f"worker's host {how}")


def test_a_workers_host_that_stays_cut_off_gives_up_by_itself(rush: Load, network: CampusNetwork) -> None:
    """No server can tell it anything: its own TCP finds out, long after the others, and it is well again when healed."""
    with in_the_middle(rush, network):
        gave_up = {program.pid: times_given_up(program) for program in network.crew}
        worker_pid, cut_at = cut_off_an_owner(Cut.SILENT, caught_in_commit, rush, network)
        worker = network.crew_member(worker_pid)
        wait_until(
            lambda: times_given_up(worker) > gave_up[worker_pid], "the worker gives up", NOTICED_LIMIT_S
        )
        tell("worker's host long silent", "gave up", time.monotonic() - cut_at)
        assert worker_pid not in network.shards_owned_by()
        heal_an_owner(worker_pid, network, "worker's host long silent")


def times_given_up(worker: Program) -> int:
    """How often a worker has lost a server and begun anew."""
    return worker.log_path.read_text(encoding="utf-8").count(GAVE_UP)


def cut_off_an_owner(how: Cut, moment: Moment, rush: Load, network: CampusNetwork) -> tuple[int, float]:
    """Cut the host of a worker that is caught at a moment of its round, and see it replaced.

    Returns its process id and when it was cut off, in seconds of the monotonic clock.
    """
    # What is entered first is left last: the times are taken when the moment is let go.
    with ExitStack() as timing, moment(network) as caught:
        worker_pid = caught.worker_pid
        watch = timing.enter_context(watching(network, worker_pid, rush.course_ids, others_only=True))
        assert watch.last_index, "it owned no course"
        watch.strike()
        network.hosts.cut(network.host_of(worker_pid), how)
    tell(f"worker's host {how}", "failover", max(watch.stood_still_s))
    wait_until(lambda: not network.sessions_of(worker_pid), "the session is ended")
    network.wait_for_owners(1)
    assert worker_pid not in network.shards_owned_by()
    assert max(watch.stood_still_s) < FAILOVER_LIMIT_S
    return worker_pid, watch.struck_at


def heal_an_owner(worker_pid: int, network: CampusNetwork, what: str) -> None:
    """Heal the host, and see the same process at work again."""
    healed_at = time.monotonic()
    network.heal()
    tell(what, "back", time.monotonic() - healed_at)
    assert worker_pid in network.shards_owned_by(), "the same process is back"


@pytest.mark.parametrize("how", [Cut.UNPLUGGED, Cut.SILENT], ids=str)
def test_the_apis_host_is_cut_off_and_healed(how: Cut, rush: Load, network: CampusNetwork) -> None:
    """The workers end what was accepted; healed, the same process goes on and clients find what they had asked for."""
    with in_the_middle(rush, network):
        with network.held(*rush.course_ids):
            rush.wait_for_accepted(5)
            failed_before, pid = rush.failed_calls, network.api.pid
            network.hosts.cut(API_HOST, how)
        wait_until(lambda: not any(map(network.waiting_in, rush.course_ids)), "what was accepted is applied")
        wait_until(
            lambda: rush.failed_calls >= failed_before + STUDENTS, "every client notices", NOTICED_LIMIT_S
        )
        accepted, healed_at = rush.accepted, time.monotonic()
        network.heal()
        wait_until(lambda: rush.accepted > accepted, "requests are accepted again", BACK_LIMIT_S)
        tell(f"API's host {how}", "back", time.monotonic() - healed_at)
        assert network.api.pid == pid
        assert network.api.running


def tell(what: str, figure: str, seconds: float) -> None:
    """One measured time, in a form that can be counted."""
    print(f"\nseveral hosts | {what} | {figure} | {seconds:.3f} s")  # noqa: T201 - what these tests measure
