"""F10: the clocks of API and workers jump by an hour.

The order and the window hang on Redis' clock and `applied_at` on PostgreSQL's, so nothing that is promised may change.
The processes run under libfaketime, which reads the offset from a file again and again.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

from tests.faults.crew import WORKERS
from tests.faults.injections.fault import Fault
from tests.faults.injections.window_edges import WindowEdges
from tests.faults.scene import NotRunError, Scene
from tests.faults.site import Site

LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
# Debian has a folder per architecture, others have none.
PLACES = ("faketime/libfaketime.so.1", "*/faketime/libfaketime.so.1")
NOTICEABLE = timedelta(minutes=30)
# While the processes are replaced by some under the clock.
DEVICES_REST_S = 0.5


def jump(hours: int) -> Callable[[Scene], None]:
    """A jump of all clocks of API and workers by so many hours while requests come in."""
    return partial(_jump, hours=hours)


def _jump(scene: Scene, hours: int) -> None:
    site = scene.site
    clock = site.directory / "clock-offset"
    clock.write_text("+0\n", encoding="ascii")
    environment = _environment(clock)
    scene.load.pause_s = DEVICES_REST_S
    for number in range(WORKERS):
        site.restart_worker(number, **environment)
    site.wait_for_owners(WORKERS)
    site.roll_api(**environment)
    scene.load.pause_s = 0.0
    edges = WindowEdges(scene, ahead=hours > 0)
    with site.held(edges.open):
        edges.ask_with_clocks_right()
        scene.load.wait_for_finals(10)
        clock.write_text(f"{hours:+d}h\n", encoding="ascii")
        _see_the_jump(scene, timedelta(hours=hours))
    late = edges.ask_with_clocks_wrong()
    scene.load.wait_for_finals(20)
    scene.where = f"API and {WORKERS} workers at {hours:+d} h; in time only by Redis' clock: {late}"


def _see_the_jump(scene: Scene, expected: timedelta) -> None:
    site = scene.site
    scene.landed_within(15, lambda: _close(_api_offset(site), expected), "the API's clock has jumped")
    scene.landed_within(
        15,
        lambda: sum(_close(offset, expected) for offset in _worker_offsets(site)) == WORKERS,
        "the workers' clocks have jumped",
    )


def _environment(clock: Path) -> dict[str, str]:
    """What puts a process under the clock. Raises NotRunError where libfaketime is missing."""
    found = [path for folder in LIBRARIES for place in PLACES for path in Path(folder).glob(place)]
    if not found or shutil.which("faketime") is None:
        message = "faketime is not installed"
        raise NotRunError(message)
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        # Seconds between looks at the file.
        "FAKETIME_CACHE_DURATION": "1",
        # A jump of the wall clock leaves the monotonic one alone.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _close(offset: timedelta, expected: timedelta) -> bool:
    return abs(offset - expected) < NOTICEABLE


def _api_offset(site: Site) -> timedelta:
    """How far the API's clock is ahead of ours, by the Date header of its answers."""
    answer = site.http.get("/health/live")
    return parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)


def _worker_offsets(site: Site) -> list[timedelta]:
    """The same of the workers that run, by the heartbeats that they show RQ."""
    pids = {str(pid) for pid in site.worker_pids()}
    with site.redis() as client:
        shown = [client.hmget(name, "pid", "last_heartbeat") for name in client.smembers("rq:workers")]
    return [
        datetime.fromisoformat(heartbeat.decode()) - datetime.now(UTC)
        for pid, heartbeat in shown
        if pid is not None and heartbeat is not None and pid.decode() in pids
    ]


FAULTS = (
    Fault("F10-forward", "clocks of API and workers jump an hour ahead", jump(1)),
    Fault("F10-back", "clocks of API and workers jump an hour back", jump(-1)),
)
