"""What cannot be applied ends as FAILED at its own place, alone, whatever else is in its round."""

from uuid import uuid4

from sqlalchemy import Engine, text

from shared.requests import QueueEntry
from tests.conftest import StudentFactory
from tests.integration.conftest import Apply, QueueFactory
from tests.integration.submissions import (
    ENROLLED,
    FAILED,
    QueueOf,
    finished_ids,
    ids,
    ledger_ids,
    ledger_of,
    roster_of,
    verdicts,
)


def test_a_request_for_an_unknown_course_fails_in_its_ledger_row(apply: Apply, engine: Engine) -> None:
    """P9: it gets an outcome, and so do the next ones of that queue."""
    queue = QueueOf(str(uuid4()))
    entries = [queue.register(str(uuid4())), queue.drop(str(uuid4()))]
    applied = apply(entries)
    assert verdicts(applied) == [FAILED, FAILED]
    assert set(applied.problems.values()) == {"its course does not exist"}
    assert verdicts(apply([queue.poisoned()])) == [FAILED]
    assert [row.applied_index for row in ledger_of(engine, queue.course_id)] == [1, 2, 3]


def test_a_request_of_an_unknown_student_fails_and_the_others_do_not(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P9: a token outlives its student; the seat goes to the next."""
    queue, (student,) = queue_of(1, 0), make_students(1)
    entries = [queue.register(str(uuid4())), queue.register(student)]
    applied = apply(entries)
    assert verdicts(applied) == [FAILED, ENROLLED]
    assert applied.problems == {entries[0].request_id: "its student does not exist"}
    assert roster_of(engine, queue.course_id) == {student: ("ENROLLED", None)}


def test_a_poisoned_entry_fails_at_its_own_place(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P9: before and after it the queue goes on as if it were not there."""
    queue, (ann, ben) = queue_of(1, 1), make_students(2)
    entries: list[QueueEntry] = [queue.poisoned(), queue.register(ann), queue.poisoned(), queue.register(ben)]
    applied = apply(entries)
    assert verdicts(applied) == [FAILED, ENROLLED, FAILED, ("APPLIED", "RESERVED", 1)]
    assert ledger_ids(engine, queue.course_id) == ids(entries)
    assert set(applied.problems) == {entries[0].request_id, entries[2].request_id}


def test_a_broken_constraint_is_narrowed_down_to_the_one_request_that_breaks_it(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P9: one sequence is in the ledger already; that request fails, every other of the round is applied in order."""
    queue, other, students = queue_of(10, 0), queue_of(10, 0), make_students(8)
    apply([queue.register(students[7])])
    entries = [queue.register(student) for student in students[:3]]
    entries.append(queue.register(students[3], sequence=1))
    entries += [queue.register(student) for student in students[4:6]]
    others = [other.register(student) for student in students]
    applied = apply([*others[:4], *entries, *others[4:]])
    assert finished_ids(applied) == ids([*others[:4], *entries, *others[4:]])
    assert [verdict for verdict in verdicts(applied) if verdict != ENROLLED] == [FAILED]
    assert list(applied.problems) == [entries[3].request_id]
    assert "UniqueViolation" in applied.problems[entries[3].request_id]
    assert ledger_ids(engine, queue.course_id)[1:] == ids(entries)
    assert ledger_ids(engine, other.course_id) == ids(others)
    assert [row.applied_index for row in ledger_of(engine, queue.course_id)] == list(range(1, 8))


def test_the_problem_of_a_failed_request_names_no_other_student(
    apply: Apply, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """What goes to logs and dashboard is the error, not the statement's parameters."""
    queue, (ann, ben) = queue_of(10, 0), make_students(2)
    apply([queue.register(ann)])
    bad = queue.register(ben, sequence=1)
    (problem,) = apply([queue.register(ann), bad]).problems.values()
    assert ann not in problem
    assert len(problem) <= 500


def test_a_failed_request_keeps_its_student_in_the_ledger_where_that_can_be_written(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P7: the student can still find the request; only what breaks the row is left out."""
    queue, (ann,) = queue_of(1, 0), make_students(1)
    entry = queue.register(ann)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO course_registrations (course_id, student_id, status)"
                " VALUES (:course, :student, 'ENROLLED')"
            ),
            {"course": queue.course_id, "student": ann},
        )
        connection.execute(
            text("UPDATE courses SET max_capacity = 0 WHERE id = :id"), {"id": queue.course_id}
        )
    apply([entry])
    (row,) = ledger_of(engine, queue.course_id)
    assert str(row.student_id) == ann


def test_counts_that_cannot_be_are_refused_by_the_database_and_fail_that_request_alone(
    apply: Apply, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P1 holds with a tampered count that a FAILED row leaves as it is: the CHECK refuses, that request fails alone."""
    queue, other, (ann, ben) = queue_of(1, 1), queue_of(1, 1), make_students(2)
    apply([queue.register(ann)])
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE courses SET enrolled_count = 0 WHERE id = :id"), {"id": queue.course_id}
        )
    applied = apply([queue.drop(ann), other.register(ben)])
    assert verdicts(applied) == [FAILED, ENROLLED]
    assert "never_oversold" in applied.problems[applied.finished[0][0].request_id]
