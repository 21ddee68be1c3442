"""What must hold in every state, and what must hold at the end. Each says what is wrong, or None."""

from collections.abc import Callable
from itertools import pairwise

from tests.model.model import LOST, PROMISED, Row, State, World
from tests.model.steps import round_steps

Check = Callable[[State, World], str | None]
NO_ROW = Row(request=-1, generation=0, sequence=0, enrolled=False)


def broken(state: State, world: World) -> str | None:
    """The first rule or promise that this state breaks."""
    return _first_of((rule_a, rule_b, rule_c, counts_are_true, promise_1, promise_4, promise_3), state, world)


def broken_promise(state: State, world: World) -> str | None:
    """The first promise that this state breaks: what becomes of a broken rule in the end."""
    return _first_of((promise_1, promise_4, promise_3), state, world)


def _first_of(checks: tuple[Check, ...], state: State, world: World) -> str | None:
    for check in checks:
        problem = check(state, world)
        if problem is not None:
            return f"{check.__name__}: {problem}"
    return None


def unfinished(state: State, world: World) -> str | None:
    """At the end everything promised is in the ledger, no queue holds anything, and nobody is left in doubt."""
    recorded = _recorded(state)
    for request, knows in enumerate(state.clients):
        if knows != LOST and (knows != PROMISED or request not in recorded):
            return f"the end: request {request} is {knows} and {'' if request in recorded else 'not '}in the ledger"
    if any(state.redis.queues):
        return "the end: something is left in a queue"
    return None


def _recorded(state: State) -> set[int]:
    return {row.request for ledger in state.database.ledgers for row in ledger}


def rule_a(state: State, world: World) -> str | None:
    """An id leaves the queue only after its ledger row is committed."""
    recorded = _recorded(state)
    for request, job in enumerate(state.redis.jobs):
        course = world.course_of[request]
        gone = request not in state.redis.queues[course] and request not in recorded
        if gone and (job is not None or state.clients[request] == PROMISED):
            return f"request {request} is neither in its queue nor in the ledger"
    return None


def rule_b(state: State, world: World) -> str | None:
    """Whoever is about to write holds the rows' locks, and knows the ledger of those courses as it is."""
    steps = [step.__name__ for step in round_steps(world.rules)]
    ready, written = max(steps.index("lock"), steps.index("read")), steps.index("commit")
    recorded = _recorded(state)
    for number, owner in enumerate(state.owners):
        if not owner.alive or not ready < owner.at <= written:
            continue
        for course, head in enumerate(owner.heads):
            if head and state.database.row_locks[course] != number:
                return f"owner {number} writes to course {course} without its lock"
            if any(job.request in recorded and job.request not in owner.known for job in head):
                return f"owner {number} does not know what the ledger of course {course} has"
    return None


def rule_c(state: State, world: World) -> str | None:
    """What waits stands in the order of its sequence."""
    recorded = _recorded(state)
    for queue in state.redis.queues:
        fresh = dict.fromkeys(request for request in queue if request not in recorded)
        sequences = [job.sequence for request in fresh if (job := state.redis.jobs[request]) is not None]
        if sequences != sorted(sequences):
            return f"a queue holds the sequences {sequences} in this order"
    return None


def counts_are_true(state: State, world: World) -> str | None:
    """A course's count is the length of its roster."""
    for roster, count in zip(state.database.rosters, state.database.counts, strict=True):
        if count != len(roster):
            return f"{len(roster)} students are counted as {count}"
    return None


def promise_1(state: State, world: World) -> str | None:
    """No course has more students than seats."""
    for roster, capacity in zip(state.database.rosters, world.capacities, strict=True):
        if len(roster) > capacity:
            return f"{len(roster)} students have {capacity} seats"
    return None


def promise_3(state: State, world: World) -> str | None:
    """Each course's ledger has its sequences in order and without a gap, generation after generation."""
    for ledger in state.database.ledgers:
        if not all(_follows(before, after) for before, after in pairwise((NO_ROW, *ledger))):
            return f"a ledger has the places {[(row.generation, row.sequence) for row in ledger]}"
    return None


def _follows(before: Row, after: Row) -> bool:
    if after.generation == before.generation:
        return after.sequence == before.sequence + 1
    # What a lost generation still had in its queue is missing at its end, never in its middle.
    return after.generation > before.generation and after.sequence == 1


def promise_4(state: State, world: World) -> str | None:
    """No request has two rows."""
    rows = [row.request for ledger in state.database.ledgers for row in ledger]
    twice = {request for request in rows if rows.count(request) > 1}
    return f"requests {sorted(twice)} were applied twice" if twice else None
