"""A worker caught at a moment of its round, with the clock at hand that times how long its courses stand still."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.e2e.stack import Stack
from tests.faults.failover import Watch, watching
from tests.faults.moment import Caught
from tests.faults.scene import NotLandedError, Scene

Moment = Callable[[Stack], AbstractContextManager[Caught]]


@contextmanager
def any_moment(stack: Stack) -> Iterator[Caught]:
    """Whatever the worker that owns most shards is doing."""
    owned = stack.shards_owned_by()
    pid = max(owned, key=lambda pid: owned[pid])
    yield Caught(pid, stack.sessions_of(pid)[0])


@contextmanager
def caught_worker(
    scene: Scene, moment: Moment, *, others_only: bool = True
) -> Iterator[tuple[Caught, Watch]]:
    """Catch a worker for the block; afterwards let go first, then time its courses if the block called `strike`.

    Raises NotLandedError when no worker came to that moment.
    """
    # What is entered first is left last: the times are taken when the moment is let go.
    with ExitStack() as timing, ExitStack() as holding:
        try:
            caught = holding.enter_context(moment(scene.site))
        except AssertionError as error:
            raise NotLandedError(str(error)) from error
        scene.landed(scene.load.in_flight > 0, "no client was waiting for anything")
        watch = timing.enter_context(
            watching(scene.site, caught.worker_pid, scene.course_ids, others_only=others_only)
        )
        yield caught, watch
    scene.stood_still_s += watch.stood_still_s
