"""F7: the API killed in mid-request; the clients repeat what they do not know with the same Idempotency-Key."""

from tests.faults.injections.fault import Fault
from tests.faults.moment import gone
from tests.faults.scene import Scene


def kill_api(scene: Scene) -> None:
    """SIGKILL of the API, with or without requests piled up behind held courses, and a new start."""
    site, load = scene.site, scene.load
    pid, failed = site.api.pid, load.failed_calls
    held = scene.course_ids if scene.chance.random() < 0.5 else ()
    with site.held(*held):
        if held:
            scene.let_pile_up(5)
        scene.landed(load.in_flight > 0, "no client was waiting for anything")
        in_flight = load.in_flight
        site.kill_api()
        scene.landed(gone(pid), "the API was to end")
        scene.landed_within(5, lambda: load.failed_calls > failed, "a client notices")
        waiting = len(scene.waiting())
    site.start_api()
    scene.where = f"API {pid}, {in_flight} calls in flight, {waiting} requests waiting"


FAULTS = (Fault("F7", "kill -9 of the API in mid-request", kill_api),)
