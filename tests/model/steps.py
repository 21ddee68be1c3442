"""The steps of the workers, each atomic where the code's is: one Lua script, one SQL statement, one commit.

| step | in the code |
|---|---|
| `take_shard`, `hand_back` | `ShardOwner.refresh` in `worker/ownership.py` |
| `peek` | `shared/course_queue/lua/peek.lua` |
| `lock` | `lock_courses` in `shared/store/rounds.py`: skips what others hold, reads the counts with the lock |
| `read` | `recorded_outcomes`, a later statement than the lock |
| `decide` | `_decide` in `worker/applying.py`: rules, registrations, counts and ledger rows, not yet committed |
| `commit` | the end of `transaction` in `_apply` |
| `finish` | `shared/course_queue/lua/finish.lua`; publishing is part of it, and only a hint: nothing here depends on it |
| `give_up` | what `RegistrationWorker._turn` does about an error: forget the session and look again |
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tests.model.accepting import accept, is_next, write_redis
from tests.model.model import (
    LOST,
    PROMISED,
    Job,
    Owner,
    Redis,
    Row,
    Rules,
    State,
    World,
    idle_owner,
    put,
)

Label = tuple[str, int | None]
Step = Callable[[State, int, World], State]


def moves(state: State, world: World) -> Iterator[tuple[Label, State]]:
    """Every step that somebody can take now, without anything going wrong."""
    for request, knows in enumerate(state.clients):
        if knows not in (PROMISED, LOST) and is_next(state, request, world):
            yield ("accept", request), accept(state, request, world)
    for owner in range(world.owners):
        step = next_step(state, owner, world)
        if step is not None:
            yield (step.__name__, owner), step(state, owner, world)
        if can_hand_back(state, owner, world):
            yield ("hand_back", owner), hand_back(state, owner, world)


@cache
def round_steps(rules: Rules) -> tuple[Step, ...]:
    """The steps of one round in their order. Owners count their progress in it."""
    steps = [peek, lock, read, decide, commit, finish]
    if not rules.lock_before_ledger:
        steps = [peek, read, lock, decide, commit, finish]
    if not rules.commit_before_remove:
        steps = [peek, lock, read, decide, finish, commit]
    return tuple(steps)


def next_step(state: State, number: int, world: World) -> Step | None:
    """What an owner does next, if there is anything to do for it."""
    owner = state.owners[number]
    if owner.at > 0:
        return round_steps(world.rules)[owner.at]
    if not owner.owns:
        free = state.database.shard_lock is None or not world.rules.one_owner_per_shard
        return take_shard if free else None
    return peek if any(state.redis.queues) else None


def can_hand_back(state: State, number: int, world: World) -> bool:
    """Between rounds, to another worker that waits for it."""
    owner = state.owners[number]
    return owner.owns and owner.at == 0 and world.rules.one_owner_per_shard and world.owners > 1


def take_shard(state: State, number: int, world: World) -> State:
    """A new session, if the old one is gone, and its lock on the shard."""
    owner = state.owners[number]._replace(owns=True, alive=True)
    database = (
        state.database._replace(shard_lock=number) if world.rules.one_owner_per_shard else state.database
    )
    return state._replace(database=database, owners=put(state.owners, number, owner))


def hand_back(state: State, number: int, world: World) -> State:
    """Release the shard between rounds. A session that is gone has nothing to release."""
    if not state.owners[number].alive:
        return give_up(state, number, world)
    database = state.database._replace(shard_lock=None)
    return state._replace(database=database, owners=put(state.owners, number, idle_owner(world)))


def peek(state: State, number: int, world: World) -> State:
    """The heads of all queues. Nothing is taken off, unless the rule is off."""
    redis = state.redis
    heads = tuple(tuple(_job(redis, request) for request in queue[: world.batch]) for queue in redis.queues)
    if not world.rules.peek_instead_of_pop:
        rest = tuple(queue[world.batch :] for queue in redis.queues)
        state = write_redis(state, redis._replace(queues=rest), world)
    return _advance(state, number, heads=heads, counts=state.database.counts)


def _job(redis: Redis, request: int) -> Job:
    job = redis.jobs[request]
    assert job is not None, "an id stands in a queue without its job"
    return job


def lock(state: State, number: int, world: World) -> State:
    """Those rows that nobody holds; what the others have waits for another round."""
    owner, database = state.owners[number], state.database
    if not owner.alive:
        return give_up(state, number, world)
    free = [bool(owner.heads[course]) and database.row_locks[course] is None for course in world.courses]
    if not any(free):
        return _forget_round(state, number, world)
    row_locks = tuple(number if free[course] else database.row_locks[course] for course in world.courses)
    heads = tuple(owner.heads[course] if free[course] else () for course in world.courses)
    counts = database.counts if world.rules.counts_under_lock else owner.counts
    locked = state._replace(database=database._replace(row_locks=row_locks))
    return _advance(locked, number, heads=heads, counts=counts)


def read(state: State, number: int, world: World) -> State:
    """Which of the heads the ledger has by now."""
    owner = state.owners[number]
    if not owner.alive:
        return give_up(state, number, world)
    heads = {job.request for head in owner.heads for job in head}
    recorded = {row.request for ledger in state.database.ledgers for row in ledger}
    return _advance(
        state, number, known=tuple(sorted(heads & recorded)) if world.rules.ledger_has_key else ()
    )


def decide(state: State, number: int, world: World) -> State:
    """Rows for what is fresh, in order. The ledger's key would refuse what it already has."""
    owner = state.owners[number]
    if not owner.alive:
        return give_up(state, number, world)
    rows = tuple(_decided(owner, course, world) for course in world.courses)
    recorded = {row.request for ledger in state.database.ledgers for row in ledger}
    if world.rules.ledger_has_key and any(row.request in recorded for some in rows for row in some):
        return give_up(state, number, world)
    return _advance(state, number, rows=rows)


def _decided(owner: Owner, course: int, world: World) -> tuple[Row, ...]:
    """A request delivered twice counts at its first place; a seat is given while there are any."""
    rows: dict[int, Row] = {}
    taken = owner.counts[course]
    for job in owner.heads[course]:
        if job.request not in owner.known and job.request not in rows:
            enrolled = taken < world.capacities[course]
            taken += enrolled
            generation = job.generation if world.rules.generation_in_ledger else 1
            rows[job.request] = Row(job.request, generation, job.sequence, enrolled)
    return tuple(rows.values())


def commit(state: State, number: int, world: World) -> State:
    """All of it or, when the session is gone, nothing."""
    owner, database = state.owners[number], state.database
    if not owner.alive:
        return give_up(state, number, world)
    seated = [tuple(row.request for row in rows if row.enrolled) for rows in owner.rows]
    database = database._replace(
        ledgers=tuple(database.ledgers[course] + owner.rows[course] for course in world.courses),
        rosters=tuple(database.rosters[course] + seated[course] for course in world.courses),
        counts=tuple(
            owner.counts[course] + len(seated[course]) if owner.heads[course] else database.counts[course]
            for course in world.courses
        ),
        row_locks=_without(database.row_locks, number),
    )
    return _advance(state._replace(database=database), number)


def finish(state: State, number: int, world: World) -> State:
    """Take off what was applied, and only that."""
    queues = finished_queues(state.redis, state.owners[number], world)
    state = write_redis(state, state.redis._replace(queues=queues), world)
    if round_steps(world.rules)[-1] is not finish:
        return _advance(state, number)
    return _forget_round(state, number, world)


def finished_queues(redis: Redis, owner: Owner, world: World) -> tuple[tuple[int, ...], ...]:
    """The queues without this round's entries, each removed once."""
    if not world.rules.peek_instead_of_pop:
        return redis.queues
    if not world.rules.remove_by_identity:
        return tuple(redis.queues[course][len(owner.heads[course]) :] for course in world.courses)
    return tuple(_without_each(redis.queues[course], owner.heads[course]) for course in world.courses)


def _without_each(queue: tuple[int, ...], head: tuple[Job, ...]) -> tuple[int, ...]:
    rest = list(queue)
    for job in head:
        if job.request in rest:
            rest.remove(job.request)
    return tuple(rest)


def give_up(state: State, number: int, world: World) -> State:
    """After an error of PostgreSQL: the session is closed and nothing of the round is remembered."""
    heads = state.owners[number].heads
    state = end_session(state, number)
    if not world.rules.retry_in_place:
        queues = tuple(_to_the_tail(state.redis.queues[course], heads[course]) for course in world.courses)
        state = write_redis(state, state.redis._replace(queues=queues), world)
    return state._replace(owners=put(state.owners, number, idle_owner(world)))


def _to_the_tail(queue: tuple[int, ...], head: tuple[Job, ...]) -> tuple[int, ...]:
    again = [job.request for job in head if job.request in queue]
    return (*(request for request in queue if request not in again), *again)


def end_session(state: State, number: int) -> State:
    """The server's side of a session's end: its transaction is undone, its locks are free."""
    database = state.database
    shard_lock = None if database.shard_lock == number else database.shard_lock
    database = database._replace(row_locks=_without(database.row_locks, number), shard_lock=shard_lock)
    owner = state.owners[number]._replace(alive=False)
    return state._replace(database=database, owners=put(state.owners, number, owner))


def _without(row_locks: tuple[int | None, ...], number: int) -> tuple[int | None, ...]:
    return tuple(None if holder == number else holder for holder in row_locks)


def _advance(state: State, number: int, **learnt: Any) -> State:
    owner = state.owners[number]
    after = (owner.at + 1) % 6
    return state._replace(owners=put(state.owners, number, owner._replace(at=after, **learnt)))


def _forget_round(state: State, number: int, world: World) -> State:
    owner = state.owners[number]
    fresh = idle_owner(world)._replace(owns=owner.owns, alive=owner.alive)
    return state._replace(owners=put(state.owners, number, fresh))
