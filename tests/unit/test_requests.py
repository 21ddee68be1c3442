"""Times and documents, exact to the microsecond and to the letter."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from shared.requests import (
    Outcome,
    Place,
    bears_mark_of,
    moment,
    new_request_id,
    outcome_document,
    rfc3339,
    waiting_document,
)
from shared.rules import Operation, Reason, Result, Status

YEAR_9999_US = 253_402_300_799_999_999
FIELDS = [
    "request_id",
    "course_id",
    "operation",
    "status",
    "result",
    "reason",
    "reserve_position",
    "sequence",
    "ahead",
    "estimated_wait_ms",
    "accepted_at",
    "applied_at",
]


@given(st.integers(min_value=0, max_value=YEAR_9999_US))
def test_a_moment_keeps_every_microsecond(microseconds: int) -> None:
    """No float on the way: there and back is the same number."""
    value = moment(microseconds)
    assert (value - moment(0)) // timedelta(microseconds=1) == microseconds
    assert value.tzinfo is UTC


@given(st.integers(min_value=0, max_value=YEAR_9999_US))
def test_rfc3339_keeps_every_microsecond(microseconds: int) -> None:
    """What is written can be read back exactly, and always has six digits and a Z."""
    text = rfc3339(moment(microseconds))
    assert text is not None
    assert datetime.fromisoformat(text) == moment(microseconds)
    assert text.endswith("Z")
    assert len(text) == len("2026-09-01T08:00:00.000213Z")


def test_a_moment_is_utc() -> None:
    """One known example."""
    assert moment(1_788_249_600_000_213) == datetime(2026, 9, 1, 8, 0, 0, 213, tzinfo=UTC)


def test_rfc3339_turns_other_zones_into_utc() -> None:
    """10:00 at +02:00 is 08:00Z."""
    east = datetime(2026, 9, 1, 10, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(east) == "2026-09-01T08:00:00.000007Z"


def test_rfc3339_of_nothing_is_nothing() -> None:
    """A time not known stays null."""
    assert rfc3339(None) is None


def test_an_outcome_document_has_exactly_the_fields_of_the_contract() -> None:
    """Everything a client sees of a finished request, and nothing about other students."""
    outcome = Outcome(
        request_id="r",
        course_id="c",
        student_id="s",
        operation=Operation.REGISTER,
        generation="g",
        sequence=42,
        accepted_at=moment(1),
        applied_at=moment(2),
        applied_index=7,
        status=Status.APPLIED,
        result=Result.RESERVED,
        reason=None,
        reserve_position=3,
        promoted_student_id="other",
        worker="w",
    )
    document = json.loads(outcome_document(outcome))
    assert list(document) == FIELDS
    assert document == {
        "request_id": "r",
        "course_id": "c",
        "operation": "REGISTER",
        "status": "APPLIED",
        "result": "RESERVED",
        "reason": None,
        "reserve_position": 3,
        "sequence": 42,
        "ahead": None,
        "estimated_wait_ms": None,
        "accepted_at": "1970-01-01T00:00:00.000001Z",
        "applied_at": "1970-01-01T00:00:00.000002Z",
    }


def test_the_outcome_document_of_a_poisoned_entry_says_what_is_known() -> None:
    """Unknown parts are null, the verdict is there."""
    outcome = Outcome(
        *["r", "c", None, None, None, None, None, moment(2), 1],
        Status.FAILED,
        None,
        Reason.INTERNAL_ERROR,
        None,
        None,
        "w",
    )
    document = json.loads(outcome_document(outcome))
    assert (document["status"], document["reason"]) == ("FAILED", "internal_error")
    assert document["operation"] is document["sequence"] is document["accepted_at"] is None


def test_a_waiting_document_has_the_same_fields_and_estimates_the_wait() -> None:
    """Behind 3 others at 2 ms each, a request is done after 8 ms."""
    document = waiting_document("c", "DROP", Place("r", 9, moment(1), ahead=3, pace_us=2_000))
    assert list(document) == FIELDS
    assert (document["status"], document["ahead"], document["estimated_wait_ms"]) == ("QUEUED", 3, 8)
    assert document["applied_at"] is None


def test_a_request_id_is_a_uuid_of_version_8_that_bears_its_students_mark_alone() -> None:
    """Also when nothing but the id is left, it can be told to its student and to nobody else."""
    student, other = str(uuid4()), str(uuid4())
    ids = {new_request_id(student) for _ in range(1000)}
    assert len(ids) == 1000
    for request_id in ids:
        assert (UUID(request_id).version, UUID(request_id).variant) == (8, RFC_4122)
        assert str(UUID(request_id)) == request_id
        assert bears_mark_of(request_id, student)
        assert not bears_mark_of(request_id, other)


def test_an_id_made_elsewhere_bears_nobodys_mark() -> None:
    """Ids that a poisoned entry brought along are shown to nobody."""
    student = str(uuid4())
    assert not any(bears_mark_of(str(uuid4()), student) for _ in range(1000))
