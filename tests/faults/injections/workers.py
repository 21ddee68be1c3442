"""F1 to F3: a worker killed, frozen, or cut from its session, at every step of a round."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

import psutil

from tests.e2e.waiting import wait_until
from tests.faults.injections.catching import Moment, any_moment, caught_worker
from tests.faults.injections.fault import Fault
from tests.faults.moment import caught_after_peek, caught_before_commit, caught_in_commit, gone, ledger_rows
from tests.faults.scene import NotLandedError, Scene
from tests.faults.sockets import unread_bytes

FREEZE_MIN_S, FREEZE_MAX_S = 0.2, 10.0
# Frozen for longer than this, a worker must have lost its session, and its courses have another owner.
SURELY_CUT_OFF_S = 2.5


def kill_at(moment: Moment) -> Callable[[Scene], None]:
    """SIGKILL of a worker that is caught at a moment of its round."""
    return partial(_kill, moment=moment)


def _kill(scene: Scene, moment: Moment) -> None:
    with caught_worker(scene, moment) as (caught, watch):
        os.kill(caught.worker_pid, signal.SIGKILL)
        watch.strike()
        scene.landed_within(2, lambda: gone(caught.worker_pid), "the worker is gone")
        scene.landed(watch.last_index, "it owned no course")
        scene.landed(moment is any_moment or scene.waiting(), "nothing was left to do")
    scene.where = f"worker {caught.worker_pid}"


def kill_after_commit(scene: Scene) -> None:
    """SIGKILL while the worker waits for the answer to its commit: the ledger has the round, and the queue still does."""
    before = ledger_rows(scene.site)
    with caught_worker(scene, caught_in_commit) as (caught, watch):
        os.kill(caught.worker_pid, signal.SIGKILL)
        watch.strike()
        scene.landed_within(2, lambda: gone(caught.worker_pid), "the worker is gone")
        waiting = scene.waiting()
    scene.landed_within(2, lambda: ledger_rows(scene.site) > before, "the round is committed")
    recorded = _recorded_by(scene, caught.worker_pid, waiting)
    scene.landed(recorded, "nothing was committed that still stood in a queue")
    scene.where = f"worker {caught.worker_pid}, {recorded} committed requests still queued"


def _recorded_by(scene: Scene, worker_pid: int, request_ids: list[str]) -> int:
    [row] = scene.site.sql(
        "SELECT count(*) AS rows FROM registration_requests"
        " WHERE request_id = ANY(%s::uuid[]) AND split_part(worker, '.', -2) = %s",
        request_ids,
        str(worker_pid),
    )
    return int(row["rows"])


def kill_in_finish(scene: Scene) -> None:
    """SIGKILL with the finishing script sent and not answered.

    Removal and publishing are one script and cannot be torn apart; the nearest that a kill can come is between sending
    it and its being run. Redis stands still while the worker sends it, the worker dies, then Redis reads what was sent.
    """
    site = scene.site
    # The worker that is connected directly, so that its own bytes can be seen.
    pid = site.crew[0].pid
    with caught_worker(scene, partial(caught_in_commit, worker_pid=pid)):
        before = ledger_rows(site)
        os.kill(site.valkey.pid, signal.SIGSTOP)
    try:
        scene.landed_within(2, lambda: ledger_rows(site) > before, "the round is committed")
        sent = wait_until(lambda: unread_bytes(site.valkey.port, pid), "the script is sent", 2)
        os.kill(pid, signal.SIGKILL)
        scene.landed_within(2, lambda: gone(pid), "the worker is gone")
    except AssertionError as error:
        raise NotLandedError(str(error)) from error
    finally:
        os.kill(site.valkey.pid, signal.SIGCONT)
    scene.where = f"worker {pid}, {sent} bytes sent to Redis and not read"


def freeze_at(moment: Moment) -> Callable[[Scene], None]:
    """SIGSTOP of a worker that is caught at a moment of its round, for 0.2 to 10 s, then SIGCONT."""
    return partial(_freeze, moment=moment)


def _freeze(scene: Scene, moment: Moment) -> None:
    lasts_s = FREEZE_MIN_S * (FREEZE_MAX_S / FREEZE_MIN_S) ** scene.chance.random()
    frozen: list[int] = []
    try:
        with caught_worker(scene, moment) as (caught, watch):
            frozen.append(caught.worker_pid)
            os.kill(caught.worker_pid, signal.SIGSTOP)
            thaw_at = time.monotonic() + lasts_s
            stopped = psutil.Process(caught.worker_pid)
            scene.landed_within(
                1, lambda: stopped.status() == psutil.STATUS_STOPPED, "the worker stands still"
            )
            if lasts_s > SURELY_CUT_OFF_S:
                watch.strike()
        scene.pause(max(0.0, thaw_at - time.monotonic()))
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    scene.where = f"worker {caught.worker_pid} for {lasts_s:.2f} s"


def terminate_at(moment: Moment) -> Callable[[Scene], None]:
    """pg_terminate_backend of an owner that is caught at a moment of its round."""
    return partial(_terminate, moment=moment)


def _terminate(scene: Scene, moment: Moment) -> None:
    site = scene.site
    with caught_worker(scene, moment, others_only=False) as (caught, watch):
        site.sql("SELECT pg_terminate_backend(%s)", caught.backend_pid)
        watch.strike()
        scene.landed_within(
            2, lambda: caught.backend_pid not in site.sessions_of(caught.worker_pid), "its session is gone"
        )
    scene.landed(caught.worker_pid in site.worker_pids(), "the process was to live on")
    scene.where = f"session {caught.backend_pid} of worker {caught.worker_pid}"


FAULTS = (
    Fault("F1-any-time", "kill -9 of a worker", kill_at(any_moment), "killed"),
    Fault(
        "F1-after-peek", "kill -9 of a worker that has read its queues", kill_at(caught_after_peek), "killed"
    ),
    Fault(
        "F1-in-transaction",
        "kill -9 of a worker with a round decided, not committed",
        kill_at(caught_before_commit),
        "killed",
    ),
    Fault(
        "F1-after-commit",
        "kill -9 of a worker with a round committed, not removed",
        kill_after_commit,
        "killed",
    ),
    Fault("F1-in-finish", "kill -9 of a worker between removal sent and answered", kill_in_finish),
    Fault("F2-any-time", "SIGSTOP of a worker, 0.2 to 10 s", freeze_at(any_moment), "frozen"),
    Fault("F2-in-transaction", "the same with a round in hand", freeze_at(caught_before_commit), "frozen"),
    Fault("F2-in-commit", "the same waiting for its commit", freeze_at(caught_in_commit), "frozen"),
    Fault("F3-any-time", "pg_terminate_backend of an owner", terminate_at(any_moment), "terminated"),
    Fault(
        "F3-in-transaction", "the same with a round in hand", terminate_at(caught_before_commit), "terminated"
    ),
)
