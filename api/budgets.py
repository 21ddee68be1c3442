"""How often one student may submit: an impatient client, or a script, is told to slow down before it costs anything."""

import time
from collections import Counter
from http import HTTPStatus

from api.problems import Problem

WINDOW_S = 60


class SubmissionBudget:
    """Submissions per student and minute at this process.

    The minute begins for all at once, so that it costs no more memory than the students who were active in it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent: Counter[str] = Counter()
        self._ends_at = 0.0

    def spend(self, student_id: str) -> None:
        """Count one submission. Raises Problem 429 above the limit, saying when the next minute begins."""
        now = time.monotonic()
        if now >= self._ends_at:
            self._spent.clear()
            self._ends_at = now + WINDOW_S
        self._spent[student_id] += 1
        if self._spent[student_id] > self._limit:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_submissions",
                f"More than {self._limit} submissions in a minute.",
                {"Retry-After": str(1 + int(self._ends_at - now))},
            )
