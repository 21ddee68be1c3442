"""The state of the whole system, as far as the round protocol depends on it, and the protocol's rules to switch off.

| here | in the code |
|---|---|
| `Redis` | the keys of `shared/course_queue/keys.py`: queues, jobs, sequences, generation |
| `Database` | the ledger, registrations, counts and row locks of `shared/store/rounds.py`; the shard lock of `shared/store/ownership.py` |
| `Owner` | one `RegistrationWorker` in a round: what it has read so far, and how far it has come |
| `clients` | what each client knows of its request |

Everything is a tuple, so that states can be compared and remembered. Requests, courses and owners are numbers.
There is one shard: two would only keep the owners apart, and the point is to bring them together.
"""

from dataclasses import dataclass
from typing import NamedTuple

UNSENT, UNSURE, PROMISED, LOST = "unsent", "unsure", "promised", "lost"


class Job(NamedTuple):
    """A request as Redis keeps it: the place it was given in its course's order."""

    request: int
    generation: int
    sequence: int


class Row(NamedTuple):
    """A ledger row; its index is its position in the course's ledger."""

    request: int
    generation: int
    sequence: int
    enrolled: bool


class Redis(NamedTuple):
    """`sequences` and `queues` by course, `jobs` by request; the generation names one life of these data."""

    generation: int
    sequences: tuple[int, ...]
    jobs: tuple[Job | None, ...]
    queues: tuple[tuple[int, ...], ...]


class Database(NamedTuple):
    """Committed data by course, and who holds which lock."""

    ledgers: tuple[tuple[Row, ...], ...]
    rosters: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    row_locks: tuple[int | None, ...]
    shard_lock: int | None


class Owner(NamedTuple):
    """A worker's memory. `at` is its next step; `alive` belongs to the server: whether the session still exists."""

    at: int
    owns: bool
    alive: bool
    heads: tuple[tuple[Job, ...], ...]
    known: tuple[int, ...]
    counts: tuple[int, ...]
    rows: tuple[tuple[Row, ...], ...]


class State(NamedTuple):
    """Everything. A client between two half steps holds its Job.

    `disk` is what Redis would come back with, where that is not what it shows.
    """

    redis: Redis
    disk: Redis | None
    database: Database
    clients: tuple[str | Job, ...]
    owners: tuple[Owner, ...]
    faults_left: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What the protocol relies on. Each can be switched off, to see that the checks then find what it prevents."""

    peek_instead_of_pop: bool = True
    commit_before_remove: bool = True
    remove_by_identity: bool = True
    lock_before_ledger: bool = True
    counts_under_lock: bool = True
    ledger_has_key: bool = True
    sequence_with_push: bool = True
    repeats_are_found: bool = True
    retry_in_place: bool = True
    fsync_before_reply: bool = True
    generation_in_ledger: bool = True
    one_owner_per_shard: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """What there is: the course of each request, seats per course, workers, and how much may go wrong."""

    course_of: tuple[int, ...]
    capacities: tuple[int, ...]
    owners: int
    faults: int
    rules: Rules = Rules()
    batch: int = 2
    fault_names: frozenset[str] | None = None

    @property
    def courses(self) -> range:
        """The numbers of the courses."""
        return range(len(self.capacities))


def idle_owner(world: World) -> Owner:
    """A worker that has just started: it owns nothing and remembers nothing."""
    nothing: tuple[tuple[()], ...] = ((),) * len(world.courses)
    zeros = (0,) * len(world.courses)
    return Owner(at=0, owns=False, alive=False, heads=nothing, known=(), counts=zeros, rows=nothing)


def initial_state(world: World) -> State:
    """Nothing is asked yet, nobody owns anything."""
    empty = tuple(() for _ in world.courses)
    zeros = (0,) * len(world.courses)
    redis = Redis(1, zeros, (None,) * len(world.course_of), empty)
    database = Database(empty, empty, zeros, (None,) * len(world.courses), None)
    owners = (idle_owner(world),) * world.owners
    return State(redis, None, database, (UNSENT,) * len(world.course_of), owners, world.faults)


def put(values: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    """The tuple with one element replaced."""
    return (*values[:index], value, *values[index + 1 :])


def one_of_its_kind(state: State) -> State:
    """The same state with the owners in order: two owners are alike, so which is which makes no difference."""
    ranks = sorted(range(len(state.owners)), key=state.owners.__getitem__)
    if ranks == list(range(len(ranks))):
        return state
    renamed: dict[int | None, int | None] = {number: rank for rank, number in enumerate(ranks)}
    database = state.database._replace(
        row_locks=tuple(map(renamed.get, state.database.row_locks)),
        shard_lock=renamed.get(state.database.shard_lock),
    )
    return state._replace(database=database, owners=tuple(state.owners[number] for number in ranks))
