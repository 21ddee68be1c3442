"""Students' clients at work: they retry with the same Idempotency-Key until they know, and write down all they saw."""

import asyncio
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from tests.e2e.campus import Student
from tests.e2e.waiting import wait_until
from tests.faults.history import History

Document = dict[str, Any]

# Forty devices that ask again more often would leave no processor to what is being started.
RETRY_PAUSE_S = 0.2
CALL_LIMIT_S = 6.0
# A client that has not got its answer by then has been let down.
PATIENCE_S = 45.0
TRY_AGAIN = (429, 503)
# So many of the finished calls are posted once more, and so many looked at once more.
REPEATED = 0.1
REREAD = 0.2


@dataclass
class Sent:
    """One call a student meant, however often it was repeated, and everything that came back."""

    student: Student
    course_id: str
    operation: str
    key: str
    url: str = ""
    request_ids: set[str] = field(default_factory=set)
    finals: list[Document] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    aside: bool = False


@dataclass(frozen=True)
class Ask:
    """One HTTP call, and what the history says of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    student_id: str
    what: Mapping[str, Any]


class Load:
    """Registers and drops at random for as long as the block runs; at its end every client waits for its outcome.

    With a `history`, every call and every answer is written there as well. With `other_url`, that of a second API, each
    call goes to one of the two, and each request is polled at the other one than it was submitted to. `pause_s`, which may
    be set at any time, is how long a device rests before it means something else: for faults that start processes, which
    would else wait for a processor.
    """

    def __init__(
        self,
        url: str,
        students: Sequence[Student],
        course_ids: Sequence[str],
        seed: int,
        history: History | None = None,
        *,
        other_url: str | None = None,
    ) -> None:
        self._urls = (url, other_url or url)
        self.history = history
        self.pause_s = 0.0
        # Every fourth student uses two devices at once.
        self._devices = [*students, *students[::4]]
        self.course_ids = course_ids
        self._seed = seed
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._problem: BaseException | None = None
        self.sent: list[Sent] = []
        self.accepted = 0
        self.finals = 0
        self.failed_calls = 0
        self.refused = 0

    @property
    def in_flight(self) -> int:
        """How many calls are meant and not yet brought to an outcome."""
        return sum(not one.finals and not one.aside for one in self.sent)

    @property
    def request_ids(self) -> set[str]:
        """Every request that a client was told of."""
        return {request_id for one in list(self.sent) for request_id in list(one.request_ids)}

    def wait_for_finals(self, more: int, what: str = "the load gets outcomes") -> None:
        """Wait until so many more outcomes were seen."""
        goal = self.finals + more
        wait_until(lambda: self.finals >= goal or self._problem, what, PATIENCE_S)

    def wait_for_accepted(self, more: int) -> None:
        """Wait until so many more requests were accepted."""
        goal = self.accepted + more
        wait_until(lambda: self.accepted >= goal or self._problem, "the load is accepted", PATIENCE_S)

    def accepted_aside(self, student: Student, course_id: str, request_id: str) -> None:
        """Count a request in that somebody else submitted; it is read when everything is checked."""
        self.sent.append(Sent(student, course_id, "register", "", request_ids={request_id}, aside=True))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(2 * PATIENCE_S)
        if error is None:
            assert not self._thread.is_alive(), "clients still wait for outcomes"
            if self._problem is not None:
                raise self._problem

    async def _run(self) -> None:
        limits = httpx.Limits(
            max_connections=len(self._devices), max_keepalive_connections=len(self._devices)
        )
        async with httpx.AsyncClient(timeout=CALL_LIMIT_S, limits=limits, verify=False) as http:
            try:
                async with asyncio.TaskGroup() as group:
                    for number, student in enumerate(self._devices):
                        group.create_task(self._use(http, student, random.Random(f"{self._seed}-{number}")))
            except BaseExceptionGroup as problems:
                self._problem = problems.exceptions[0]

    async def _use(self, http: httpx.AsyncClient, student: Student, chance: random.Random) -> None:
        while not self._ending.is_set():
            operation = chance.choices(["register", "drop"], [3, 2])[0]
            key = str(UUID(int=chance.getrandbits(128)))
            one = Sent(student, chance.choice(self.course_ids), operation, key, chance.choice(self._urls))
            self.sent.append(one)
            await self._submit(http, one, wait=chance.choice([None, 4]))
            if not one.finals and one.request_ids:
                await self._follow(http, one)
            if chance.random() < REPEATED:
                await self._submit(http, one, wait=4)
            if chance.random() < REREAD and one.request_ids:
                await self._look(http, one)
            await asyncio.sleep(self.pause_s)

    async def _submit(self, http: httpx.AsyncClient, one: Sent, wait: int | None) -> None:
        """Post until it is answered, always with the same key."""
        headers = {**one.student.headers, "Idempotency-Key": one.key}
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        path = f"/courses/{one.course_id}/{one.operation}"
        what = {"course_id": one.course_id, "operation": one.operation.upper(), "key": one.key}
        answer = await self._call(http, Ask("POST", one.url + path, headers, one.student.student_id, what))
        if answer.status_code in (200, 202):
            self.accepted += not one.request_ids
            self._note(one, answer.json())
        else:
            one.unexpected.append(f"{answer.status_code} {answer.text}")

    async def _follow(self, http: httpx.AsyncClient, one: Sent) -> None:
        """Poll until it is final."""
        deadline = time.monotonic() + PATIENCE_S
        while not one.finals and await self._look(http, one):
            assert time.monotonic() < deadline, f"{one.request_ids} never became final"

    async def _look(self, http: httpx.AsyncClient, one: Sent) -> bool:
        """Poll once; False when the answer was no request."""
        request_id = min(one.request_ids)
        path = f"/requests/{request_id}?wait=4"
        first, second = self._urls
        url = second if one.url == first else first
        ask = Ask("GET", url + path, one.student.headers, one.student.student_id, {"request_id": request_id})
        answer = await self._call(http, ask)
        if answer.status_code != 200:
            one.unexpected.append(f"{answer.status_code} {answer.text}")
            return False
        self._note(one, answer.json())
        return True

    def _note(self, one: Sent, document: Document) -> None:
        one.request_ids.add(document["request_id"])
        if document["status"] != "QUEUED":
            self.finals += not one.finals
            one.finals.append(document)

    async def _call(self, http: httpx.AsyncClient, ask: Ask) -> httpx.Response:
        """Call until the answer is more than `come back later`."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await self._call_once(http, ask)
            if answer is not None and answer.status_code not in TRY_AGAIN:
                return answer
            self.failed_calls += 1
            self.refused += answer is not None
            assert time.monotonic() < deadline, f"{ask.method} {ask.url} got no answer"
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _call_once(self, http: httpx.AsyncClient, ask: Ask) -> httpx.Response | None:
        """One call, written down before it is sent and when it is answered; None when the connection broke."""
        history = self.history
        call = history.sent(ask.method, student_id=ask.student_id, **ask.what) if history else ""
        try:
            answer = await http.request(ask.method, ask.url, headers=ask.headers)
        except httpx.TransportError as error:
            if history:
                history.unanswered(call, repr(error))
            return None
        if history:
            history.answered(call, answer.status_code, answer.text)
        return answer
