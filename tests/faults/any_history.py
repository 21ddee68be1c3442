"""A machine that Hypothesis drives: what students and misfortune may do next, and what must hold whatever they did."""

import os
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.faults.checker.verdict import check
from tests.faults.history import History
from tests.faults.moment import Caught, gone, ledger_held, waiting_for_the_ledger

Document = dict[str, Any]
Ask = tuple[int, str]

# (seats, reserve positions): with three students somebody is refused, and a drop has somebody to promote.
LIMITS = ((1, 1), (2, 0))
STUDENTS = 3
COURSE = st.integers(0, len(LIMITS) - 1)
# Which student asks for what.
ASK = st.tuples(st.integers(0, STUDENTS - 1), st.sampled_from(["register", "drop"]))
# Each costs seconds, and one history shall not consist of nothing else.
RESTARTS_MAX = 3
WORKER_ENDS_MAX = 4
RUSHES_MAX = 2
AWAY = (502, 503)


class Misfortune(StrEnum):
    """What befalls a worker that has decided a round and not committed it."""

    SESSION_TERMINATED = "session terminated"
    POSTGRESQL_STOPPED = "PostgreSQL stopped"
    WORKER_KILLED = "worker killed"
    VALKEY_KILLED = "Valkey killed"


# Each of them a request of its own, so that there is an order to be lost.
ASKS = st.lists(ASK, min_size=2, max_size=5, unique=True)
A_RUSH = {"course": COURSE, "asks": ASKS, "misfortune": st.sampled_from(Misfortune)}


@dataclass(eq=False)
class Meant:
    """One click of a student; `request_id` is None until an answer says under which id it was accepted."""

    student: Student
    course_id: str
    operation: str
    key: str
    request_id: str | None = None


class AnyHistory(RuleBasedStateMachine):
    """Three students and two new courses on a running system, of which any part may be killed and started again.

    Every call is written into a log in `directory`, from which the independent checker judges the history.
    """

    clicks = Bundle("clicks")

    def __init__(self, stack: Stack, campus: Campus, directory: Path) -> None:
        super().__init__()
        stack.mend()
        self._stack = stack
        self._students = campus.students(STUDENTS)
        self._course_ids = [campus.course(seats=seats, reserve=reserve) for seats, reserve in LIMITS]
        self._name = uuid4().hex
        self._history = History(directory / f"{self._name}.jsonl")
        self._all_clicks: list[Meant] = []
        self._owners: dict[str, Meant] = {}
        self._finals: dict[str, Document] = {}
        self._judged = 0
        self._told = False
        self._api_up = self._valkey_up = self._postgresql_up = True
        self._restarts_left = RESTARTS_MAX
        self._worker_ends_left = WORKER_ENDS_MAX
        self._rushes_left = RUSHES_MAX

    @initialize(target=clicks, **A_RUSH)
    def begin(self, course: int, asks: list[Ask], misfortune: Misfortune) -> MultipleResults[Meant]:
        """In the middle of a rush, so that no history passes without a chance to lose the order."""
        return self._rush(course, asks, misfortune)

    @precondition(lambda self: self._all_up and self._rushes_left > 0)
    @rule(target=clicks, **A_RUSH)
    def rush(self, course: int, asks: list[Ask], misfortune: Misfortune) -> MultipleResults[Meant]:
        """A worker has the first request in hand when the others come in behind it; then misfortune strikes."""
        self._rushes_left -= 1
        return self._rush(course, asks, misfortune)

    def _rush(self, course: int, asks: Sequence[Ask], misfortune: Misfortune) -> MultipleResults[Meant]:
        self._wait_for_empty_queues()
        with ledger_held(self._stack):
            first = self._click(course, asks[0])
            caught = wait_until(lambda: waiting_for_the_ledger(self._stack), "a round is in hand", 10)
            others = [self._click(course, ask) for ask in asks[1:]]
            self._strike(caught, misfortune)
        self._see_the_end_of([first, *others])
        return multiple(first, *others)

    def _strike(self, caught: Caught, misfortune: Misfortune) -> None:
        match misfortune:
            case Misfortune.SESSION_TERMINATED:
                self._stack.sql("SELECT pg_terminate_backend(%s)", caught.backend_pid)
                wait_until(lambda: waiting_for_the_ledger(self._stack) != caught, "the session is gone")
            case Misfortune.POSTGRESQL_STOPPED:
                self._stop_postgresql()
            case Misfortune.VALKEY_KILLED:
                self._kill_valkey()
            case Misfortune.WORKER_KILLED:
                os.kill(caught.worker_pid, signal.SIGKILL)
                wait_until(lambda: gone(caught.worker_pid), "the worker is gone")

    @rule(
        target=clicks, wishes=st.lists(st.tuples(COURSE, ASK), min_size=1, max_size=6), racing=st.booleans()
    )
    def submit(self, wishes: list[tuple[int, Ask]], *, racing: bool) -> MultipleResults[Meant]:
        """Students click, one after the other; whoever gets no answer does not know whether it was accepted.

        Racing the workers, chance decides which of them still waits when the next arrives. Otherwise all wait together
        and are then worked off, so that the same choices make the same history: what shrinks to that can be replayed.
        """
        held = self._postgresql_up and not racing
        with self._stack.held(*self._course_ids) if held else nullcontext():
            sent = [self._click(*wish) for wish in wishes]
        if held:
            self._see_the_end_of(sent)
        return multiple(*sent)

    def _see_the_end_of(self, sent: Sequence[Meant]) -> None:
        """With everything running, wait until these clicks are worked off."""
        if self._all_up:
            for request_id in filter(None, [click.request_id for click in sent]):
                self._wait_for_outcome(request_id)

    def _click(self, course: int, ask: Ask) -> Meant:
        student, operation = ask
        key = f"{self._name}-{len(self._all_clicks)}"
        click = Meant(self._students[student], self._course_ids[course], operation, key)
        self._all_clicks.append(click)
        self._send(click)
        return click

    @rule(click=clicks)
    def retry(self, click: Meant) -> None:
        """The same with the same key: the same request, or the answer that had been lost."""
        self._send(click)

    @rule(click=clicks)
    def poll(self, click: Meant) -> None:
        """A student looks; whether it is final by now is up to the workers."""
        if click.request_id is not None and self._api_up:
            self._look(click.request_id)

    @rule(click=clicks)
    @precondition(lambda self: self._all_up)
    def wait(self, click: Meant) -> None:
        """A student waits for the outcome: with everything running it comes."""
        if click.request_id is not None:
            self._wait_for_outcome(click.request_id)

    @precondition(lambda self: self._worker_ends_left > 0)
    @rule(which=st.integers(0, 1), how=st.sampled_from([signal.SIGKILL, signal.SIGTERM]))
    def end_a_worker(self, which: int, how: signal.Signals) -> None:
        """In the middle of whatever it does, or after its round; the supervisor starts another."""
        self._worker_ends_left -= 1
        pids = self._stack.worker_pids()
        os.kill(pids[which % len(pids)], how)

    @precondition(lambda self: self._postgresql_up and self._worker_ends_left > 0)
    @rule(which=st.integers(0, 1))
    def terminate_an_owners_session(self, which: int) -> None:
        """In the middle of whatever it does; the worker itself lives on."""
        self._worker_ends_left -= 1
        sessions = [pid for worker in self._stack.worker_pids() for pid in self._stack.sessions_of(worker)]
        for pid in sessions[which : which + 1]:
            self._stack.sql("SELECT pg_terminate_backend(%s)", pid)

    @precondition(lambda self: self._api_up and self._restarts_left > 0)
    @rule()
    def kill_the_api(self) -> None:
        """SIGKILL."""
        self._restarts_left -= 1
        self._stack.kill_api()
        self._api_up = False

    @precondition(lambda self: not self._api_up and self._valkey_up)
    @rule()
    def start_the_api(self) -> None:
        """On the same port."""
        self._stack.start_api()
        self._api_up = True

    @precondition(lambda self: self._valkey_up and self._restarts_left > 0)
    @rule()
    def kill_valkey(self) -> None:
        """SIGKILL."""
        self._restarts_left -= 1
        self._kill_valkey()

    def _kill_valkey(self) -> None:
        self._stack.valkey.kill()
        self._valkey_up = False

    @precondition(lambda self: not self._valkey_up)
    @rule()
    def start_valkey(self) -> None:
        """On what its disk has."""
        self._stack.valkey.start()
        self._valkey_up = True

    @precondition(lambda self: self._valkey_up and self._postgresql_up and self._restarts_left > 0)
    @rule()
    def stop_postgresql(self) -> None:
        """SIGQUIT: no checkpoint, no goodbye.

        Without PostgreSQL a status is what Redis shows, and that is behind for as long as a committed round stands in
        its queue: a limit that the page on reliability states, and that is not looked for here.
        """
        self._restarts_left -= 1
        wait_until(
            lambda: not self._finals.keys() & self._waiting(), "what is told as final is off its queue"
        )
        self._stop_postgresql()

    def _stop_postgresql(self) -> None:
        self._stack.postgres.stop_immediately()
        self._postgresql_up = False

    @precondition(lambda self: not self._postgresql_up)
    @rule()
    def start_postgresql(self) -> None:
        """On what its log has."""
        self._stack.postgres.start()
        self._postgresql_up = True

    @invariant()
    def everything_accepted_can_be_seen(self) -> None:
        """P7: at any moment, and what was final stays as it was."""
        if self._api_up:
            for request_id in self._owners:
                self._look(request_id)

    @invariant()
    def nothing_is_wrong_so_far(self) -> None:
        """Judged as soon as nothing waits, and not only at the end: what fails early is short, and shrinks in no time."""
        if self._all_up and self._judged < len(self._finals) and not self._waiting():
            self._judge()

    def _judge(self) -> None:
        self._judged = len(self._finals)
        verdict = check([self._history.path], self._stack.postgres.url, self._stack.valkey.url)
        self._told = bool(verdict.violations)
        assert not verdict.violations, "\n".join(map(str, verdict.violations))

    def teardown(self) -> None:
        """When everything runs again, all that was meant comes to its end, and the checker finds nothing wrong."""
        self._stack.mend()
        self._api_up = self._valkey_up = self._postgresql_up = True
        for click in self._all_clicks:
            wait_until(lambda click=click: self._send(click), "every click gets its answer")  # type: ignore[misc]
        for request_id in self._owners:
            self._wait_for_outcome(request_id)
        self._wait_for_empty_queues()
        self._history.close()
        # Said twice, it would be two failures to Hypothesis, each to be shrunk.
        if not self._told:
            self._judge()

    @property
    def _all_up(self) -> bool:
        return self._api_up and self._valkey_up and self._postgresql_up

    def _wait_for_empty_queues(self) -> None:
        wait_until(lambda: not self._waiting(), "nothing waits")

    def _waiting(self) -> set[str]:
        return {one for course_id in self._course_ids for one in self._stack.waiting_in(course_id)}

    def _send(self, click: Meant) -> bool:
        """Submit a click; whether it is known now under which id it was accepted."""
        call = self._history.sent(
            "POST",
            student_id=click.student.student_id,
            course_id=click.course_id,
            operation=click.operation.upper(),
            key=click.key,
        )
        try:
            answer = click.student.submit(click.course_id, click.operation, key=click.key)
        except httpx.TransportError as error:
            assert not self._api_up, "a running API answers"
            self._history.unanswered(call, repr(error))
            return False
        self._history.answered(call, answer.status_code, answer.text)
        if answer.status_code in AWAY:
            return False
        assert answer.status_code == 202, answer.text
        self._note_acceptance(click, answer.json())
        return True

    def _note_acceptance(self, click: Meant, document: Document) -> None:
        request_id = document["request_id"]
        assert click.request_id in (None, request_id), "a repeat became another request"
        click.request_id = request_id
        same = self._owners.setdefault(request_id, click)
        assert (same.student, same.course_id, same.operation) == (
            *(click.student, click.course_id, click.operation),
        ), "a request of another click"
        self._note(document)

    def _look(self, request_id: str, wait: int = 0) -> Document | None:
        """A request as its student sees it: always there, but for a moment perhaps not to be read."""

        def answer() -> httpx.Response | None:
            seen = self._ask_for(request_id, wait)
            assert seen.status_code in (200, *AWAY), seen.text
            return seen if seen.status_code == 200 or not self._valkey_up else None

        seen = wait_until(answer, f"{request_id} can be seen")
        if seen.status_code != 200:
            final = request_id in self._finals
            assert not (final and self._postgresql_up), "what is final can be read without Valkey"
            return None
        document: Document = seen.json()
        self._note(document)
        return document

    def _ask_for(self, request_id: str, wait: int) -> httpx.Response:
        student = self._owners[request_id].student
        call = self._history.sent("GET", student_id=student.student_id, request_id=request_id)
        seen = student.get(f"/requests/{request_id}", wait=wait)
        self._history.answered(call, seen.status_code, seen.text)
        return seen

    def _note(self, document: Document) -> None:
        if document["status"] != "QUEUED":
            final = self._finals.setdefault(document["request_id"], document)
            assert document == final, "a final outcome changed"
        else:
            assert document["request_id"] not in self._finals, "what was final waits again"

    def _wait_for_outcome(self, request_id: str) -> None:
        document = self._look(request_id, wait=20)
        assert document is not None
        assert document["status"] != "QUEUED", f"{request_id} has no outcome"
