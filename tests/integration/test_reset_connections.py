"""The API's Redis connections after a reset: as good as new at the next call, under the event loop that runs in production."""

import asyncio
from collections.abc import Iterator

import pytest
import redis
import uvloop

from scripts.local_servers import LocalValkey
from shared.course_queue.connection import RedisFailure, async_client
from shared.settings import Settings
from tests.conftest import settings_for
from tests.faults.proxy import Proxy

IN_PARALLEL = 8
RESETS = 300


@pytest.fixture
def proxy(redis_client: redis.Redis, redis_server: LocalValkey) -> Iterator[Proxy]:
    """A proxy before this test process's Valkey."""
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: Proxy, settings: Settings, redis_server: LocalValkey) -> Settings:
    """Settings that lead through it."""
    url = redis_server.url.replace(f":{redis_server.port}/", f":{proxy.port}/")
    return settings_for(settings.database_url, url)


def test_a_pool_of_reset_connections_is_as_good_as_new(proxy: Proxy, proxied: Settings) -> None:
    """Every idle connection was reset: the next calls connect anew, and nobody sees an error."""

    async def use_twice() -> list[object]:
        client = async_client(proxied)
        try:
            await asyncio.gather(*(client.ping() for _ in range(IN_PARALLEL)))
            await asyncio.to_thread(proxy.reset)
            await asyncio.sleep(0)
            return await asyncio.gather(*(client.ping() for _ in range(IN_PARALLEL)))
        finally:
            await client.aclose()

    assert uvloop.run(use_twice()) == [True] * IN_PARALLEL
    assert proxy.touched >= IN_PARALLEL


def test_whatever_a_reset_hits_is_an_error_that_the_api_answers_with_503(
    proxy: Proxy, proxied: Settings
) -> None:
    """Resets in quick succession hit connections being opened, asked and answered; each failure is a lost connection."""

    async def use_during_resets() -> list[object]:
        client = async_client(proxied)
        answers: list[object] = []
        try:
            for _ in range(RESETS):
                calls = [asyncio.create_task(client.ping()) for _ in range(IN_PARALLEL)]
                await asyncio.to_thread(proxy.reset)
                answers += await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await client.aclose()
        return answers

    answers = uvloop.run(use_during_resets())
    assert len(answers) == RESETS * IN_PARALLEL
    assert [one for one in answers if one is not True and not isinstance(one, RedisFailure)] == []
