"""Sharing a round fairly: every ready course gets its turn, however long another one's queue is."""

from collections.abc import Collection


class Turns:
    """Chooses how many requests of each ready course go into the next round."""

    def __init__(self, round_size_max: int) -> None:
        self._round_size_max = round_size_max
        self._last_served: dict[str, int] = {}
        self._round = 0

    def next_round(self, ready: Collection[str]) -> dict[str, int]:
        """Course -> quota, at least 1 each; courses that waited longest come first when there are too many."""
        if not ready:
            return {}
        waiting_longest = sorted(ready, key=lambda course_id: self._last_served.get(course_id, self._round))
        chosen = waiting_longest[: self._round_size_max]
        quota = self._round_size_max // len(chosen)
        self._last_served = {course_id: self._last_served.get(course_id, self._round) for course_id in ready}
        self._round += 1
        self._last_served.update(dict.fromkeys(chosen, self._round))
        return dict.fromkeys(chosen, quota)
