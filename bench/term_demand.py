"""A whole term of a large university: its sections, and who wants which of them; pure, and the same for the same seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

ZIPF_EXPONENT = 1.0
PLACES_WANTED = 5
WISHES_MAX = 12
REPEATING_PART = 0.5
COPIES_MAX = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """A section that a student wants, and how often the student sends the same registration."""

    course_id: str
    copies: int


def draw_wishes(students: int, course_ids: Sequence[str], seed: int) -> list[list[Wish]]:
    """Each student's wishes, dearest first: one after the other is tried until PLACES_WANTED were granted.

    The sections' popularity falls like Zipf's law, so that whoever comes late is refused by the popular ones and goes on to
    others, as people do. Half of all registrations are sent two to four times.
    """
    chance = random.Random(seed)
    by_popularity = list(course_ids)
    chance.shuffle(by_popularity)
    weights = list(accumulate(rank**-ZIPF_EXPONENT for rank in range(1, len(by_popularity) + 1)))
    wishes_each = min(WISHES_MAX, len(by_popularity))
    return [
        [
            Wish(course_id, _copies(chance))
            for course_id in _different(by_popularity, weights, wishes_each, chance)
        ]
        for _ in range(students)
    ]


def _copies(chance: random.Random) -> int:
    return chance.randint(2, COPIES_MAX) if chance.random() < REPEATING_PART else 1


def _different(
    course_ids: Sequence[str], weights: Sequence[float], count: int, chance: random.Random
) -> list[str]:
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn |= dict.fromkeys(chance.choices(course_ids, cum_weights=weights, k=count - len(drawn)))
    return list(drawn)
