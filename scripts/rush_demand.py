"""Who asks for what in a rush: pure, and the same for the same seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

ZIPF_EXPONENT = 1.0
OVERSUBSCRIPTION_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Section:
    """A course as far as demand for it is concerned: `places` are seats and reserve positions together."""

    course_id: str
    places: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One student (by index) who wants one course."""

    student: int
    course_id: str


def draw_asks(
    students: int, sections: Sequence[Section], per_student: int, *, oversubscribe: bool, seed: int
) -> list[Ask]:
    """Asks in the order in which they are to be submitted; nobody asks twice for a course.

    The courses' popularity falls like Zipf's law. With `oversubscribe` every course first gets a fifth more asks than it
    has places, each from another student. Raises ValueError when there are too few students or courses for that.
    """
    chance = random.Random(seed)  # noqa: S311 - demand, not secrets
    if per_student > len(sections):
        message = f"{per_student} requests per student need as many courses; there are {len(sections)}"
        raise ValueError(message)
    wishes: list[set[str]] = [set() for _ in range(students)]
    if oversubscribe:
        _oversubscribe(wishes, sections, chance)
    _add_popular(wishes, sections, per_student, chance)
    asks = [Ask(student, course_id) for student, wished in enumerate(wishes) for course_id in sorted(wished)]
    chance.shuffle(asks)
    return asks


def _oversubscribe(wishes: list[set[str]], sections: Sequence[Section], chance: random.Random) -> None:
    """Go round the students section by section, so that all ask for about as many."""
    order = list(range(len(wishes)))
    chance.shuffle(order)
    place = 0
    for section in sections:
        needed = 1 + section.places * (100 + OVERSUBSCRIPTION_PERCENT) // 100
        if needed > len(order):
            message = f"a course with {section.places} places needs {needed} students, not {len(order)}"
            raise ValueError(message)
        for step in range(needed):
            wishes[order[(place + step) % len(order)]].add(section.course_id)
        place += needed


def _add_popular(
    wishes: list[set[str]], sections: Sequence[Section], per_student: int, chance: random.Random
) -> None:
    """Give every student as many wishes as they shall have, popular courses more often."""
    by_popularity = [section.course_id for section in sections]
    chance.shuffle(by_popularity)
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, len(by_popularity) + 1)))
    for wished in wishes:
        while len(wished) < per_student:
            wished.update(chance.choices(by_popularity, cum_weights=weights))
