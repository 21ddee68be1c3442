"""One run of a fault: new courses and students on a running site, load before, during and after, then the checker."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tests.e2e.campus import Campus
from tests.e2e.waiting import wait_until
from tests.faults.checker.verdict import Verdict, check
from tests.faults.crew import Crew, shard_of
from tests.faults.history import History
from tests.faults.load import Load
from tests.faults.site import Site

STUDENTS = 24
# Seats of each worker's courses: fewer places than students who want them.
SEATS = (1, 4, 8)
RESERVE = 3
OUTCOMES_BEFORE = 30
OUTCOMES_AFTER = 40


class NotLandedError(Exception):
    """The fault did not happen where it should, so that the run proves nothing."""


class NotRunError(Exception):
    """This machine lacks something that the fault needs; the message says what."""


@dataclass
class Scene:
    """What an injection works on. `where`, `wire` and `stood_still_s` are for it to fill.

    `turn` numbers the runs of one fault, from 0.
    """

    site: Site
    campus: Campus
    load: Load
    history: History
    course_ids: Sequence[str]
    chance: random.Random
    turn: int
    where: str = ""
    wire: str = ""
    stood_still_s: list[float] = field(default_factory=list)

    def landed(self, happened: object, what: str) -> None:
        """Demand the proof that the fault happened. Raises NotLandedError."""
        if not happened:
            raise NotLandedError(what)

    def landed_within(self, limit_s: float, condition: Callable[[], object], what: str) -> None:
        """Wait for the proof that the fault happened. Raises NotLandedError."""
        try:
            wait_until(condition, what, limit_s)
        except AssertionError as error:
            raise NotLandedError(str(error)) from error

    def pause(self, seconds: float) -> None:
        """Let the fault last: here time itself is what is waited for."""
        time.sleep(seconds)

    def waiting(self) -> list[str]:
        """Everything that waits in a queue, request or not."""
        with self.site.redis() as client:
            queues = [client.lrange(f"rq:queue:course-{course_id}", 0, -1) for course_id in self.course_ids]
        return [raw.decode(errors="replace") for queue in queues for raw in queue]

    def let_pile_up(self, count: int) -> list[str]:
        """While the courses are held, wait until so many requests wait; returns them. Raises NotLandedError."""
        self.landed_within(10, lambda: len(self.waiting()) >= count, f"{count} requests wait")
        return self.waiting()


def new_courses(site: Crew, campus: Campus, chance: random.Random) -> list[str]:
    """New courses, as many for the one worker as for the other."""
    return [
        campus.course(seats=seats, reserve=RESERVE, course_id=_course_id(site.shards_of(pid), chance))
        for pid in site.worker_pids()
        for seats in SEATS
    ]


def _course_id(shards: set[int], chance: random.Random) -> str:
    """An id that belongs to one of the shards."""
    for _ in range(10_000):
        course_id = str(UUID(int=chance.getrandbits(128), version=4))
        if shard_of(course_id) in shards:
            return course_id
    message = f"no id found for shards {shards}"
    raise AssertionError(message)


def set_scene(site: Site, campus: Campus, seed: int, turn: int, history: History) -> Scene:
    """A scene on a whole site; the load has yet to be started."""
    # Which ids fit depends on who owns what at the moment, which the seed does not decide: no draw of it may count.
    course_ids = new_courses(site, campus, random.Random(f"courses {seed}"))
    load = Load(site.api_url, campus.students(STUDENTS), course_ids, seed, history)
    return Scene(site, campus, load, history, course_ids, random.Random(seed), turn)


def check_scene(scene: Scene, history: Path) -> Verdict:
    """Wait until every queue is empty, then let the checker decide."""
    wait_until(lambda: not scene.waiting(), "the queues drain", 30)
    return check([history], scene.site.postgres.url, scene.site.valkey.url)
