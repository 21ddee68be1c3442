"""Which keys in Redis are known to be overwritten now, so that each is told once and not a thousand times a second."""

from collections.abc import Iterable

FORGOTTEN_AFTER_S = 60.0


class WrongKeys:
    """What was found wrong lately. A problem that nobody met for a minute counts as mended: met again, it is new."""

    def __init__(self) -> None:
        self._met_at: dict[str, float] = {}

    def news(self, problems: Iterable[str], now_s: float) -> list[str]:
        """Those of the problems, as they are met now, that are not known yet; `now_s` is a monotonic time."""
        self._met_at = {
            problem: met_at for problem, met_at in self._met_at.items() if now_s - met_at < FORGOTTEN_AFTER_S
        }
        met = dict.fromkeys(problems, now_s)
        new = [problem for problem in met if problem not in self._met_at]
        self._met_at |= met
        return new
