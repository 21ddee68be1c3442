"""F11: everything restarted in turn, as ops do it, while requests come in."""

from scripts.server_process import ServerProcess
from tests.faults.crew import WORKERS
from tests.faults.injections.fault import Fault
from tests.faults.moment import gone
from tests.faults.scene import Scene
from tests.faults.site import Site

DEVICES_REST_S = 0.5


def restart_everything(scene: Scene) -> None:
    """Both workers and the API rolled one after the other, then Redis and PostgreSQL stopped cleanly and started."""
    site = scene.site
    before = [*site.worker_pids(), site.api.pid, site.valkey.pid, site.postgres.pid]
    steps = [lambda number=number: _restart_worker(site, number) for number in range(WORKERS)]
    steps += [site.roll_api, lambda: _restart(site.valkey), lambda: _restart(site.postgres)]
    scene.chance.shuffle(steps)
    scene.load.pause_s = DEVICES_REST_S
    for step in steps:
        step()
        scene.load.wait_for_finals(5)
    scene.landed(all(map(gone, before)), "not every process was replaced")
    scene.where = f"{len(before)} processes replaced"


def _restart_worker(site: Site, number: int) -> None:
    """The next step waits until the new worker has its share."""
    site.restart_worker(number)
    site.wait_for_owners(WORKERS)


def _restart(server: ServerProcess) -> None:
    server.stop()
    server.start()


FAULTS = (Fault("F11", "rolling restart of everything", restart_everything),)
