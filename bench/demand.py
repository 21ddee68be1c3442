"""Who asks for what: pure, and the same in every round."""

import random
from collections.abc import Sequence
from itertools import accumulate

from bench.ground import Student

UNKNOWN_COURSE = "00000000-0000-4000-8000-000000000000"
Call = tuple[str, str]
"""A path and a token."""


def registrations(students: Sequence[Student], course_ids: Sequence[str]) -> list[Call]:
    """One registration per student; a course's popularity falls like Zipf's law, with exponent 1."""
    chance = random.Random(7)
    weights = list(accumulate(1 / rank for rank in range(1, len(course_ids) + 1)))
    drawn = chance.choices(course_ids, cum_weights=weights, k=len(students))
    return [
        (register_path(course_id), student.token) for student, course_id in zip(students, drawn, strict=True)
    ]


def register_path(course_id: str) -> str:
    """Where to ask for a place."""
    return f"/courses/{course_id}/register"


def introductions(tokens: Sequence[str]) -> list[Call]:
    """A call per token that changes nothing, but shows it to the server: students looked around before opening."""
    return [(register_path(UNKNOWN_COURSE), token) for token in tokens]
