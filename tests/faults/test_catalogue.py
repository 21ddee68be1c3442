"""One short run of every fault that the other files here leave out: it lands, and the checker finds nothing wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.campus import Campus
from tests.faults.catalogue import catalogue, chosen
from tests.faults.injections.fault import Fault
from tests.faults.runner import LANDED, NOT_LANDED, NOT_RUN, run_fault
from tests.faults.scene import Scene
from tests.faults.site import Site
from tests.faults.small_disk import temporary_site

# Tested under load one by one.
LEFT_OUT = (
    *("F1-in-transaction", "F1-after-commit", "F2-in-transaction", "F2-in-commit", "F3-in-transaction"),
    *("F4", "F5-any-time", "F5-after-commit", "F7"),
)
FAULTS = [fault for fault in catalogue() if fault.name not in LEFT_OUT]
FAILOVER_LIMIT_S = 5.0


@pytest.fixture(scope="module")
def lasting_site() -> Iterator[Site]:
    """The system, for all tests of this file."""
    with temporary_site() as site:
        yield site


@pytest.fixture(scope="module")
def site_campus(lasting_site: Site) -> Campus:
    """What its database is filled with."""
    return Campus(lasting_site)


@pytest.fixture
def site(lasting_site: Site) -> Site:
    """The system with every part running."""
    lasting_site.mend()
    return lasting_site


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_every_promise_holds(
    fault: Fault, site: Site, site_campus: Campus, seed: int, tmp_path: Path
) -> None:
    """The fault happens while clients register and drop; afterwards nothing is lost, reordered, doubled or untold."""
    run = run_fault(site, site_campus, fault, tmp_path / "history.jsonl", seed=seed, turn=seed)
    if run.state == NOT_RUN:
        pytest.skip(run.where)
    assert run.state == LANDED, f"{run.state}: {run.where}"
    assert run.violations == []
    assert run.requests > 0
    # A loose limit on a busy machine; the suite measures the promised times.
    assert max(run.stood_still_s, default=0.0) < FAILOVER_LIMIT_S


def test_a_fault_that_does_not_happen_is_no_success(
    site: Site, site_campus: Campus, seed: int, tmp_path: Path
) -> None:
    """The control: with the injector switched off, the run says so and is not good."""

    def switched_off(scene: Scene) -> None:
        scene.landed_within(0.2, lambda: not scene.site.crew[0].running, "the worker is gone")

    off = Fault("F1-off", "nothing", switched_off)
    run = run_fault(site, site_campus, off, tmp_path / "history.jsonl", seed=seed)
    assert run.state == NOT_LANDED
    assert not run.good


def test_every_family_of_faults_is_there() -> None:
    """F1 to F13, each by its own name, and a wrong name is refused."""
    assert list(dict.fromkeys(fault.family for fault in catalogue())) == [f"F{n}" for n in range(1, 14)]
    assert len({fault.name for fault in catalogue()}) == len(catalogue())
    assert [fault.name for fault in chosen("F4, F6-reset")] == ["F4", "F6-reset"]
    with pytest.raises(ValueError, match="F99"):
        chosen("F99")
