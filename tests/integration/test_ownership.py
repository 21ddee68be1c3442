"""Shards belong to sessions: shared fairly, handed back, and free as soon as a session ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from shared.database import owner_engine
from shared.settings import Settings
from shared.store import ownership
from tests.e2e.waiting import wait_until
from worker.ownership import ShardOwner

SHARDS = 64
NewOwner = Callable[..., ShardOwner]


@pytest.fixture
def new_owner(engine: Engine, settings: Settings) -> Iterator[NewOwner]:
    """Makes owners that look for shards all the time; they end with the test, and their locks with them."""
    with ExitStack() as owners:

        def make(first_choice: int = 0, session_timeout_ms: int = 60_000) -> ShardOwner:
            eager = settings.model_copy(
                update={"ownership_interval_ms": 0, "session_timeout_ms": session_timeout_ms}
            )
            return owners.enter_context(ShardOwner(owner_engine(eager, "owner"), eager, first_choice))

        yield make
    wait_until(lambda: not locks(engine), "all advisory locks are gone")


def locks(engine: Engine) -> int:
    """How many advisory locks there are."""
    with engine.connect() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        return int(connection.execute(text(query)).scalar_one())


def shares(owners: list[ShardOwner]) -> list[int]:
    """How many shards each owns, after each has looked once."""
    for owner in owners:
        owner.refresh()
    return sorted(len(owner.owned) for owner in owners)


def settle(owners: list[ShardOwner], expected: list[int]) -> None:
    """Let all look until they have these shares, which must then be all shards, each once."""
    wait_until(lambda: shares(owners) == expected, f"shares of {expected}")
    held = [shard for owner in owners for shard in owner.owned]
    assert sorted(held) == list(range(SHARDS))


def test_a_single_worker_owns_every_shard(new_owner: NewOwner) -> None:
    """No course without an owner."""
    settle([new_owner()], [64])


def test_workers_share_the_shards_evenly_as_they_come(new_owner: NewOwner) -> None:
    """64; then 32 and 32; then 20, 22 and 22: a newcomer gets its share, handed back by the others."""
    owners = [new_owner(0)]
    settle(owners, [64])
    owners.append(new_owner(0))
    settle(owners, [32, 32])
    owners.append(new_owner(17))
    settle(owners, [20, 22, 22])


def test_the_shards_of_a_worker_that_leaves_go_to_the_others(new_owner: NewOwner) -> None:
    """And evenly so."""
    owners = [new_owner(number * 20) for number in range(3)]
    settle(owners, [20, 22, 22])
    owners.pop().give_up()
    settle(owners, [32, 32])
    owners.pop().give_up()
    settle(owners, [64])


def test_no_shard_ever_has_two_owners(new_owner: NewOwner, engine: Engine) -> None:
    """P5: through all coming and going, PostgreSQL lists each shard once, and each owner knows its own."""
    owners: list[ShardOwner] = []
    for step in range(12):
        if step % 4 == 3:
            owners.pop(0).give_up()
        else:
            owners.append(new_owner(step))
        for owner in owners:
            owner.refresh()
            held = [shard for one in owners for shard in one.owned]
            assert len(held) == len(set(held))
    with engine.connect() as connection:
        known = {shard: pid for shard, (_, pid) in ownership.shard_owners(connection).items()}
    for owner in owners:
        with owner.connection.begin():
            pid = owner.connection.scalar(text("SELECT pg_backend_pid()"))
        assert {shard for shard, holder in known.items() if holder == pid} == owner.owned


def test_a_killed_session_frees_its_shards_at_once(new_owner: NewOwner, engine: Engine) -> None:
    """P6: the locks end with the session, so the other worker gets all of them in well under half a second."""
    killed, other = new_owner(0), new_owner(32)
    settle([killed, other], [32, 32])
    with killed.connection.begin():
        pid = killed.connection.scalar(text("SELECT pg_backend_pid()"))
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    wait_until(lambda: shares([other]) == [64], "the other owns all shards", limit_s=5)


def test_a_silent_session_is_cut_off_by_the_server(new_owner: NewOwner) -> None:
    """P6: a frozen worker does nothing, so the server acts: after `session_timeout_ms` its shards are free."""
    frozen, other = new_owner(0, session_timeout_ms=400), new_owner(32)
    settle([frozen, other], [32, 32])
    started = time.monotonic()
    wait_until(lambda: shares([other]) == [64], "the other owns all shards", limit_s=10)
    assert time.monotonic() - started >= 0.3


def test_a_worker_that_was_cut_off_cannot_commit_and_starts_anew(new_owner: NewOwner, engine: Engine) -> None:
    """P5: the lock and the commits are one session's; after `give_up` there is a new one."""
    owner = new_owner(0, session_timeout_ms=400)
    settle([owner], [64])
    wait_until(lambda: not locks(engine), "the server has cut the silent owner off")
    with pytest.raises(OperationalError):
        owner.refresh()
    owner.give_up()
    assert owner.owned == frozenset()
    settle([owner], [64])
