"""Accepting: `shared/course_queue/lua/accept.lua`, and the client that repeats what it got no answer to."""

from tests.model.model import PROMISED, UNSENT, Job, Redis, State, World, put


def is_next(state: State, request: int, world: World) -> bool:
    """Requests of a course are alike until they are sent, so it is enough to send them in the order of their numbers."""
    return not any(
        state.clients[other] == UNSENT and world.course_of[other] == world.course_of[request]
        for other in range(request)
    )


def accept(state: State, request: int, world: World) -> State:
    """All at once, and found again when repeated."""
    job = state.redis.jobs[request]
    if not world.rules.sequence_with_push:
        return accept_by_halves(state, request, world)
    if job is None or not world.rules.repeats_are_found:
        redis, job = give_sequence(state.redis, request, world)
        state = write_redis(state, push(redis, job, world), world)
    return state._replace(clients=put(state.clients, request, PROMISED))


def accept_by_halves(state: State, request: int, world: World) -> State:
    """What the rule forbids: the sequence in one call, the push in another."""
    knows = state.clients[request]
    if isinstance(knows, Job):
        state = write_redis(state, push(state.redis, knows, world), world)
        return state._replace(clients=put(state.clients, request, PROMISED))
    redis, job = give_sequence(state.redis, request, world)
    return write_redis(state, redis, world)._replace(clients=put(state.clients, request, job))


def give_sequence(redis: Redis, request: int, world: World) -> tuple[Redis, Job]:
    """The course's next number."""
    course = world.course_of[request]
    sequence = redis.sequences[course] + 1
    redis = redis._replace(sequences=put(redis.sequences, course, sequence))
    return redis, Job(request, redis.generation, sequence)


def push(redis: Redis, job: Job, world: World) -> Redis:
    """The job, and its id at the tail of the queue."""
    course = world.course_of[job.request]
    queue = (*redis.queues[course], job.request)
    return redis._replace(jobs=put(redis.jobs, job.request, job), queues=put(redis.queues, course, queue))


def write_redis(state: State, redis: Redis, world: World) -> State:
    """On disk before anybody hears of it, unless the rule is off."""
    if world.rules.fsync_before_reply:
        return state._replace(redis=redis)
    return state._replace(redis=redis, disk=state.disk or state.redis)
