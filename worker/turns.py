"""Whose turn it is when more courses are ready than a round has places."""

from collections.abc import Collection


class Turns:
    """Chooses the courses of the next round. How its places are shared among them, peeking decides."""

    def __init__(self, round_size_max: int) -> None:
        self._round_size_max = round_size_max
        self._last_served: dict[str, int] = {}
        self._round = 0

    def next_round(self, ready: Collection[str]) -> list[str]:
        """At most as many of the ready courses as a round has places, those that waited longest first."""
        waiting_longest = sorted(ready, key=lambda course_id: self._last_served.get(course_id, self._round))
        chosen = waiting_longest[: self._round_size_max]
        self._last_served = {course_id: self._last_served.get(course_id, self._round) for course_id in ready}
        self._round += 1
        self._last_served.update(dict.fromkeys(chosen, self._round))
        return chosen
