"""An API process's background tasks end when it does."""

import asyncio
import time

import pytest
from sqlalchemy import Engine

from api.services import running_services
from shared.settings import Settings


@pytest.mark.usefixtures("redis_client")
def test_services_stopped_as_soon_as_they_are_started_end_at_once(engine: Engine, settings: Settings) -> None:
    """Also while they still connect, when redis-py may lose a cancellation."""
    small = settings.model_copy(update={"database_pool_size": 1})

    async def start_and_stop(yields: int) -> None:
        async with running_services(small):
            for _ in range(yields):
                await asyncio.sleep(0)

    for yields in range(40):
        started = time.monotonic()
        asyncio.run(start_and_stop(yields))
        assert time.monotonic() - started < 2
