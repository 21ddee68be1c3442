"""A signal of the drill: where to look, what must be seen there, and what was."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

LOOK_PAUSE_S = 0.2
# Longer than an alert on half a minute of waiting takes.
LOOK_LIMIT_S = 60.0
SEEN_LENGTH_MAX = 100
BEFORE_MATCH = 12
GAP = " … "


@dataclass(frozen=True, slots=True)
class Check:
    """`see` looks once and returns text; the pieces of `expected`, parted by ` … `, must stand in it in this order."""

    signal: str
    expected: str
    see: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check came to: around what was expected, or else the end of what was seen last."""

    step: str
    signal: str
    expected: str
    text: str
    as_expected: bool
    after_s: float


def observe(step: str, check: Check) -> Seen:
    """Look until what is expected is seen, or LOOK_LIMIT_S is over."""
    pattern = re.compile(".*?".join(map(re.escape, check.expected.split(GAP))))
    started = time.monotonic()
    while True:
        text = " ".join(check.see().split())
        found = pattern.search(text)
        after_s = round(time.monotonic() - started, 2)
        if found is not None or after_s > LOOK_LIMIT_S:
            return Seen(step, check.signal, check.expected, _excerpt(text, found), found is not None, after_s)
        time.sleep(LOOK_PAUSE_S)


def _excerpt(text: str, found: re.Match[str] | None) -> str:
    """As much as fits into a column: each expected piece matters more than what lies between them."""
    if found is None:
        return text[-SEEN_LENGTH_MAX:]
    start = max(0, found.start() - BEFORE_MATCH)
    if found.end() - start <= SEEN_LENGTH_MAX:
        return text[start : start + SEEN_LENGTH_MAX]
    half = (SEEN_LENGTH_MAX - len(GAP)) // 2
    return text[start : start + half] + GAP + text[found.end() - half : found.end()]
