"""A machine that Hypothesis drives: what students and misfortune may do next, and what must hold whatever they did."""

import os
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until
from tests.reference_model import Answer, ReferenceCourse

Document = dict[str, Any]

ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
# (seats, reserve positions): with three students somebody is refused, and a drop has somebody to promote.
LIMITS = ((1, 1), (2, 0))
STUDENTS = 3
# Which student asks for what in which course.
WISH = st.tuples(
    st.integers(0, STUDENTS - 1), st.integers(0, len(LIMITS) - 1), st.sampled_from(["register", "drop"])
)
# Each costs seconds, and one history shall not consist of nothing else.
RESTARTS_MAX = 2
WORKER_ENDS_MAX = 4
AWAY = (502, 503)


@dataclass(eq=False)
class Meant:
    """One click of a student; `request_id` is None until an answer says under which id it was accepted."""

    student: Student
    course: int
    operation: str
    key: str
    request_id: str | None = None


class AnyHistory(RuleBasedStateMachine):
    """Three students and two new courses on a running system, of which any part may be killed and started again."""

    clicks = Bundle("clicks")

    def __init__(self, stack: Stack, campus: Campus) -> None:
        super().__init__()
        stack.mend()
        self._stack = stack
        self._students = campus.students(STUDENTS)
        self._course_ids = [campus.course(seats=seats, reserve=reserve) for seats, reserve in LIMITS]
        self._name = uuid4().hex
        self._all_clicks: list[Meant] = []
        self._owners: dict[str, Meant] = {}
        self._finals: dict[str, Document] = {}
        self._newest = [0] * len(LIMITS)
        self._api_up = self._valkey_up = True
        self._restarts_left = RESTARTS_MAX
        self._worker_ends_left = WORKER_ENDS_MAX

    @rule(target=clicks, wishes=st.lists(WISH, min_size=1, max_size=6), racing=st.booleans())
    def submit(self, wishes: list[tuple[int, int, str]], *, racing: bool) -> MultipleResults[Meant]:
        """Students click, one after the other; whoever gets no answer does not know whether it was accepted.

        Racing the workers, chance decides which of them still waits when the next arrives. Otherwise all wait together
        and are then worked off, so that the same choices make the same history: what shrinks to that can be replayed.
        """
        with nullcontext() if racing else self._stack.held(*self._course_ids):
            sent = [self._click(*wish) for wish in wishes]
        if self._all_up and not racing:
            for request_id in filter(None, [click.request_id for click in sent]):
                self._wait_for_outcome(request_id)
        return multiple(*sent)

    def _click(self, student: int, course: int, operation: str) -> Meant:
        key = f"{self._name}-{len(self._all_clicks)}"
        click = Meant(self._students[student], course, operation, key)
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
        self._stack.valkey.kill()
        self._valkey_up = False

    @precondition(lambda self: not self._valkey_up)
    @rule()
    def start_valkey(self) -> None:
        """On what its disk has."""
        self._stack.valkey.start()
        self._valkey_up = True

    @invariant()
    def everything_accepted_can_be_seen(self) -> None:
        """P7: at any moment, and what was final stays as it was."""
        if self._api_up:
            for request_id in self._owners:
                self._look(request_id)

    def teardown(self) -> None:
        """When everything runs again, all that was meant has come to the end that the reference model gives it."""
        self._stack.mend()
        self._api_up = self._valkey_up = True
        for click in self._all_clicks:
            wait_until(lambda click=click: self._send(click), "every click gets its answer")  # type: ignore[misc]
        for request_id in self._owners:
            self._wait_for_outcome(request_id)
        for course in range(len(LIMITS)):
            self._compare(course)

    @property
    def _all_up(self) -> bool:
        return self._api_up and self._valkey_up

    def _send(self, click: Meant) -> bool:
        """Submit a click; whether it is known now under which id it was accepted."""
        try:
            answer = click.student.submit(self._course_ids[click.course], click.operation, key=click.key)
        except httpx.TransportError:
            assert not self._api_up, "a running API answers"
            return False
        if answer.status_code in AWAY:
            return False
        assert answer.status_code == 202, answer.text
        self._note_acceptance(click, answer.json())
        return True

    def _note_acceptance(self, click: Meant, document: Document) -> None:
        request_id = document["request_id"]
        assert click.request_id in (None, request_id), "a repeat became another request"
        first_seen = click is self._all_clicks[-1] and request_id not in self._owners
        click.request_id = request_id
        same = self._owners.setdefault(request_id, click)
        assert (same.student, same.course, same.operation) == (click.student, click.course, click.operation)
        if first_seen:
            assert document["sequence"] > self._newest[click.course], "accepted later, ordered earlier"
        self._newest[click.course] = max(self._newest[click.course], document["sequence"])
        self._note(document)

    def _look(self, request_id: str, wait: int = 0) -> Document | None:
        """A request as its student sees it: always there, but for a moment perhaps not to be read."""

        def answer() -> httpx.Response | None:
            seen = self._owners[request_id].student.get(f"/requests/{request_id}", wait=wait)
            assert seen.status_code in (200, *AWAY), seen.text
            return seen if seen.status_code == 200 or not self._valkey_up else None

        seen = wait_until(answer, f"{request_id} can be seen")
        if seen.status_code != 200:
            assert request_id not in self._finals, "what is final can be read without Valkey"
            return None
        self._note(seen.json())
        document: Document = seen.json()
        return document

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

    def _compare(self, course: int) -> None:
        documents = sorted(
            (one for request_id, one in self._finals.items() if self._owners[request_id].course == course),
            key=lambda one: one["sequence"],
        )
        assert [one["sequence"] for one in documents] == list(range(1, len(documents) + 1))
        model = ReferenceCourse(*LIMITS[course], *ALWAYS)
        expected = [self._ask(model, one) for one in documents]
        assert [_verdict(one) for one in documents] == expected
        assert self._roster(course) == model.rows()

    def _ask(self, model: ReferenceCourse, document: Document) -> Sequence[object]:
        student = self._owners[document["request_id"]].student.student_id
        answer: Answer = model.ask(document["operation"], student, datetime.now(UTC))
        return answer[:4]

    def _roster(self, course: int) -> dict[str, tuple[str, int | None]]:
        rows = self._stack.sql(
            "SELECT student_id::text, status, reserve_position FROM course_registrations WHERE course_id = %s",
            self._course_ids[course],
        )
        return {row["student_id"]: (row["status"], row["reserve_position"]) for row in rows}


def _verdict(document: Document) -> Sequence[object]:
    return (document["status"], document["result"], document["reason"], document["reserve_position"])
