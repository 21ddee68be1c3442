"""ACCEPT_REPLICAS on a real replica: no answer stands for more than the replica has on its disk, a repeat's included."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from scripts.local_servers import LocalValkey, free_port
from shared.course_queue import keys
from shared.course_queue.accepting import Asked, Repeated
from shared.course_queue.connection import async_client, sync_client
from shared.course_queue.lookups import request_of_key
from shared.errors import QueueUnavailableError
from shared.requests import Place
from shared.settings import Settings
from tests.conftest import settings_for
from tests.e2e.waiting import wait_until
from tests.integration.acceptors import asked, with_acceptor
from tests.replicas import ReplicaValkey

NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """The Valkey that accepts."""
    at_once = {"repl-diskless-sync-delay": "0"}
    with LocalValkey(tmp_path_factory.mktemp("primary") / "data", free_port(), settings=at_once) as server:
        yield server


@pytest.fixture(scope="module")
def replica(primary: LocalValkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """Its replica, as durable as itself and in step with it."""
    server = ReplicaValkey(tmp_path_factory.mktemp("replica") / "server" / "data", primary)
    try:
        server.follow(primary.port)
        wait_until(lambda: acknowledges(primary), "the replica is in step", 30)
        yield server
    finally:
        server.stop()


def acknowledges(primary: LocalValkey) -> bool:
    """Whether a replica says that it has a write on its disk."""
    with sync_client(settings_for(NO_DATABASE, primary.url)) as client:
        client.set("in-step", "")
        return client.waitaof(1, 1, 100) == [1, 1]


@pytest.fixture
def strict(primary: LocalValkey, replica: LocalValkey) -> Settings:
    """Settings that want the request on the replica's disk."""
    return settings_for(NO_DATABASE, primary.url).model_copy(
        update={"accept_replicas": 1, "accept_replicas_timeout_ms": 600}
    )


@contextmanager
def frozen(server: LocalValkey) -> Iterator[None]:
    """Let the server stand still meanwhile."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def accepted(settings: Settings, request: Asked) -> Place | Repeated:
    """The answer to a request that comes on a connection of its own."""
    return with_acceptor(settings, lambda acceptor: acceptor.accept(request))


def on_the_replica(replica: LocalValkey, course_id: str) -> list[str]:
    """What the replica has in a course's queue."""
    with sync_client(settings_for(NO_DATABASE, replica.url)) as client:
        return [raw.decode() for raw in client.lrange(keys.queue(course_id), 0, -1)]


def test_an_accepted_request_is_on_the_replica(strict: Settings, replica: LocalValkey) -> None:
    """P2: when the answer comes, not later; and the replica is heard at once, not when it next reports of itself."""
    for _ in range(8):
        request = asked(str(uuid4()))
        assert isinstance(accepted(strict, request), Place)
        assert on_the_replica(replica, request.course_id) == [request.request_id]


def test_a_repeat_is_answered_at_once_while_the_replica_is_in_step(
    strict: Settings, replica: LocalValkey
) -> None:
    """P4: the same request, as without replicas."""
    request = asked(str(uuid4()), key="k")
    accepted(strict, request)
    assert accepted(strict, replace(request, request_id=str(uuid4()))) == Repeated(request.request_id)
    assert on_the_replica(replica, request.course_id) == [request.request_id]


@pytest.mark.parametrize(
    ("key", "same_id"),
    [("k", False), (None, False), (None, True)],
    ids=["its key", "its operation", "the call itself, sent again"],
)
def test_a_repeat_waits_for_the_replicas_of_what_it_repeats(
    strict: Settings, replica: LocalValkey, key: str | None, *, same_id: bool
) -> None:
    """P2: it comes on another connection, which has written nothing that the replica would have to acknowledge."""
    request = asked(str(uuid4()), key=key)
    again = request if same_id else replace(request, request_id=str(uuid4()))
    impatient = strict.model_copy(update={"accept_replicas_timeout_ms": 100})
    with frozen(replica):
        for one in (request, again, again):
            with pytest.raises(QueueUnavailableError, match="replicas"):
                accepted(impatient, one)
    answer = wait_until(lambda: answered(strict, again), "the replica has caught up")
    assert answer == Repeated(request.request_id)
    assert on_the_replica(replica, request.course_id) == [request.request_id]


def kept_for(settings: Settings, request: Asked) -> str | None:
    """What a call outside the window is told to repeat."""

    async def ask() -> str | None:
        async with async_client(settings) as client:
            return await request_of_key(client, settings, request)

    return asyncio.run(ask())


def test_a_repeat_after_closing_waits_for_the_replicas_as_well(
    strict: Settings, replica: LocalValkey
) -> None:
    """P2: then only the key is looked up, which writes nothing either."""
    request = asked(str(uuid4()), key="k")
    impatient = strict.model_copy(update={"accept_replicas_timeout_ms": 100})
    with frozen(replica):
        for ask in (accepted, kept_for):
            with pytest.raises(QueueUnavailableError, match="replicas"):
                ask(impatient, request)
    wait_until(lambda: answered(strict, request), "the replica has caught up")
    assert kept_for(strict, request) == request.request_id


def answered(settings: Settings, request: Asked) -> Place | Repeated | None:
    """The answer, or None while the replica is not in step."""
    try:
        return accepted(settings, request)
    except QueueUnavailableError:
        return None
