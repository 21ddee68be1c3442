"""Order: of the ledger by index and by sequence, and against the real time in which clients asked."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from tests.faults.checker.facts import (
    ACCEPTED_STATUSES,
    FAILED,
    ClientView,
    CourseFacts,
    LedgerRow,
    Violation,
)


def check_order(view: ClientView, course: CourseFacts) -> list[Violation]:
    """Every order that one course's ledger must keep."""
    return [
        *check_indexes(course.course_id, course.ledger),
        *check_sequences(course, sequences_told(view, course.course_id)),
        *check_real_time(view, course.course_id, course.ledger),
    ]


def sequences_told(view: ClientView, course_id: str) -> dict[str, int]:
    """Request -> its sequence, as the 202s of a course said."""
    return {
        call.document["request_id"]: call.document["sequence"]
        for call in view.calls
        if call.document is not None
        and call.document["course_id"] == course_id
        and call.document["sequence"] is not None
    }


def check_indexes(course_id: str, ledger: Sequence[LedgerRow]) -> Iterator[Violation]:
    """The applied index counts from 1 without a gap."""
    for expected, row in enumerate(ledger, start=1):
        if row.applied_index != expected:
            what = f"applied_index {row.applied_index} at place {expected}"
            yield Violation("index gap", course_id, (row.request_id,), what)
            return


def check_sequences(course: CourseFacts, told: Mapping[str, int]) -> Iterator[Violation]:
    """In each generation the sequence counts 1, 2, 3, … along the ledger, and a generation never comes back.

    A row that could not tell its sequence has the one its client was told; what failed and no client knows of has none.
    """
    seen: set[str | None] = set()
    last = 0
    for generation, group in groupby(_with_sequences(course.ledger, told), key=lambda one: one[0]):
        if generation in seen:
            what = f"generation {generation} goes on after another one began"
            yield Violation("generation back", course.course_id, (), what)
        rows = [(sequence, row) for _, sequence, row in group]
        restored = course.lives.get(generation or "", 1) > 1
        first = _first_after_a_restore(rows[0][0], last) if seen and restored else 1
        yield from _check_counting(course.course_id, rows, first)
        seen.add(generation)
        last = max(last, *(sequence for sequence, _ in rows))


def _first_after_a_restore(found: int, last: int) -> int:
    """Where a generation had to begin in a course whose last sequence before it is known.

    A life of Redis that begins with nothing counts every course from 1. One that began any course with another number was
    restored from a copy and counts on in all that the copy knew. The copy may be older than the ledger, so any number up
    to the next one is right; a later one means that what the copy held in between was never applied.
    """
    return min(found, last + 1)


def _with_sequences(
    ledger: Sequence[LedgerRow], told: Mapping[str, int]
) -> Iterator[tuple[str | None, int, LedgerRow]]:
    generation = next((row.generation for row in ledger if row.generation is not None), None)
    for row in ledger:
        if row.status == FAILED and row.request_id not in told:
            continue
        generation = row.generation or generation
        sequence = row.sequence if row.sequence is not None else told.get(row.request_id)
        if sequence is not None:
            yield generation, sequence, row


def _check_counting(
    course_id: str, placed: Sequence[tuple[int, LedgerRow]], first: int
) -> Iterator[Violation]:
    last = 0
    seen: set[int] = set()
    for sequence, row in placed:
        if sequence in seen:
            yield Violation("sequence repeated", course_id, (row.request_id,), f"sequence {sequence} again")
        elif sequence < last:
            what = f"sequence {sequence} was applied after {last}"
            yield Violation("out of order", course_id, (row.request_id,), what)
        seen.add(sequence)
        last = max(last, sequence)
    missing = sorted(set(range(first, last + 1)) - seen)
    if missing:
        yield Violation("sequence gap", course_id, (), f"sequences {missing[:20]} were never applied")


def check_real_time(view: ClientView, course_id: str, ledger: Sequence[LedgerRow]) -> Iterator[Violation]:
    """If A's acceptance was received before B was first sent, A comes first in the ledger."""
    first_sent, first_received = _times(view, course_id)
    place = {row.request_id: row.applied_index for row in ledger}
    arrivals = sorted((at, request_id) for request_id, at in first_received.items() if request_id in place)
    latest: tuple[int, str] = (0, "")
    waiting = iter(arrivals)
    upcoming = next(waiting, None)
    for sent_ns, request_id in sorted((at, one) for one, at in first_sent.items() if one in place):
        while upcoming is not None and upcoming[0] < sent_ns:
            latest = max(latest, (place[upcoming[1]], upcoming[1]))
            upcoming = next(waiting, None)
        if place[request_id] < latest[0]:
            what = f"applied as #{place[request_id]}, before #{latest[0]} which was accepted before this one was sent"
            yield Violation("overtaken", course_id, (latest[1], request_id), what)


def _times(view: ClientView, course_id: str) -> tuple[dict[str, int], dict[str, int]]:
    """Request -> when a call for it was first sent, and when an acceptance of it was first received.

    Calls with one key are one intention, so a request may be as old as the first of them, answered or not.
    """
    by_key: dict[tuple[str, str | None], int] = {}
    sent: dict[str, int] = {}
    received: dict[str, int] = defaultdict(lambda: 2**63)
    for call in view.calls:
        if call.course_id != course_id:
            continue
        started = by_key.setdefault((call.student_id, call.key or call.number), call.sent_ns)
        if call.document is None or call.status not in ACCEPTED_STATUSES:
            continue
        request_id = call.document["request_id"]
        sent[request_id] = min(sent.get(request_id, started), started)
        received[request_id] = min(received[request_id], call.answered_ns or 2**63)
    return sent, received
