"""What may go wrong at any moment, each at the price of one fault.

| fault | in the world |
|---|---|
| `lost_accept_reply` | the API dies or the connection breaks after the request was pushed; the client will repeat it |
| `crash` | SIGKILL of a worker: its memory is gone, the server ends its session |
| `cut_off` | the server ends the session of a worker that is frozen or unreachable; thawed, it goes on where it stood |
| `lost_commit_reply` | PostgreSQL has committed and the worker does not know |
| `lost_finish_reply` | Redis has removed, the reply is lost, and the client library sends the script again |
| `duplicate` | an id is delivered twice |
| `restart_redis` | SIGKILL of Redis: what is on disk comes back; a worker about to remove a round gets an error instead |
| `wipe_redis` | all data of Redis are lost: a new generation begins |
| `flush` | no fault: with an unsafe setting the disk follows when it likes |

A pause needs no step of its own: somebody who takes no step while others do is paused.
"""

from collections.abc import Iterator

from tests.model.accepting import accept, is_next, write_redis
from tests.model.model import LOST, PROMISED, UNSENT, UNSURE, Redis, State, World, idle_owner, put
from tests.model.steps import Label, commit, end_session, finish, finished_queues, give_up, next_step


def faults(state: State, world: World) -> Iterator[tuple[Label, State]]:
    """Everything that may go wrong now, as far as the world allows it and faults are left."""
    if state.disk is not None:
        yield ("flush", None), state._replace(disk=None)
    if state.faults_left == 0:
        return
    for label, after in _all_faults(state, world):
        if world.fault_names is None or label[0] in world.fault_names:
            yield label, after._replace(faults_left=state.faults_left - 1)


def _all_faults(state: State, world: World) -> Iterator[tuple[Label, State]]:
    yield from _of_clients(state, world)
    for number in range(world.owners):
        yield from _of_owner(state, number, world)
    yield from _of_redis(state, world)


def _of_clients(state: State, world: World) -> Iterator[tuple[Label, State]]:
    if not world.rules.sequence_with_push:
        return
    for request, knows in enumerate(state.clients):
        if knows == UNSENT and is_next(state, request, world):
            after = accept(state, request, world)
            yield ("lost_accept_reply", request), after._replace(clients=put(after.clients, request, UNSURE))


def _of_owner(state: State, number: int, world: World) -> Iterator[tuple[Label, State]]:
    owner = state.owners[number]
    if owner.owns:
        ended = end_session(state, number)
        yield ("crash", number), ended._replace(owners=put(ended.owners, number, idle_owner(world)))
        if owner.alive:
            yield ("cut_off", number), ended
    step = next_step(state, number, world)
    if step is commit and owner.alive:
        yield ("lost_commit_reply", number), give_up(commit(state, number, world), number, world)
    if step is finish:
        queues = finished_queues(state.redis, owner, world)
        yield ("lost_finish_reply", number), write_redis(state, state.redis._replace(queues=queues), world)


def _of_redis(state: State, world: World) -> Iterator[tuple[Label, State]]:
    redis = state.redis
    for request, job in enumerate(redis.jobs):
        if job is not None:
            course = world.course_of[request]
            queues = put(redis.queues, course, (*redis.queues[course], request))
            yield ("duplicate", request), write_redis(state, redis._replace(queues=queues), world)
    yield (
        ("restart_redis", None),
        _refused_finish(state._replace(redis=state.disk or state.redis, disk=None), world),
    )
    if world.fault_names is not None:
        yield ("wipe_redis", None), _wipe(state, world)


def _refused_finish(state: State, world: World) -> State:
    """A worker whose finish fails forgets the round and keeps its session."""
    owners = tuple(
        idle_owner(world)._replace(owns=owner.owns, alive=owner.alive)
        if next_step(state, number, world) is finish
        else owner
        for number, owner in enumerate(state.owners)
    )
    return state._replace(owners=owners)


def _wipe(state: State, world: World) -> State:
    """What was waiting is lost, beyond any promise; a new life of the data begins with those not yet sent."""
    zeros, empty = (0,) * len(world.courses), tuple(() for _ in world.courses)
    redis = Redis(state.redis.generation + 1, zeros, (None,) * len(world.course_of), empty)
    recorded = {row.request for ledger in state.database.ledgers for row in ledger}
    clients = tuple(
        knows if knows == UNSENT else PROMISED if request in recorded else LOST
        for request, knows in enumerate(state.clients)
    )
    return _refused_finish(state._replace(redis=redis, disk=None, clients=clients), world)
