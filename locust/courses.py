"""What students choose from: the open courses, from the most to the least wanted, looked up once per process."""

import random
import time
from itertools import accumulate

import gevent
from calls import Caller, Document, NoAnswerError
from gevent.lock import BoundedSemaphore
from locust import events

# Every process ranks the courses alike, so that the same ones are popular everywhere.
POPULARITY_SEED = 1
PAGE_SIZE = 200
CONTESTED_COUNT = 10
# The API may know of a new semester only a few seconds after it was made.
OPEN_LIMIT_S = 15.0
OPEN_PAUSE_S = 1.0


class Courses:
    """The courses whose window is open."""

    def __init__(self, documents: list[Document], hot_share: float, zipf_exponent: float) -> None:
        by_size = sorted(documents, key=lambda course: (course["max_capacity"], course["id"]))
        self.contested = [course["id"] for course in by_size[:CONTESTED_COUNT]]
        self.ids = sorted(course["id"] for course in documents)
        random.Random(POPULARITY_SEED).shuffle(self.ids)
        self._hot_share = hot_share
        self._weights = list(accumulate((rank + 1) ** -zipf_exponent for rank in range(len(self.ids))))

    def pick(self) -> str:
        """One course: the hot one, or any, popular ones more often (Zipf)."""
        if random.random() < self._hot_share:
            return self.ids[0]
        return random.choices(self.ids, cum_weights=self._weights)[0]


class Shelf:
    """Where the users of this process find the courses that the first of them has looked up."""

    def __init__(self) -> None:
        self._courses: Courses | None = None
        self._lock = BoundedSemaphore()

    def forget(self, **_event: object) -> None:
        """A new run may meet other courses, or another server."""
        self._courses = None

    def courses(self, caller: Caller) -> Courses:
        """The open courses. Raises NoAnswerError when there are none."""
        with self._lock:
            if self._courses is None:
                options = caller.environment.parsed_options
                documents = _open_courses(caller, options.semester)
                self._courses = Courses(documents, options.hot_share, options.zipf_exponent)
            return self._courses


shelf = Shelf()
events.test_start.add_listener(shelf.forget)


def _open_courses(caller: Caller, semester: str) -> list[Document]:
    deadline = time.monotonic() + OPEN_LIMIT_S
    while time.monotonic() < deadline:
        courses = [
            course for each in _open_semesters(caller, semester) for course in _courses_of(caller, each)
        ]
        if courses:
            return courses
        gevent.sleep(OPEN_PAUSE_S)
    error = NoAnswerError(f"no course {f'of {semester} ' if semester else ''}is open for registration")
    caller.report("SETUP", "open courses", 0, error)
    raise error


def _open_semesters(caller: Caller, name: str) -> list[str]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return [
        semester["id"]
        for semester in caller.get("/semesters/", "/semesters/")["semesters"]
        if semester["registration_start"] <= now < semester["registration_end"]
        and name in {"", semester["name"]}
    ]


def _courses_of(caller: Caller, semester_id: str) -> list[Document]:
    """Every page; the courses know their semester."""
    courses: list[Document] = []
    after: str | None = ""
    while after is not None:
        query = f"?limit={PAGE_SIZE}" + (f"&after={after}" if after else "")
        page = caller.get(f"/semesters/{semester_id}/courses{query}", "/semesters/{id}/courses")
        courses += page["courses"]
        after = page["next"]
    return courses
