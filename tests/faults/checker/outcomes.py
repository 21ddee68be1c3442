"""What clients were told: every 202 ended exactly once, and nothing they saw changed, vanished or went back."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from tests.faults.checker.facts import (
    ACCEPTED_STATUSES,
    FAILED,
    QUEUED,
    Call,
    ClientView,
    Document,
    LedgerRow,
    Violation,
)

# `Come back later` is an honest answer to any call.
TRY_AGAIN = (429, 503)
# After these, and after no answer at all, a submission may have been accepted.
UNKNOWN_STATUSES = (None, 503)
WINDOW_REASONS = ("registration_not_open", "registration_closed")
TIMES = ("accepted_at", "applied_at")
TOLD = ("course_id", "operation", "status", "result", "reason", "reserve_position", "sequence", *TIMES)


def check_outcomes(view: ClientView, ledger: Sequence[LedgerRow]) -> list[Violation]:
    """Everything that clients can hold against the system. `ledger` holds every course that they used."""
    return [
        *check_each_ended_once(view, ledger),
        *check_nothing_unasked(view, ledger),
        *check_keys(view),
        *check_answers(view),
        *check_finals(view, ledger),
        *check_never_back(view),
    ]


def documents_of(view: ClientView) -> dict[str, list[tuple[Call, Document]]]:
    """Request -> every answer that showed it, in the order of sending."""
    found: dict[str, list[tuple[Call, Document]]] = defaultdict(list)
    for call in view.calls:
        if call.document is not None:
            found[call.document["request_id"]].append((call, call.document))
    return found


def check_each_ended_once(view: ClientView, ledger: Sequence[LedgerRow]) -> Iterator[Violation]:
    """Every accepted request has one row, and a row FAILED only where a test destroyed the request."""
    rows = Counter(row.request_id for row in ledger)
    failed = {row.request_id for row in ledger if row.status == FAILED}
    for request_id, shown in documents_of(view).items():
        course_id = shown[0][1]["course_id"]
        if rows[request_id] == 0:
            yield Violation("lost", course_id, (request_id,), "accepted, but the ledger has no row")
        if rows[request_id] > 1:
            what = f"{rows[request_id]} rows in the ledger"
            yield Violation("applied twice", course_id, (request_id,), what)
        if request_id in failed and request_id not in view.damaged:
            yield Violation("failed", course_id, (request_id,), "a sound request ended as FAILED")


def check_nothing_unasked(view: ClientView, ledger: Sequence[LedgerRow]) -> Iterator[Violation]:
    """A row that no client knows must be a submission whose answer was lost for good; there are as many of those at most.

    What failed was perhaps no client's at all: a poisoned entry changes nothing and is nobody's.
    """
    known = documents_of(view)
    in_doubt = submissions_in_doubt(view)
    for row in ledger:
        if row.request_id in known or row.status == FAILED:
            continue
        asked = (row.course_id, row.student_id, row.operation)
        if in_doubt[asked] == 0:
            yield Violation(
                "unasked", row.course_id, (row.request_id,), "applied, but no client asked for it"
            )
        in_doubt[asked] -= 1


def submissions_in_doubt(view: ClientView) -> Counter[tuple[str | None, str, str | None]]:
    """(course, student, operation) -> how many submissions may have been accepted without their client knowing.

    Calls with one key are one submission. As soon as one of them tells the request, it is the request of them all, so
    that a second one behind it would be a repeat that was not recognised.
    """
    answered = requests_by_key(view)
    return Counter(
        asked
        for asked, place in {
            ((call.course_id, call.student_id, call.operation), (call.student_id, call.key or call.number))
            for call in view.calls
            if call.course_id is not None and call.status in UNKNOWN_STATUSES
        }
        if place not in answered
    )


def check_keys(view: ClientView) -> Iterator[Violation]:
    """However often a call was repeated, one student's key stands for one request."""
    requests: dict[tuple[str, str], set[str]] = defaultdict(set)
    courses: dict[tuple[str, str], str | None] = {}
    for call in view.calls:
        if call.key and call.document is not None:
            requests[call.student_id, call.key].add(call.document["request_id"])
            courses[call.student_id, call.key] = call.course_id
    for place, found in requests.items():
        if len(found) > 1:
            what = f"one Idempotency-Key ({place[1]}) became {len(found)} requests"
            yield Violation("key split", courses[place], tuple(sorted(found)), what)


def check_answers(view: ClientView) -> Iterator[Violation]:
    """After its 202 a request is never 404, also not to who repeats it, and nothing else unexpected is ever answered."""
    shown, by_key = documents_of(view), requests_by_key(view)
    for call in view.calls:
        if call.status is None or call.status in (*ACCEPTED_STATUSES, *TRY_AGAIN):
            continue
        request_id = call.asked_id or by_key.get((call.student_id, call.key))
        known = shown.get(request_id, []) if request_id else []
        if _refused_at_an_edge(call, known, view) or _unreadable(call, request_id, known, view):
            continue
        ids = (request_id,) if request_id else ()
        what = f"answered {call.status} {call.text[:200]}"
        if call.status == 404 and any(_answered_before(call, earlier) for earlier, _ in known):
            yield Violation("vanished", call.course_id, ids, what)
        else:
            yield Violation("unexpected answer", call.course_id, ids, what)


def requests_by_key(view: ClientView) -> dict[tuple[str, str | None], str]:
    """(student, key) -> the request that the key was seen to stand for."""
    return {
        (call.student_id, call.key): call.document["request_id"]
        for call in view.calls
        if call.key and call.document is not None
    }


def _answered_before(call: Call, earlier: Call) -> bool:
    return earlier.answered_ns is not None and earlier.answered_ns < call.sent_ns


def _refused_at_an_edge(call: Call, known: Sequence[tuple[Call, Document]], view: ClientView) -> bool:
    """An API whose clock was put on the wrong side of the window's edge may say that it is closed, and nothing else.

    Not to a repeat, though: what was accepted is found by its key, whatever the clock says.
    """
    return (
        call.status == 409
        and call.course_id in view.at_edges
        and any(reason in call.text for reason in WINDOW_REASONS)
        and not any(_answered_before(call, earlier) for earlier, _ in known)
    )


def _unreadable(
    call: Call, request_id: str | None, known: Sequence[tuple[Call, Document]], view: ClientView
) -> bool:
    """A request that a test destroyed may be unknown from then until somebody was told that it failed."""
    if call.status != 404 or request_id not in view.damaged:
        return False
    ended = any(
        document["status"] != QUEUED and _answered_before(call, earlier) for earlier, document in known
    )
    return (call.answered_ns or 0) > view.damaged[request_id] and not ended


def check_finals(view: ClientView, ledger: Sequence[LedgerRow]) -> Iterator[Violation]:
    """What a client was told once is what everybody is told for good, and what the ledger says."""
    rows = {row.request_id: row for row in ledger}
    for request_id, shown in documents_of(view).items():
        finals = [document for _, document in shown if document["status"] != QUEUED]
        course_id = shown[0][1]["course_id"]
        if any(final != finals[0] for final in finals):
            what = _differing(finals)
            yield Violation("final changed", course_id, (request_id,), what)
        if request_id in rows:
            for what in _disagreements([document for _, document in shown], rows[request_id]):
                yield Violation("told otherwise", course_id, (request_id,), what)


def check_never_back(view: ClientView) -> Iterator[Violation]:
    """Whoever asks after somebody was told the final status is not told that the request still waits."""
    for request_id, shown in documents_of(view).items():
        told_at = min(
            (call.answered_ns or 0 for call, document in shown if document["status"] != QUEUED), default=None
        )
        for call, document in shown:
            if told_at is not None and document["status"] == QUEUED and call.sent_ns > told_at:
                what = "shown as QUEUED to a call sent after its final status was told"
                yield Violation("went back", document["course_id"], (request_id,), what)
                break


def _differing(finals: Sequence[Document]) -> str:
    fields = sorted(name for name in finals[0] if any(final[name] != finals[0][name] for final in finals))
    seen = [[final[name] for name in fields] for final in finals]
    return f"{', '.join(fields)} was told as {seen}"


def _disagreements(documents: Iterable[Document], row: LedgerRow) -> Iterator[str]:
    """Final answers must agree with the row in everything, earlier ones in what they say of its place."""
    seen: set[str] = set()
    for document in documents:
        names = (
            TOLD if document["status"] != QUEUED else ("course_id", "operation", "sequence", "accepted_at")
        )
        for name in names:
            told, recorded = _comparable(name, document[name]), getattr(row, name)
            # What was destroyed can no longer tell its place.
            if told != recorded and not (row.status == FAILED and recorded is None) and name not in seen:
                seen.add(name)
                yield f"{name} was told as {told}, the ledger says {recorded}"


def _comparable(name: str, value: object) -> object:
    if name in TIMES and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return value
