"""Doing one fault once: scene, load, injection, checker; what came of it is a value, never an exception."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.e2e.campus import Campus
from tests.faults.history import History
from tests.faults.injections.fault import Fault
from tests.faults.scene import (
    OUTCOMES_AFTER,
    OUTCOMES_BEFORE,
    NotLandedError,
    NotRunError,
    Scene,
    check_scene,
    set_scene,
)
from tests.faults.site import Site

LANDED, NOT_LANDED, NOT_RUN = "landed", "not landed", "not run"


@dataclass
class Run:
    """What one run did and found. `state` is LANDED, NOT_LANDED or NOT_RUN."""

    fault: str
    seed: int
    turn: int
    state: str = LANDED
    where: str = ""
    wire: str = ""
    requests: int = 0
    took_s: float = 0.0
    violations: list[str] = field(default_factory=list)
    stood_still_s: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the fault happened and nothing was wrong afterwards, or it could not be done here at all."""
        return self.state == NOT_RUN or (self.state == LANDED and not self.violations)

    def document(self) -> dict[str, object]:
        """The run as JSON."""
        return asdict(self)


def run_fault(
    site: Site, campus: Campus, fault: Fault, history_path: Path, *, seed: int, turn: int = 0
) -> Run:
    """Do one fault on a whole site; `turn` runs of it came before. The log of the clients stays when something was wrong."""
    run = Run(fault.name, seed, turn)
    started = time.monotonic()
    history_path.unlink(missing_ok=True)
    try:
        with History(history_path) as history:
            scene = set_scene(site, campus, seed, turn, history)
            _play(scene, fault, run)
        if run.state == LANDED:
            _judge(scene, history_path, run)
    except AssertionError as error:
        run.violations.append(f"did not get over it: {error}")
    except Exception as error:  # noqa: BLE001 - one broken run must not end the suite, nor pass for a good one
        run.violations.append(f"broke off: {error!r}")
    run.took_s = time.monotonic() - started
    if run.good:
        history_path.unlink(missing_ok=True)
    return run


def _play(scene: Scene, fault: Fault, run: Run) -> None:
    """Load before, during and after the fault; at the end every client has its outcome."""
    with scene.load:
        scene.load.wait_for_finals(OUTCOMES_BEFORE)
        try:
            fault.inject(scene)
        except NotLandedError as error:
            run.state, run.where = NOT_LANDED, str(error)
        except NotRunError as error:
            run.state, run.where = NOT_RUN, str(error)
        else:
            scene.load.wait_for_finals(OUTCOMES_AFTER, "outcomes after the fault")
            run.where, run.wire, run.stood_still_s = scene.where, scene.wire, scene.stood_still_s
        finally:
            scene.site.heal()
        if run.state != LANDED:
            scene.site.mend()


def _judge(scene: Scene, history_path: Path, run: Run) -> None:
    verdict = check_scene(scene, history_path)
    run.requests = verdict.requests
    run.violations += [str(violation) for violation in verdict.violations]
