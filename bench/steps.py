"""A step of the run: something that takes seconds, has a name to show, and ends in a trial."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.trials import Trial


@dataclass(frozen=True, slots=True)
class Step:
    """`run` measures; `name` is shown meanwhile."""

    name: str
    run: Callable[[], Trial]
