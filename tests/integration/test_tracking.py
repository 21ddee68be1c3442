"""P7: where a request stands is told truly, at whatever moment its round ends between two looks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import redis
from sqlalchemy import event

from api.problems import Problem
from api.services import Services, running_services
from api.tracking import current_document
from shared.course_queue import keys
from shared.course_queue.accepting import Asked
from shared.course_queue.rounds import CourseQueues
from shared.rules import Operation
from shared.settings import Settings
from tests.conftest import CourseFactory, StudentFactory
from tests.integration.conftest import Apply

Answer = TypeVar("Answer")


class Case:
    """One request of one student, brought forward step by step as a worker would."""

    def __init__(self, client: redis.Redis, settings: Settings, course_id: str, student_id: str) -> None:
        self.request_id = str(uuid4())
        self.student_id = student_id
        self._course_id = course_id
        self._client = client
        self._settings = settings
        self._queues = CourseQueues(client, settings, "test-worker")

    def conversation(self, use: Callable[[Services], Awaitable[Answer]]) -> Answer:
        """Accept the request, then talk to the services of an API process."""

        async def talk() -> Answer:
            async with running_services(self._settings) as services:
                await services.acceptor.accept(
                    Asked(self.request_id, self.student_id, self._course_id, "X", Operation.REGISTER, None)
                )
                return await use(services)

        return asyncio.run(talk())

    def commit(self, apply: Apply) -> Any:
        """Let the round be committed, and nothing more."""
        return apply(self._queues.peek([self._course_id], 1))

    def finish_and_forget(self, apply: Apply) -> None:
        """Let the round be committed and taken off, and the job expire."""
        self._queues.finish(self.commit(apply).finished, {}, 1)
        self._client.delete(keys.job(self.request_id))

    async def status(self, services: Services) -> str:
        """What its student is told."""
        document = await current_document(services, self.request_id, self.student_id)
        return str(document["status"])


@pytest.fixture
def case(
    redis_client: redis.Redis, settings: Settings, make_course: CourseFactory, make_students: StudentFactory
) -> Case:
    """A new request for a new course."""
    return Case(redis_client, settings, make_course(1, 0), make_students(1)[0])


@pytest.mark.parametrize("moment", ["before_cursor_execute", "after_cursor_execute"])
def test_a_request_that_ends_while_it_is_looked_up_is_never_missed(
    moment: str, case: Case, apply: Apply
) -> None:
    """Its row comes and its job goes just before or just after the ledger is read: it is found all the same."""
    ended: list[str] = []

    def end_it(*context: Any) -> None:
        if "FROM registration_requests" in context[2] and not ended:
            ended.append(case.request_id)
            case.finish_and_forget(apply)

    async def look(services: Services) -> str:
        event.listen(services.database.engine, moment, end_it)
        return await case.status(services)

    told = case.conversation(look)
    assert ended, "the request did not end while it was looked up"
    assert told in ("QUEUED", "APPLIED")


def test_what_the_ledger_has_is_final_even_while_redis_shows_it_waiting(case: Case, apply: Apply) -> None:
    """Between the commit and the removal Redis lags behind: no answer is older than one the ledger may have given."""

    async def look(services: Services) -> str:
        await asyncio.to_thread(case.commit, apply)
        return await case.status(services)

    assert case.conversation(look) == "APPLIED"


def test_what_was_told_as_final_stays_final_while_postgresql_is_away(case: Case, apply: Apply) -> None:
    """Redis still has the request waiting, but its outcome has been told: no later answer may say less."""

    async def look(services: Services) -> list[str]:
        await asyncio.to_thread(case.commit, apply)
        first = await case.status(services)
        event.listen(services.database.engine, "before_cursor_execute", _be_away)
        return [first, await case.status(services)]

    assert case.conversation(look) == ["APPLIED", "APPLIED"]


def _be_away(*_context: Any) -> None:
    raise OSError


def test_anothers_request_does_not_exist(case: Case, apply: Apply) -> None:
    """Neither while it waits, nor when it has ended, nor once Redis has forgotten it."""

    async def look(services: Services) -> list[int]:
        answers = [await status_for_a_stranger(case, services)]
        await asyncio.to_thread(case.commit, apply)
        answers.append(await status_for_a_stranger(case, services))
        await asyncio.to_thread(case.finish_and_forget, apply)
        answers.append(await status_for_a_stranger(case, services))
        return answers

    assert case.conversation(look) == [404, 404, 404]


async def status_for_a_stranger(case: Case, services: Services) -> int:
    """The HTTP status that another student gets; 200 if there is an answer."""
    try:
        await current_document(services, case.request_id, str(uuid4()))
    except Problem as problem:
        return int(problem.status)
    return 200
