"""Courses that a round must leave out, damaged or locked by somebody else: the others go on, and theirs keep their order."""

import itertools
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, event, text

from shared.rules import Status
from tests.conftest import StudentFactory
from tests.integration.conftest import Apply, QueueFactory
from tests.integration.submissions import (
    ENROLLED,
    finished_ids,
    hold_row,
    ids,
    ledger_ids,
    verdicts,
)
from worker.applying import apply_round, apply_rounds


def lose_count(connection: Connection, course_id: str) -> None:
    """The course's next index is one that its ledger has."""
    connection.execute(text("UPDATE courses SET applied_count = 0 WHERE id = :id"), {"id": course_id})


def find_count(connection: Connection, course_id: str) -> None:
    """As the runbook mends it."""
    connection.execute(
        text(
            "UPDATE courses SET applied_count ="
            " (SELECT coalesce(max(applied_index), 0) FROM registration_requests WHERE course_id = :id)"
            " WHERE id = :id"
        ),
        {"id": course_id},
    )


def reserve_by_hand(connection: Connection, course_id: str) -> None:
    """One more on the reserve list than its limit."""
    connection.execute(
        text(
            "INSERT INTO course_registrations (course_id, student_id, status, reserve_position)"
            " SELECT :id, s.id, 'RESERVED', 2 FROM students s"
            "  WHERE NOT EXISTS (SELECT 1 FROM course_registrations r"
            "                     WHERE r.course_id = :id AND r.student_id = s.id)"
            "  LIMIT 1"
        ),
        {"id": course_id},
    )


def remove_by_hand(connection: Connection, course_id: str) -> None:
    """As it was."""
    connection.execute(
        text("DELETE FROM course_registrations WHERE course_id = :id AND reserve_position = 2"),
        {"id": course_id},
    )


DAMAGES = {
    "a count below the ledger's": (lose_count, find_count, "applied_index"),
    "a reserve list above its limit": (reserve_by_hand, remove_by_hand, "reserve_never_overfilled"),
}


Damage = tuple[Callable[[Connection, str], None], Callable[[Connection, str], None], str]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_course_whose_own_rows_are_damaged_is_held_and_every_other_course_is_finished(
    damage: Damage, apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P9: what refuses even a FAILED row is no request's fault; the course waits, in order, until it is mended."""
    spoil, mend, sign = damage
    damaged, others, students = queue_of(1, 1), [queue_of(9, 0) for _ in range(3)], make_students(5)
    apply([damaged.register(student) for student in students[:2]])
    with engine.begin() as connection:
        spoil(connection, damaged.course_id)
    mine = [damaged.register(students[2]), damaged.register(students[3]), damaged.drop(students[4])]
    theirs = [queue.register(student) for queue in others for student in students]
    applied = apply([*theirs[:7], *mine, *theirs[7:]])
    assert finished_ids(applied) == ids(theirs)
    assert {outcome.status for _, outcome in applied.finished} == {Status.APPLIED}
    assert applied.held.keys() == {damaged.course_id}
    assert sign in applied.held[damaged.course_id]
    assert len(ledger_ids(engine, damaged.course_id)) == 2
    with engine.begin() as connection:
        mend(connection, damaged.course_id)
    again = apply(mine)
    assert again.held == {}
    assert ledger_ids(engine, damaged.course_id)[2:] == finished_ids(again) == ids(mine)
    assert [reason for _, reason, _ in verdicts(again)] == ["course_full", "course_full", "not_registered"]


def test_what_a_damaged_course_has_in_its_ledger_is_finished_all_the_same(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Else a head of recorded entries, left by a crash, would fill the course's part of every round for good."""
    damaged, students = queue_of(9, 0), make_students(4)
    recorded = [damaged.register(student) for student in students[:3]]
    apply(recorded)
    with engine.begin() as connection:
        lose_count(connection, damaged.course_id)
    applied = apply([*recorded, damaged.register(students[3])])
    assert finished_ids(applied) == ids(recorded)
    assert applied.held.keys() == {damaged.course_id}


def test_a_course_that_somebody_else_holds_is_left_out_while_the_others_proceed(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """A hot import or a dying worker holds up one course, not the round; nothing of it is said to be finished."""
    held, free, (ann,) = queue_of(1, 0), queue_of(1, 0), make_students(1)
    waiting, going = held.register(ann), free.register(ann)
    with engine.begin() as holder:
        hold_row(holder, held.course_id)
        assert finished_ids(apply([waiting, going])) == [going.request_id]
        assert ledger_ids(engine, held.course_id) == []
    assert verdicts(apply([waiting])) == [ENROLLED]


@pytest.mark.parametrize("held_during", range(1, 18))
def test_a_course_that_is_held_while_a_round_is_narrowed_down_keeps_its_order(
    held_during: int,
    engine: Engine,
    worker_connection: Connection,
    queue_of: QueueFactory,
    make_students: StudentFactory,
) -> None:
    """P3, rule B: whoever takes the row between two parts of a round, no later request overtakes an earlier one."""
    queue, students = queue_of(10, 0), make_students(9)
    apply_round(worker_connection, [queue.register(students[8])], "test-worker")
    broken = {2, 7}
    entries = [
        queue.register(student, **({"sequence": 1} if place in broken else {}))
        for place, student in enumerate(students[:8])
    ]
    holder, begun = engine.connect(), itertools.count(1)

    def hold_during_one_transaction(_: Connection) -> None:
        holder.rollback()
        if next(begun) == held_during:
            hold_row(holder, queue.course_id)

    event.listen(worker_connection.engine, "begin", hold_during_one_transaction)
    applied = apply_round(worker_connection, entries, "test-worker")
    holder.close()
    in_ledger = ledger_ids(engine, queue.course_id)[1:]
    assert in_ledger == ids(entries)[: len(in_ledger)]
    assert finished_ids(applied) == in_ledger


def test_of_a_course_that_is_held_during_one_round_nothing_is_applied_in_the_next(
    engine: Engine, worker_connection: Connection, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P3, rule B: its later requests do not overtake the earlier ones, and no other course waits for it."""
    held, free = queue_of(10, 0), queue_of(10, 0)
    entries = [held.register(student) for student in make_students(5)]
    others = [free.register(student) for student in make_students(2)]
    with engine.connect() as holder:
        hold_row(holder, held.course_id)
        turn = apply_rounds(worker_connection, [*entries, *others], 3, "test-worker")
        first = next(turn)
        holder.rollback()
        rest = [request_id for applied in turn for request_id in finished_ids(applied)]
    assert finished_ids(first) == []
    assert rest == ids(others)
    assert ledger_ids(engine, held.course_id) == []
