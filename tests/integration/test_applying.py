"""A round on real tables: in order, exactly once, and never stuck on one bad request."""

import itertools
import random

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from shared.requests import QueueEntry
from shared.rules import Window
from tests.conftest import OPEN_WINDOW, CourseFactory, StudentFactory
from tests.integration.conftest import Apply, QueueFactory
from tests.integration.submissions import (
    DROP,
    ENROLLED,
    FIRST_ACCEPTED_AT,
    REGISTER,
    QueueOf,
    counts_of,
    finished_ids,
    ids,
    ledger_ids,
    ledger_of,
    roster_of,
    verdicts,
)
from tests.reference_model import ReferenceCourse
from worker.applying import apply_round, apply_rounds

DROPPED = ("APPLIED", "DROPPED", None)


def test_requests_are_applied_in_the_order_of_their_queue(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P3: the first gets the seat, the next wait in order, the last is refused; the ledger keeps that order."""
    queue, students = queue_of(1, 2), make_students(4)
    entries = [queue.register(student) for student in students]
    applied = apply(entries)
    assert verdicts(applied) == [
        ENROLLED,
        ("APPLIED", "RESERVED", 1),
        ("APPLIED", "RESERVED", 2),
        ("REJECTED", "course_full", None),
    ]
    assert ledger_ids(engine, queue.course_id) == ids(entries)
    assert [row.applied_index for row in ledger_of(engine, queue.course_id)] == [1, 2, 3, 4]
    assert counts_of(engine, queue.course_id) == (1, 2, 4)


def test_a_ledger_row_tells_everything_about_its_request(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P11: who asked what, when, in which place, and what came of it by whom."""
    queue, (student,) = queue_of(1, 0), make_students(1)
    entry = queue.register(student)
    ((_, outcome),) = apply([entry]).finished
    (row,) = ledger_of(engine, queue.course_id)
    assert (str(row.request_id), str(row.student_id), str(row.generation)) == (
        entry.request_id,
        student,
        queue.generation,
    )
    assert (row.operation, row.sequence, row.accepted_at) == ("REGISTER", 1, entry.accepted_at)
    assert (row.status, row.result, row.reason, row.worker) == ("APPLIED", "ENROLLED", None, "test-worker")
    assert row.applied_at == outcome.applied_at


def test_the_same_batch_applied_twice_changes_nothing_and_has_the_same_outcomes(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P4: after a crash between commit and removal, the head is simply applied again."""
    queue, (ann, ben) = queue_of(1, 1), make_students(2)
    entries = [queue.register(ann), queue.register(ben), queue.drop(ann), queue.register(ann)]
    first = apply(entries)
    before = roster_of(engine, queue.course_id), counts_of(engine, queue.course_id)
    second = apply(entries)
    assert second.finished == first.finished
    assert ledger_ids(engine, queue.course_id) == ids(entries)
    assert (roster_of(engine, queue.course_id), counts_of(engine, queue.course_id)) == before


def test_a_batch_that_overlaps_an_applied_one_applies_only_what_is_new(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P4: the new owner's head may begin with what the old owner had committed."""
    queue, students = queue_of(2, 0), make_students(3)
    entries = [queue.register(student) for student in students]
    apply(entries[:2])
    applied = apply(entries)
    assert verdicts(applied) == [ENROLLED, ENROLLED, ("REJECTED", "course_full", None)]
    assert ledger_ids(engine, queue.course_id) == ids(entries)


def test_a_request_that_stands_twice_in_a_batch_is_applied_once(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P4: both places have the one outcome, so both are taken off."""
    queue, (student,) = queue_of(2, 0), make_students(1)
    entry = queue.register(student)
    applied = apply([entry, entry])
    assert verdicts(applied) == [ENROLLED, ENROLLED]
    assert ledger_ids(engine, queue.course_id) == [entry.request_id]
    assert counts_of(engine, queue.course_id) == (1, 0, 1)


def test_register_drop_register_of_one_student_in_one_batch_ends_enrolled(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Three requests, three outcomes, one registration."""
    queue, (student,) = queue_of(1, 0), make_students(1)
    applied = apply([queue.register(student), queue.drop(student), queue.register(student)])
    assert verdicts(applied) == [ENROLLED, DROPPED, ENROLLED]
    assert roster_of(engine, queue.course_id) == {student: ("ENROLLED", None)}


def test_dropping_an_enrolled_student_promotes_the_head_of_the_reserve_list(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P10: in one transaction the seat changes hands, the others move up, and the ledger says who was promoted."""
    queue, (ann, ben, cem, dua) = queue_of(1, 3), make_students(4)
    apply([queue.register(student) for student in (ann, ben, cem, dua)])
    ((_, outcome),) = apply([queue.drop(ann)]).finished
    assert outcome.promoted_student_id == ben
    assert roster_of(engine, queue.course_id) == {
        ben: ("ENROLLED", None),
        cem: ("RESERVED", 1),
        dua: ("RESERVED", 2),
    }
    assert counts_of(engine, queue.course_id) == (1, 2, 5)


def test_dropping_a_reserved_student_closes_the_gap(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Positions stay 1 to n, without one missing."""
    queue, (ann, ben, cem, dua) = queue_of(1, 3), make_students(4)
    apply([queue.register(student) for student in (ann, ben, cem, dua)])
    assert verdicts(apply([queue.drop(cem)])) == [DROPPED]
    assert roster_of(engine, queue.course_id) == {
        ann: ("ENROLLED", None),
        ben: ("RESERVED", 1),
        dua: ("RESERVED", 2),
    }


def test_no_other_transaction_ever_sees_a_drop_without_its_promotion(
    engine: Engine, worker_connection: Connection, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P10: until the commit the old roster stands; with it the new one does."""
    queue, (ann, ben) = queue_of(1, 1), make_students(2)
    apply_round(worker_connection, [queue.register(ann), queue.register(ben)], "test-worker")
    seen: list[dict[str, tuple[str, int | None]]] = []
    event.listen(
        worker_connection, "after_cursor_execute", lambda *_: seen.append(roster_of(engine, queue.course_id))
    )
    apply_round(worker_connection, [queue.drop(ann)], "test-worker")
    before = {ann: ("ENROLLED", None), ben: ("RESERVED", 1)}
    assert len(seen) > 4
    assert all(roster == before for roster in seen)
    assert roster_of(engine, queue.course_id) == {ben: ("ENROLLED", None)}


def test_the_window_is_judged_by_when_a_request_was_accepted(
    apply: Apply, make_course: CourseFactory, make_students: StudentFactory
) -> None:
    """However late the worker gets to it."""
    window = Window(FIRST_ACCEPTED_AT, FIRST_ACCEPTED_AT.replace(second=1))
    queue, students = QueueOf(make_course(5, 0, window)), make_students(3)
    times = [window.opens_at.replace(year=2025), window.opens_at, window.closes_at]
    entries = [queue.register(student, accepted_at=at) for student, at in zip(students, times, strict=True)]
    assert verdicts(apply(entries)) == [
        ("REJECTED", "registration_not_open", None),
        ENROLLED,
        ("REJECTED", "registration_closed", None),
    ]


def test_entries_in_several_rounds_are_applied_in_order(
    engine: Engine, worker_connection: Connection, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P3: none has more entries than its size, and each is committed before the next is begun."""
    queue = queue_of(10, 0)
    entries = [queue.register(student) for student in make_students(7)]
    committed = []
    for applied in apply_rounds(worker_connection, entries, 3, "test-worker"):
        assert ledger_ids(engine, queue.course_id) == [*committed, *finished_ids(applied)]
        committed += finished_ids(applied)
    assert committed == ids(entries)


def test_a_database_that_goes_away_ends_no_request(
    engine: Engine, worker_connection: Connection, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """A cut connection is nobody's fault: the round raises, the ledger stays empty, a later try applies it."""
    queue, (ann,) = queue_of(1, 0), make_students(1)
    entry = queue.register(ann)
    victim = worker_connection.scalar(text("SELECT pg_backend_pid()"))
    worker_connection.rollback()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
    with pytest.raises(SQLAlchemyError):
        apply_round(worker_connection, [entry], "test-worker")
    assert ledger_ids(engine, queue.course_id) == []
    worker_connection.rollback()
    assert verdicts(apply_round(worker_connection, [entry], "test-worker")) == [ENROLLED]


def test_a_database_that_cannot_write_for_a_moment_ends_no_request(
    engine: Engine, worker_connection: Connection, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """During a fail-over the old primary is read-only: that is no request's fault, however short it lasts."""
    queue, (ann,) = queue_of(1, 0), make_students(1)
    worker_connection.execute(text("SET default_transaction_read_only = on"))
    worker_connection.commit()

    begun = itertools.count(1)

    def write_again(connection: Connection) -> None:
        if next(begun) > 1:
            with connection.connection.cursor() as cursor:
                cursor.execute("SET transaction_read_only = off")

    event.listen(worker_connection.engine, "begin", write_again)
    with pytest.raises(SQLAlchemyError, match="read-only"):
        apply_round(worker_connection, [queue.register(ann)], "test-worker")
    assert ledger_ids(engine, queue.course_id) == []


def test_a_lost_reply_to_the_commit_is_settled_by_the_ledger(
    engine: Engine, worker_connection: Connection, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P4: the commit took effect, the worker heard an error; the same head again has the same outcome."""
    queue, (ann,) = queue_of(1, 0), make_students(1)
    entry = queue.register(ann)
    apply_round(worker_connection, [entry], "dead-worker")
    ((_, outcome),) = apply_round(worker_connection, [entry], "test-worker").finished
    assert outcome.worker == "dead-worker"
    assert ledger_ids(engine, queue.course_id) == [entry.request_id]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_large_mixed_rounds_end_as_in_the_reference_model(
    seed: int, apply: Apply, engine: Engine, make_course: CourseFactory, make_students: StudentFactory
) -> None:
    """P1, P3, P4, P10 together: six courses, 1,200 requests in rounds of random size with repeats, every row compared."""
    draw = random.Random(seed)
    students = make_students(25)
    limits = [(draw.randrange(6), draw.randrange(6)) for _ in range(6)]
    queues = [QueueOf(make_course(*pair)) for pair in limits]
    models = [ReferenceCourse(*pair, OPEN_WINDOW.opens_at, OPEN_WINDOW.closes_at) for pair in limits]
    waiting: list[list[QueueEntry]] = [[] for _ in queues]
    expected = {}
    for _ in range(1_200):
        course = draw.randrange(len(queues))
        operation, student = draw.choice([REGISTER, REGISTER, DROP]), draw.choice(students)
        entry = queues[course].entry(operation, student)
        waiting[course].append(entry)
        expected[entry.request_id] = models[course].ask(operation, student, entry.accepted_at)
    while any(waiting):
        heads = [queue[: draw.randrange(1, 120)] for queue in waiting]
        for entry, outcome in apply([entry for head in heads for entry in head]).finished:
            assert expected[entry.request_id] == (
                outcome.status,
                outcome.result,
                outcome.reason,
                outcome.reserve_position,
                outcome.promoted_student_id,
            )
        # Sometimes the removal is lost, and the next round begins with what this one had done.
        waiting = [queue[draw.randrange(len(head) + 1) :] for queue, head in zip(waiting, heads, strict=True)]
    for queue, model in zip(queues, models, strict=True):
        assert roster_of(engine, queue.course_id) == model.rows()
        applied = ledger_of(engine, queue.course_id)
        assert [row.sequence for row in applied] == list(range(1, len(applied) + 1))
        assert counts_of(engine, queue.course_id) == (len(model.enrolled), len(model.reserve), len(applied))
