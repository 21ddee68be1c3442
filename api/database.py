"""PostgreSQL for coroutines: on the event loop itself, on so many connections, for so long and no longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from shared.database import event_loop_engine, ping, reading_on_event_loop, writing_on_event_loop
from shared.errors import DatabaseUnavailableError
from shared.settings import Settings
from shared.store.statement_times import observe_statements

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Database:
    """A pool of connections, and the queries of `shared.store` on them."""

    def __init__(self, settings: Settings) -> None:
        self._engine = event_loop_engine(settings, "registration-api")
        self.engine = observe_statements(self._engine.sync_engine)
        self._limit_s = settings.read_timeout_ms / 1000
        self._size = settings.database_pool_size

    async def open(self) -> None:
        """Open every connection of the pool, so that no reader has to wait for that; one that fails is opened later."""
        pings = [self.read(ping) for _ in range(self._size)]
        await asyncio.gather(*pings, return_exceptions=True)

    async def read(
        self,
        query: Callable[Concatenate[Connection, Parameters], Answer],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Answer:
        """Run a query of `shared.store`, once more when its connection turns out to have died while it was idle.

        Raises DatabaseUnavailableError, after `read_timeout_ms` also when PostgreSQL is frozen and says nothing at all.
        """

        async def run() -> Answer:
            async with reading_on_event_loop(self._engine) as connection:
                return await connection.run_sync(query, *arguments, **options)

        async with self._limited():
            try:
                return await run()
            except DatabaseUnavailableError as error:
                if not getattr(error.__cause__, "connection_invalidated", False):
                    raise
                return await run()

    async def write(
        self,
        statement: Callable[Concatenate[Connection, Parameters], Answer],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Answer:
        """Run a statement of `shared.store` in a transaction of its own. Raises as `read`, but is never run again."""
        async with self._limited(), writing_on_event_loop(self._engine) as connection:
            return await connection.run_sync(statement, *arguments, **options)

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limit_s):
                yield
        except TimeoutError as error:
            raise DatabaseUnavailableError from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
