"""The rules, held against a naive model and against examples one by one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rules import Decision, Operation, Reason, Result, Roster, Status, Window, decide
from tests.reference_model import Answer, ReferenceCourse

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
WINDOW = Window(NOON, NOON + timedelta(hours=1))
INSIDE = NOON + timedelta(minutes=1)
STUDENTS = [f"student-{number}" for number in range(7)]

moments = st.sampled_from(
    [
        NOON - MICROSECOND,
        NOON,
        INSIDE,
        INSIDE,
        INSIDE,
        INSIDE,
        WINDOW.closes_at - MICROSECOND,
        WINDOW.closes_at,
    ]
)
requests = st.lists(
    st.tuples(st.sampled_from(Operation), st.sampled_from(STUDENTS), moments), min_size=1, max_size=60
)
limits = st.integers(min_value=0, max_value=4)


def as_answer(decision: Decision) -> Answer:
    """A decision in the words of the reference model."""
    return Answer(
        decision.status, decision.result, decision.reason, decision.reserve_position, decision.promoted
    )


def ask(roster: Roster, operation: Operation, student: str, at: datetime = INSIDE) -> Decision:
    """Decide and carry out, as the worker does."""
    decision = decide(roster, WINDOW, operation, student, at)
    roster.apply(student, decision)
    return decision


@given(capacity=limits, reserve_limit=limits, asked=requests)
def test_any_sequence_of_requests_ends_as_in_the_reference_model(
    capacity: int, reserve_limit: int, asked: list[tuple[Operation, str, datetime]]
) -> None:
    """Every decision and every roster is the one that a naive second writing of the rules comes to."""
    roster = Roster(capacity, reserve_limit)
    reference = ReferenceCourse(capacity, reserve_limit, WINDOW.opens_at, WINDOW.closes_at)
    for operation, student, at in asked:
        assert as_answer(ask(roster, operation, student, at)) == reference.ask(operation, student, at)
        assert roster.enrolled == set(reference.enrolled)
        assert roster.reserve == reference.reserve


@given(capacity=limits, reserve_limit=limits, asked=requests)
def test_no_sequence_of_requests_oversells_or_leaves_a_seat_free_while_somebody_waits(
    capacity: int, reserve_limit: int, asked: list[tuple[Operation, str, datetime]]
) -> None:
    """P1 and P10 hold after every single request, and nobody has two places."""
    roster = Roster(capacity, reserve_limit)
    for operation, student, at in asked:
        decision = ask(roster, operation, student, at)
        assert roster.enrolled_count == len(roster.enrolled) <= capacity
        assert len(roster.reserve) <= reserve_limit
        assert not roster.reserve or roster.enrolled_count == capacity
        assert len({*roster.enrolled, *roster.reserve}) == len(roster.enrolled) + len(roster.reserve)
        if decision.result is Result.RESERVED:
            assert roster.reserve.index(student) + 1 == decision.reserve_position == len(roster.reserve)


@given(capacity=limits, reserve_limit=limits, asked=requests, last=st.sampled_from(STUDENTS), at=moments)
def test_a_decision_depends_only_on_what_the_worker_reads_of_the_roster(
    capacity: int, reserve_limit: int, asked: list[tuple[Operation, str, datetime]], last: str, at: datetime
) -> None:
    """`enrolled` may name just the enrolled among those who ask: all others only count."""
    full = Roster(capacity, reserve_limit)
    for operation, student, moment in asked:
        ask(full, operation, student, moment)
    partial = Roster(capacity, reserve_limit, full.enrolled_count, full.enrolled & {last}, list(full.reserve))
    for operation in Operation:
        assert decide(partial, WINDOW, operation, last, at) == decide(full, WINDOW, operation, last, at)


def test_a_free_seat_goes_to_whoever_asks() -> None:
    """With a seat free, registering enrols."""
    assert ask(Roster(1, 0), Operation.REGISTER, "ann") == Decision(Status.APPLIED, Result.ENROLLED)


def test_without_a_seat_a_student_waits_at_the_end_of_the_reserve_list() -> None:
    """Registering in a full course reserves, at the next position."""
    roster = Roster(1, 2, 1, {"ann"}, ["ben"])
    expected = Decision(Status.APPLIED, Result.RESERVED, reserve_position=2)
    assert ask(roster, Operation.REGISTER, "cem") == expected
    assert roster.reserve == ["ben", "cem"]


def test_with_seats_and_reserve_list_full_a_student_is_refused() -> None:
    """course_full."""
    roster = Roster(1, 1, 1, {"ann"}, ["ben"])
    assert ask(roster, Operation.REGISTER, "cem") == Decision(Status.REJECTED, reason=Reason.COURSE_FULL)


@pytest.mark.parametrize("student", ["ann", "ben"])
def test_a_student_with_a_place_cannot_take_another(student: str) -> None:
    """already_registered, for the enrolled and for the reserved, and even when the course is full."""
    roster = Roster(1, 1, 1, {"ann"}, ["ben"])
    expected = Decision(Status.REJECTED, reason=Reason.ALREADY_REGISTERED)
    assert ask(roster, Operation.REGISTER, student) == expected


def test_a_student_without_a_place_cannot_drop_one() -> None:
    """not_registered."""
    expected = Decision(Status.REJECTED, reason=Reason.NOT_REGISTERED)
    assert ask(Roster(1, 1), Operation.DROP, "ann") == expected


def test_dropping_an_enrolled_student_promotes_the_head_of_the_reserve_list() -> None:
    """P10: the seat changes hands within the one decision."""
    roster = Roster(1, 2, 1, {"ann"}, ["ben", "cem"])
    assert ask(roster, Operation.DROP, "ann") == Decision(Status.APPLIED, Result.DROPPED, promoted="ben")
    assert (roster.enrolled, roster.enrolled_count, roster.reserve) == ({"ben"}, 1, ["cem"])


def test_dropping_a_reserved_student_promotes_nobody() -> None:
    """Those behind move up on the reserve list, none gets a seat."""
    roster = Roster(1, 3, 1, {"ann"}, ["ben", "cem", "dua"])
    assert ask(roster, Operation.DROP, "cem") == Decision(Status.APPLIED, Result.DROPPED)
    assert (roster.enrolled, roster.reserve) == ({"ann"}, ["ben", "dua"])


def test_dropping_with_an_empty_reserve_list_frees_the_seat() -> None:
    """Nobody is promoted, and the next student is enrolled."""
    roster = Roster(1, 1, 1, {"ann"})
    assert ask(roster, Operation.DROP, "ann") == Decision(Status.APPLIED, Result.DROPPED)
    assert ask(roster, Operation.REGISTER, "ben").result is Result.ENROLLED


def test_a_course_without_seats_and_reserve_list_refuses_everybody() -> None:
    """Zero means zero."""
    assert ask(Roster(0, 0), Operation.REGISTER, "ann").reason is Reason.COURSE_FULL


def test_a_course_without_seats_can_still_have_a_reserve_list() -> None:
    """Capacity 0, reserve limit 1: the first waits, the second is refused."""
    roster = Roster(0, 1)
    assert ask(roster, Operation.REGISTER, "ann").reserve_position == 1
    assert ask(roster, Operation.REGISTER, "ben").reason is Reason.COURSE_FULL


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    ("accepted_at", "reason"),
    [
        (WINDOW.opens_at - MICROSECOND, Reason.REGISTRATION_NOT_OPEN),
        (WINDOW.opens_at, None),
        (WINDOW.closes_at - MICROSECOND, None),
        (WINDOW.closes_at, Reason.REGISTRATION_CLOSED),
    ],
)
def test_the_window_includes_its_first_microsecond_and_excludes_its_end(
    accepted_at: datetime, reason: Reason | None, operation: Operation
) -> None:
    """Both operations are refused outside [opens_at, closes_at), to the microsecond, and leave the roster alone."""
    roster = Roster(1, 1, 1, {"ann"}, ["ben"])
    student = "ann" if operation is Operation.DROP else "cem"
    decision = ask(roster, operation, student, accepted_at)
    assert (decision.reason in {Reason.REGISTRATION_NOT_OPEN, Reason.REGISTRATION_CLOSED}) == bool(reason)
    if reason is not None:
        assert decision == Decision(Status.REJECTED, reason=reason)
        assert (roster.enrolled, roster.reserve) == ({"ann"}, ["ben"])


def test_the_window_compares_moments_whatever_their_zone() -> None:
    """14:00 at +02:00 is noon in UTC, so it is inside."""
    accepted_at = NOON.astimezone(timezone(timedelta(hours=2)))
    assert WINDOW.refusal(accepted_at) is None
