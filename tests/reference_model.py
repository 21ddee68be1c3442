"""What the rules mean, written a second time and as plainly as possible.

One list holds everybody with a place, in the order in which they got it: the first `capacity` of them have the seats,
the others wait. Everything else is counted from that list. Slow, and obviously right.
"""

from datetime import datetime
from typing import NamedTuple


class Answer(NamedTuple):
    """What becomes of a request, in the words of the ledger."""

    status: str
    result: str | None = None
    reason: str | None = None
    reserve_position: int | None = None
    promoted: str | None = None


class ReferenceCourse:
    """A course with a fixed capacity, reserve limit and window."""

    def __init__(self, capacity: int, reserve_limit: int, opens_at: datetime, closes_at: datetime) -> None:
        self.capacity = capacity
        self.reserve_limit = reserve_limit
        self.opens_at = opens_at
        self.closes_at = closes_at
        self.places: list[str] = []

    @property
    def enrolled(self) -> list[str]:
        """Who has a seat."""
        return self.places[: self.capacity]

    @property
    def reserve(self) -> list[str]:
        """Who waits, head first."""
        return self.places[self.capacity :]

    def ask(self, operation: str, student: str, at: datetime) -> Answer:
        """Apply one request."""
        if at < self.opens_at:
            return Answer("REJECTED", reason="registration_not_open")
        if not at < self.closes_at:
            return Answer("REJECTED", reason="registration_closed")
        return {"REGISTER": self._register, "DROP": self._drop}[operation](student)

    def _register(self, student: str) -> Answer:
        if student in self.places:
            return Answer("REJECTED", reason="already_registered")
        if len(self.places) == self.capacity + self.reserve_limit:
            return Answer("REJECTED", reason="course_full")
        self.places.append(student)
        if student in self.enrolled:
            return Answer("APPLIED", "ENROLLED")
        return Answer("APPLIED", "RESERVED", reserve_position=self.reserve.index(student) + 1)

    def _drop(self, student: str) -> Answer:
        if student not in self.places:
            return Answer("REJECTED", reason="not_registered")
        before = self.enrolled
        self.places.remove(student)
        promoted = [other for other in self.enrolled if other not in before]
        return Answer("APPLIED", "DROPPED", promoted=promoted[0] if promoted else None)

    def rows(self) -> dict[str, tuple[str, int | None]]:
        """Student -> (status, reserve position), as the registrations table must hold them."""
        seats = dict.fromkeys(self.enrolled, ("ENROLLED", None))
        return seats | {student: ("RESERVED", place) for place, student in enumerate(self.reserve, start=1)}
