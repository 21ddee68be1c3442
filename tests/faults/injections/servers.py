"""F4, F5 and F9: PostgreSQL and Redis stopped at once, and Redis full."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.e2e.waiting import wait_until
from tests.faults.injections.catching import any_moment, caught_worker
from tests.faults.injections.fault import Fault
from tests.faults.moment import caught_before_commit, gone, ledger_rows
from tests.faults.scene import NotRunError, Scene

AWAY_MAX_S = 1.0
REFUSALS = 30
MIB = 1 << 20
# What is left free on Redis' disk: a few dozen requests.
LEFT_FREE_BYTES = 64 * 1024


def stop_postgresql(scene: Scene) -> None:
    """PostgreSQL stopped with SIGQUIT and started again: no checkpoint, every round in doubt."""
    site = scene.site
    moment = scene.chance.choice([any_moment, caught_before_commit])
    pid = site.postgres.pid
    with caught_worker(scene, moment):
        site.postgres.stop_immediately()
    scene.landed(gone(pid), "the server was to end")
    lasts_s = AWAY_MAX_S * scene.chance.random()
    scene.pause(lasts_s)
    site.postgres.start()
    scene.where = f"server {pid} at {moment.__name__}, away for {lasts_s:.2f} s"


def kill_redis(scene: Scene) -> None:
    """Redis killed at any moment and started on the same data."""
    pid = scene.site.valkey.pid
    scene.landed(scene.load.in_flight > 0, "no client was waiting for anything")
    _kill_and_start(scene)
    scene.where = f"server {pid}, {scene.where}"


def kill_redis_after_commit(scene: Scene) -> None:
    """Redis killed when a round is committed that it still shows as waiting."""
    site = scene.site
    pid = site.valkey.pid
    with caught_worker(scene, caught_before_commit):
        os.kill(pid, signal.SIGSTOP)
        before = ledger_rows(site)
    scene.landed_within(
        3, lambda: ledger_rows(site) > before, "a round is committed while Redis stands still"
    )
    _kill_and_start(scene)
    scene.where = f"server {pid}, {scene.where}"


def _kill_and_start(scene: Scene) -> None:
    site = scene.site
    pid = site.valkey.pid
    site.valkey.kill()
    scene.landed(gone(pid), "the server was to end")
    lasts_s = AWAY_MAX_S * scene.chance.random()
    scene.pause(lasts_s)
    site.valkey.start()
    scene.where = f"away for {lasts_s:.2f} s"


def fill_memory(scene: Scene) -> None:
    """Redis at maxmemory: what comes is refused, what was accepted is finished, and then all goes on."""
    site, load = scene.site, scene.load
    with site.redis() as client:
        usual = client.config_get("maxmemory")["maxmemory"]
        try:
            with site.held(*scene.course_ids):
                waiting = len(scene.let_pile_up(5))
                client.config_set("maxmemory", MIB)
                refused = load.refused + REFUSALS
            wait_until(lambda: not scene.waiting(), "what was accepted is finished at maxmemory")
            scene.landed_within(10, lambda: load.refused > refused, "clients are refused")
        finally:
            client.config_set("maxmemory", usual)
    scene.where = f"{REFUSALS} calls refused, {waiting} waiting requests finished at maxmemory"


def fill_disk(scene: Scene) -> None:
    """Redis' disk full: it ends rather than acknowledge what it cannot keep; with room again it starts on its data."""
    site = scene.site
    if not os.path.ismount(site.valkey.data_dir):
        message = "Redis' data are on no file system of their own (needs root and tmpfs)"
        raise NotRunError(message)
    ballast = Path(site.valkey.data_dir) / "ballast"
    pid = site.valkey.pid
    try:
        _fill(ballast)
        scene.landed_within(20, lambda: not site.valkey.running, "Redis ends on a full disk")
    finally:
        ballast.unlink(missing_ok=True)
    site.valkey.start()
    scene.where = f"server {pid} ended on a full disk"


def _fill(ballast: Path) -> None:
    """Leave only a little room on the file's file system."""
    room = os.statvfs(ballast.parent)
    with ballast.open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - LEFT_FREE_BYTES)


FAULTS = (
    Fault("F4", "PostgreSQL stopped immediately and started", stop_postgresql),
    Fault("F5-any-time", "kill -9 of Valkey and restart", kill_redis),
    Fault("F5-after-commit", "the same with a round committed, not removed", kill_redis_after_commit),
    Fault("F9-maxmemory", "Redis at maxmemory", fill_memory),
    Fault("F9-disk-full", "no room for Redis' append-only file", fill_disk),
)
