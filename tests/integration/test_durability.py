"""A Redis that could lose what it acknowledged is refused at start, with the setting named."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local_servers import LocalValkey, free_port
from shared.course_queue.connection import (
    async_client,
    sync_client,
    verify_durability,
    verify_durability_now,
)
from shared.errors import UnsafeRedisError
from shared.settings import Settings


def verify_both_ways(settings: Settings) -> None:
    """As the worker does, and as the API does; both must come to the same."""

    async def verify() -> None:
        async with async_client(settings) as client:
            await verify_durability(client, settings)

    with sync_client(settings) as client:
        try:
            verify_durability_now(client, settings)
        except UnsafeRedisError as refused:
            with pytest.raises(UnsafeRedisError, match=str(refused).replace("(", r"\(").replace(")", r"\)")):
                asyncio.run(verify())
            raise
    asyncio.run(verify())


@pytest.fixture
def own_settings(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Iterator[Settings]:
    """Settings for a Valkey of the test's own, started with the parameters of the test."""
    with LocalValkey(tmp_path / "data", free_port(), settings=request.param) as server:
        yield settings.model_copy(update={"redis_url": server.url})


@pytest.mark.parametrize("own_settings", [{}], indirect=True)
def test_a_durable_redis_is_taken(own_settings: Settings) -> None:
    """The local servers are configured as production must be."""
    verify_both_ways(own_settings)


@pytest.mark.parametrize(
    ("own_settings", "named"),
    [
        ({"appendonly": "no"}, "appendonly is no, must be yes"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec, must be always"),
        ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru, must be noeviction"),
        ({"maxmemory-policy": "volatile-ttl"}, "maxmemory-policy is volatile-ttl, must be noeviction"),
    ],
    indirect=["own_settings"],
)
def test_a_redis_that_may_lose_requests_is_refused_with_the_setting_named(
    own_settings: Settings, named: str
) -> None:
    """P2: a 202 is only worth what Redis keeps; unless a developer says it does not matter."""
    with pytest.raises(UnsafeRedisError, match=named):
        verify_both_ways(own_settings)
    verify_both_ways(own_settings.model_copy(update={"allow_unsafe_redis": True}))


@pytest.mark.parametrize(
    "own_settings",
    [{"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "allkeys-lru"}],
    indirect=True,
)
def test_every_unsafe_setting_is_named_at_once(own_settings: Settings) -> None:
    """One look is enough to mend them all."""
    with pytest.raises(UnsafeRedisError, match=r"appendonly.*appendfsync.*maxmemory-policy"):
        verify_both_ways(own_settings)
