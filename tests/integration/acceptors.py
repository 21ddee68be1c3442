"""Acceptors at work, as API processes have them, and what to ask of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar
from uuid import uuid4

from shared.course_queue.accepting import Acceptor, Asked
from shared.course_queue.connection import async_client
from shared.rules import Operation
from shared.settings import Settings

Answer = TypeVar("Answer")


def asked(course_id: str, student_id: str | None = None, key: str | None = None) -> Asked:
    """A register of a new student, unless told otherwise."""
    return Asked(str(uuid4()), student_id or str(uuid4()), course_id, "TST1 001", Operation.REGISTER, key)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Acceptor]:
    """An acceptor at work, as in an API process."""
    async with async_client(settings) as client:
        acceptor = Acceptor(client, settings)
        task = asyncio.create_task(acceptor.run())
        yield acceptor
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def with_acceptor(settings: Settings, use: Callable[[Acceptor], Awaitable[Answer]]) -> Answer:
    """Run a conversation with an acceptor."""

    async def conversation() -> Answer:
        async with running(settings) as acceptor:
            return await use(acceptor)

    return asyncio.run(conversation())
