"""A short sound story of one course, as clients, ledger and tables tell it, to plant violations in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.faults.checker.facts import Call, ClientView, CourseFacts, Document, LedgerRow, QueueFacts
from tests.faults.checker.verdict import judge

COURSE = "course-1"
START = datetime(2026, 1, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
MS = 1_000_000

# (request, student, operation, status, result, reason, reserve position, promoted)
STORY = (
    ("r1", "ann", "REGISTER", "APPLIED", "ENROLLED", None, None, None),
    ("r2", "bob", "REGISTER", "APPLIED", "RESERVED", None, 1, None),
    ("r3", "cleo", "REGISTER", "REJECTED", None, "course_full", None, None),
    ("r4", "ann", "DROP", "APPLIED", "DROPPED", None, None, "bob"),
    ("r5", "cleo", "REGISTER", "APPLIED", "RESERVED", None, 1, None),
)


def story_row(place: int) -> LedgerRow:
    """The ledger row of the story's request at this place, from 1."""
    request_id, student, operation, *outcome = STORY[place - 1]
    at = START + timedelta(seconds=place)
    return LedgerRow(
        request_id,
        COURSE,
        student,
        operation,
        "life-1",
        place,
        at,
        at,
        place,
        *outcome,  # type: ignore[arg-type]
    )


def document_of(row: LedgerRow, *, final: bool) -> Document:
    """What a client was told of a request, before or after its end."""
    told = {
        "status": row.status,
        "result": row.result,
        "reason": row.reason,
        "reserve_position": row.reserve_position,
    }
    if not final:
        told = {"status": "QUEUED", "result": None, "reason": None, "reserve_position": None}
    return {
        "request_id": row.request_id,
        "course_id": row.course_id,
        "operation": row.operation,
        "sequence": row.sequence,
        "accepted_at": row.accepted_at.isoformat() if row.accepted_at else None,
        "applied_at": row.applied_at.isoformat() if final else None,
        **told,
    }


def calls_for(row: LedgerRow) -> list[Call]:
    """Accepted, then looked at once more when it was final; each request was sent after the one before was accepted."""
    sent_ns = row.applied_index * 10 * MS
    student = row.student_id or ""
    submitted = Call(
        *(f"{row.request_id}-post", sent_ns, student, COURSE, row.operation, f"key-{row.request_id}", None),
        *(sent_ns + MS, 202, document_of(row, final=False)),
    )
    looked = Call(
        *(f"{row.request_id}-get", sent_ns + 2 * MS, student, None, None, None, row.request_id),
        *(sent_ns + 3 * MS, 200, document_of(row, final=True)),
    )
    return [submitted, looked]


class Story:
    """A story that may be spoiled before it is judged."""

    def __init__(self) -> None:
        self.rows = [story_row(place) for place in range(1, len(STORY) + 1)]
        self.calls = [call for row in self.rows for call in calls_for(row)]
        self.damaged: dict[str, int] = {}
        self.at_edges: frozenset[str] = frozenset()
        self.queues: list[QueueFacts] = [QueueFacts(COURSE, [], ready=False)]
        self.course = CourseFacts(
            *(COURSE, 1, 1, 1, 1, len(STORY), START - DAY, START + DAY),
            roster={"bob": ("ENROLLED", None), "cleo": ("RESERVED", 1)},
        )

    def found(self) -> set[str]:
        """The kinds of violations that the checker finds."""
        course = replace(self.course, ledger=self.rows)
        verdict = judge(ClientView(self.calls, self.damaged, self.at_edges), [course], self.queues)
        return {violation.kind for violation in verdict.violations}

    def change(self, place: int, **fields: object) -> None:
        """Change the ledger row at this place, from 1."""
        self.rows[place - 1] = replace(self.rows[place - 1], **fields)  # type: ignore[arg-type]

    def answer(self, status: int, text: str = "", *, sent_ms: int = 900, **call: object) -> None:
        """Add a call of ann's with this answer and no document."""
        sent_ns = sent_ms * MS
        plain = Call(
            f"{status}-{sent_ms}", sent_ns, "ann", answered_ns=sent_ns + MS, status=status, text=text
        )
        self.calls.append(replace(plain, **call))  # type: ignore[arg-type]

    def restart(self, place: int, **fields: object) -> None:
        """Give the rows from this place on to a second life of Redis."""
        for later in range(place, len(self.rows) + 1):
            self.change(later, generation="life-2", **fields)

    def call(self, number: str) -> int:
        """Where the call with this number is."""
        return next(place for place, call in enumerate(self.calls) if call.number == number)

    def retell(self, number: str, **fields: object) -> None:
        """Change what a call was answered."""
        place = self.call(number)
        told = self.calls[place].document or {}
        self.calls[place] = replace(self.calls[place], document={**told, **fields})
