"""The protocol keeps its rules and promises whatever happens at whatever moment, and would not with any rule left out.

`MODEL_FAULTS=3` explores with so many faults in one history, `MODEL_WALKS=5000` walks so often at random.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest

from tests.model.adversary import faults
from tests.model.explorer import Exploration, Model, ViolationError, explore, wander
from tests.model.invariants import broken, broken_promise, unfinished
from tests.model.model import Rules, State, World, initial_state, one_of_its_kind
from tests.model.steps import moves

FAULTS = int(os.environ.get("MODEL_FAULTS") or 2)
WALKS = int(os.environ.get("MODEL_WALKS") or 400)
# With each fault more there are about seven times as many states.
pytestmark = pytest.mark.timeout(120 * 8 ** max(0, FAULTS - 2) + WALKS)

# Two requests compete for the only seat of one course, a third is for another; two workers.
SMALL = World(course_of=(0, 0, 1), capacities=(1, 1), owners=2, faults=FAULTS)
# Room for interleavings that the small one has no actors for.
LARGE = World(course_of=(0, 1, 2) * 4, capacities=(2, 3, 1), owners=3, faults=10, batch=3)

ALL_FOR_THEMSELVES = Rules(one_owner_per_shard=False)


def model_of(world: World, check: Callable[[State, World], str | None] = broken) -> Model[State]:
    """The protocol in that world, with this check on every state."""
    return Model(
        initial_state(world),
        moves=partial(moves, world=world),
        faults=partial(faults, world=world),
        broken=lambda state: check(state, world),
        unfinished=partial(unfinished, world=world),
    )


def explored(
    world: World, check: Callable[[State, World], str | None] = broken, *, names_matter: bool = False
) -> Exploration[State]:
    """Every state of that world, and an end within reach of each. Raises ViolationError."""
    found = explore(
        model_of(world, check), one_of_its_kind=(lambda state: state) if names_matter else one_of_its_kind
    )
    for state in found.hopeless():
        raise ViolationError(unfinished(state, world) or "", found.trace(state))
    return found


def shortest_violation(world: World, check: Callable[[State, World], str | None] = broken) -> str:
    """The first violation there is."""
    with pytest.raises(ViolationError) as caught:
        explored(world, check, names_matter=True)
    print(caught.value)  # noqa: T201 - `pytest -s` shows what each rule prevents
    return caught.value.problem.partition(":")[0]


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(SMALL, id="one owner per shard"),
        pytest.param(
            replace(SMALL, faults=FAULTS - 1, rules=ALL_FOR_THEMSELVES), id="two owners of one shard"
        ),
    ],
)
def test_every_history_keeps_the_rules_and_can_come_to_its_end(world: World) -> None:
    """Exhaustively: rules A, B, C and P1, P3, P4 in each state, and no state from which requests could not be finished."""
    assert explored(world).ends


def test_a_wiped_redis_does_not_collide_with_its_past() -> None:
    """Everything waiting is lost with the data, and what is accepted afterwards is applied all the same, in order."""
    world = replace(SMALL, faults=1, fault_names=frozenset({"wipe_redis"}))
    assert explored(world).ends
    off = replace(world, course_of=(0, 0), capacities=(2,), rules=Rules(generation_in_ledger=False))
    assert shortest_violation(off) == "promise_3"


def test_every_step_of_a_round_and_every_fault_is_reached() -> None:
    """The explorer would prove nothing about a step that never happens."""
    origins = explored(replace(SMALL, faults=1)).origins.values()
    taken = {origin[1][0] for origin in origins if origin is not None}
    assert taken >= {"accept", "take_shard", "peek", "lock", "read", "decide", "commit", "finish"}
    assert taken >= {"lost_accept_reply", "crash", "cut_off", "lost_commit_reply", "lost_finish_reply"}
    assert taken >= {"duplicate", "restart_redis"}


@pytest.mark.parametrize("rules", [Rules(), ALL_FOR_THEMSELVES], ids=["one owner", "many owners"])
def test_long_histories_at_random_keep_the_rules_and_end(rules: Rules) -> None:
    """Three workers, twelve requests, three courses, ten faults: too many states to visit them all."""
    for seed in range(WALKS):
        wander(model_of(replace(LARGE, rules=rules)), seed)


@dataclass(frozen=True, slots=True)
class Control:
    """A protocol without one of its rules: which rule is then seen broken first, and which promise falls with it."""

    rules: Rules
    rule: str
    promise: str


CONTROLS = {
    "pop instead of peek": Control(Rules(peek_instead_of_pop=False), "rule_a", "promise_3"),
    "remove before commit": Control(Rules(commit_before_remove=False), "rule_a", "promise_3"),
    "remove by count": Control(Rules(remove_by_identity=False), "rule_a", "the end"),
    "ledger read before the lock": Control(
        replace(ALL_FOR_THEMSELVES, lock_before_ledger=False, ledger_has_key=False), "rule_b", "promise_4"
    ),
    "no ledger key": Control(Rules(ledger_has_key=False), "rule_b", "promise_4"),
    "counts read before the lock": Control(
        replace(ALL_FOR_THEMSELVES, counts_under_lock=False), "counts_are_true", "promise_1"
    ),
    "sequence and push not atomic": Control(Rules(sequence_with_push=False), "rule_c", "promise_3"),
    "a repeat is not recognised": Control(Rules(repeats_are_found=False), "rule_c", "promise_3"),
    "requeued at the tail on error": Control(Rules(retry_in_place=False), "rule_c", "promise_3"),
    "answered before it is on disk": Control(Rules(fsync_before_reply=False), "rule_a", "promise_3"),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_without_one_of_its_rules_the_protocol_fails(name: str) -> None:
    """The controls: each rule is needed, its absence is found, and without it a promise is broken."""
    control = CONTROLS[name]
    world = replace(SMALL, faults=1, rules=control.rules)
    assert shortest_violation(world) == control.rule
    assert shortest_violation(world, broken_promise) == control.promise


def test_the_ledgers_key_holds_even_when_the_ledger_is_read_too_early() -> None:
    """The second line of defence: rule B is broken, and no promise falls with it."""
    careless = replace(SMALL, faults=1, rules=replace(ALL_FOR_THEMSELVES, lock_before_ledger=False))
    assert shortest_violation(careless) == "rule_b"
    assert explored(careless, broken_promise).ends
