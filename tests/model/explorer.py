"""Walks through a model: breadth first through every state, or at random and far; always with the way that led there."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

State = TypeVar("State")
Label = tuple[str, int | None]
Successors = Callable[[State], Iterable[tuple[Label, State]]]
FAULT_SHARE = 1 / 6
Check = Callable[[State], str | None]


class ViolationError(AssertionError):
    """A state breaks what must hold; says what, and the steps that lead there."""

    def __init__(self, problem: str, trace: list[Label]) -> None:
        self.problem = problem
        self.trace = trace
        steps = "\n".join(f"  {number:2} {describe(label)}" for number, label in enumerate(trace, start=1))
        super().__init__(f"{problem}\nafter\n{steps}")


def describe(label: Label) -> str:
    """A step in words: what, and of which request or owner."""
    name, number = label
    return name if number is None else f"{name} {number}"


@dataclass(frozen=True, slots=True)
class Model(Generic[State]):
    """What there is to explore: where it begins, who can do what, what may go wrong, and what must hold."""

    initial: State
    moves: Successors[State]
    faults: Successors[State]
    broken: Check[State]
    """What is wrong with a state, whenever it comes."""
    unfinished: Check[State]
    """What a state lacks to be an end."""


@dataclass(slots=True)
class Exploration(Generic[State]):
    """What was found: each state with the one before it, the last states, and who can take a step into whom."""

    origins: dict[State, tuple[State, Label] | None]
    ends: list[State] = field(default_factory=list)
    before: dict[State, list[State]] = field(default_factory=dict)

    def trace(self, state: State) -> list[Label]:
        """The labels from the initial state to this one."""
        labels = []
        while (origin := self.origins[state]) is not None:
            state, label = origin
            labels.append(label)
        return labels[::-1]

    def hopeless(self) -> list[State]:
        """States from which no end can be reached without the help of a fault."""
        hopeful = set(self.ends)
        waiting = deque(self.ends)
        while waiting:
            for earlier in self.before.get(waiting.popleft(), ()):
                if earlier not in hopeful:
                    hopeful.add(earlier)
                    waiting.append(earlier)
        return [state for state in self.origins if state not in hopeful]


def explore(
    model: Model[State],
    *,
    one_of_its_kind: Callable[[State], State] = lambda state: state,
    states_max: int = 2_000_000,
) -> Exploration[State]:
    """Visit every state once, breadth first, so that the first violation has the shortest trace.

    `one_of_its_kind` names one state for all that differ in names alone; the trace then mixes their names.
    Raises ViolationError.
    """
    found: Exploration[State] = Exploration({model.initial: None})
    waiting = deque([model.initial])
    while waiting:
        state = waiting.popleft()
        problem = model.broken(state)
        if problem is not None:
            raise ViolationError(problem, found.trace(state))
        if model.unfinished(state) is None:
            found.ends.append(state)
        moved = [(label, one_of_its_kind(after)) for label, after in model.moves(state)]
        for _, after in moved:
            found.before.setdefault(after, []).append(state)
        failed = [(label, one_of_its_kind(after)) for label, after in model.faults(state)]
        for label, after in moved + failed:
            if after not in found.origins:
                found.origins[after] = (state, label)
                waiting.append(after)
        assert len(found.origins) <= states_max, f"more than {states_max} states: make the world smaller"
    return found


def wander(model: Model[State], seed: int, *, steps_max: int = 5_000) -> list[Label]:
    """One random walk to an end, with a fault about every sixth step while there are any. Raises ViolationError."""
    chance = random.Random(seed)
    state = model.initial
    trace: list[Label] = []
    for _ in range(steps_max):
        problem = model.broken(state)
        if problem is not None:
            raise ViolationError(problem, trace)
        if model.unfinished(state) is None:
            return trace
        failed = list(model.faults(state)) if chance.random() < FAULT_SHARE else []
        label, state = chance.choice(failed or list(model.moves(state)))
        trace.append(label)
    problem = f"no end within {steps_max} steps"
    raise ViolationError(problem, trace)
