"""Students at the edges of registration windows while the API's clock is an hour wrong: Redis' clock is the one that counts.

| course | by Redis' clock | by an API an hour ahead | by an API an hour back |
|---|---|---|---|
| `open` | open | closed half an hour ago | opens in half an hour |
| `shut` | opens in half an hour, or closed half an hour ago | open | open |

What is accepted is judged by when Redis accepted it. The API may refuse at once what its own clock puts outside the
window; then there is no request, and nothing to judge.
"""

from datetime import timedelta

import httpx

from tests.e2e.campus import Student
from tests.e2e.waiting import wait_until
from tests.faults.load import TRY_AGAIN
from tests.faults.scene import Scene

HALF_AN_HOUR = timedelta(minutes=30)
DAY = timedelta(days=1)
ENROLLED = ("APPLIED", "ENROLLED", None)
WAIT_S = 10


class WindowEdges:
    """Two new courses, and four students who want a place in one of them; every call goes into the scene's history."""

    def __init__(self, scene: Scene, *, ahead: bool) -> None:
        campus = scene.campus
        of_open = (-DAY, HALF_AN_HOUR) if ahead else (-HALF_AN_HOUR, DAY)
        of_shut = (HALF_AN_HOUR, DAY) if ahead else (-DAY, -HALF_AN_HOUR)
        self.open, self.shut = (
            campus.course(seats=4, semester_id=campus.semester(*window)) for window in (of_open, of_shut)
        )
        for course_id in (self.open, self.shut):
            scene.history.edge(course_id)
        self._outside = ("REJECTED", None, "registration_not_open" if ahead else "registration_closed")
        self._scene = scene
        *self._early, self._hasty, self._late = campus.students(4)

    def ask_with_clocks_right(self) -> None:
        """Two are accepted, to be decided after the jump. The caller keeps the workers from the open course."""
        for student in self._early:
            accepted = self._submit(student, self.open)
            assert accepted.status_code == 202, f"answered {accepted.status_code} {accepted.text}"

    def ask_with_clocks_wrong(self) -> str:
        """Who was accepted in time gets the place, and is told so on asking again; who asks now is judged by Redis' clock.

        Returns what became of the one who wanted the course that only the API takes for closed.
        """
        for student in self._early:
            self._require(ENROLLED, self._submit(student, self.open, wait_s=WAIT_S))
        hasty = self._submit(self._hasty, self.shut, wait_s=WAIT_S)
        self._scene.landed(hasty.status_code != 409, "the API's clock was not wrong")
        self._require(self._outside, hasty)
        late = self._submit(self._late, self.open, wait_s=WAIT_S)
        if late.status_code == 409:
            return f"refused at once with {late.json()['code']}"
        self._require(ENROLLED, late)
        return "accepted"

    def _require(self, expected: tuple[str | None, ...], answer: httpx.Response) -> None:
        assert answer.status_code == 200, f"answered {answer.status_code} {answer.text}"
        document = answer.json()
        told = tuple(document[name] for name in ("status", "result", "reason"))
        assert told == expected, f"at the edge of a window {document['request_id']} became {told}"

    def _submit(self, student: Student, course_id: str, *, wait_s: int | None = None) -> httpx.Response:
        """Register, always with the same key, until the answer is more than `come back later`."""
        key = f"edge-{student.student_id}"
        what = {"course_id": course_id, "operation": "REGISTER", "key": key}

        def answer() -> httpx.Response | None:
            call = self._scene.history.sent("POST", student_id=student.student_id, **what)
            answered = student.register(course_id, wait=wait_s, key=key)
            self._scene.history.answered(call, answered.status_code, answered.text)
            return None if answered.status_code in TRY_AGAIN else answered

        return wait_until(answer, "an answer at the edge of a window")
