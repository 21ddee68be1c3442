"""PostgreSQL for coroutines: in threads of its own, so many and so long and no more."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from shared.database import pooled_engine, reading, writing
from shared.errors import DatabaseUnavailableError
from shared.settings import Settings
from shared.store.statement_times import observe_statements

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Database:
    """A pool of connections with a thread each."""

    def __init__(self, settings: Settings) -> None:
        self.engine = observe_statements(pooled_engine(settings, "registration-api"))
        self._threads = ThreadPoolExecutor(settings.database_pool_size, thread_name_prefix="postgresql")
        self._limit_s = settings.read_timeout_ms / 1000

    async def read(
        self,
        query: Callable[Concatenate[Connection, Parameters], Answer],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Answer:
        """Run a query of `shared.store`, once more when its connection turns out to have died while it was idle.

        Raises DatabaseUnavailableError, after `read_timeout_ms` also when PostgreSQL is frozen and says nothing at all.
        """

        def run() -> Answer:
            with reading(self.engine) as connection:
                return query(connection, *arguments, **options)

        def run_again_if_disconnected() -> Answer:
            try:
                return run()
            except DatabaseUnavailableError as error:
                if not getattr(error.__cause__, "connection_invalidated", False):
                    raise
                return run()

        return await self._in_thread(run_again_if_disconnected)

    async def write(
        self,
        statement: Callable[Concatenate[Connection, Parameters], Answer],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Answer:
        """Run a statement of `shared.store` in a transaction of its own. Raises as `read`, but is never run again."""

        def run() -> Answer:
            with writing(self.engine) as connection:
                return statement(connection, *arguments, **options)

        return await self._in_thread(run)

    async def _in_thread(self, run: Callable[[], Answer]) -> Answer:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, run)
            return await asyncio.wait_for(future, self._limit_s)
        except TimeoutError as error:
            raise DatabaseUnavailableError from error

    def close(self) -> None:
        """Close every connection; what still runs in a thread ends by its own time limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.engine.dispose()
