"""Two workers at one course at the same time: the row lock decides, and without it the seats are oversold."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import ExceptionContext

from shared.database import owner_engine
from shared.requests import QueueEntry
from shared.settings import Settings
from tests.conftest import StudentFactory
from tests.integration.conftest import QueueFactory
from tests.integration.submissions import counts_of, finished_ids, ids, ledger_ids, ledger_of, roster_of
from worker.applying import AppliedRound, apply_round

WORKERS = 2
ROUNDS = 40
LIMIT_S = 60


@pytest.fixture
def racing_engine(settings: Settings, engine: Engine) -> Engine:
    """Sessions of workers, whose server waits longer than a loaded machine may stall."""
    return owner_engine(settings.model_copy(update={"session_timeout_ms": 60_000}), "racer")


def race(count: int, run: Callable[[int], None]) -> None:
    """Run in that many threads from one start signal; raises what any of them raised."""
    start, problems = threading.Barrier(count), []

    def racer(number: int) -> None:
        start.wait(LIMIT_S)
        try:
            run(number)
        except Exception as problem:  # noqa: BLE001 - the main thread raises it
            problems.append(problem)

    threads = [threading.Thread(target=racer, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    if problems:
        raise problems[0]


def work_off(connection: Connection, entries: Sequence[QueueEntry], size: int) -> Iterator[AppliedRound]:
    """Apply the queue from its head, as a worker that believes it is the only one."""
    waiting = list(entries)
    while waiting:
        applied = apply_round(connection, waiting[:size], "racer")
        yield applied
        done = {entry.request_id for entry, _ in applied.finished}
        waiting = [entry for entry in waiting if entry.request_id not in done]


@pytest.mark.parametrize("sizes", [(7, 7), (5, 11), (1, 40)])
def test_two_workers_on_the_same_queue_apply_each_request_once_and_in_order(
    sizes: tuple[int, int],
    racing_engine: Engine,
    engine: Engine,
    queue_of: QueueFactory,
    make_students: StudentFactory,
) -> None:
    """P1, P3, P4, P5: safety does not depend on ownership; both see the same outcomes."""
    students = make_students(60)
    queue = queue_of(10, 5)
    entries = [queue.register(student) for student in students]
    entries += [queue.drop(student) for student in students[:20]]
    outcomes: list[dict[str, object]] = [{}, {}]
    errors = errors_of(racing_engine)

    def work(number: int) -> None:
        with racing_engine.connect() as connection:
            for applied in work_off(connection, entries, sizes[number]):
                outcomes[number] |= {entry.request_id: outcome for entry, outcome in applied.finished}

    race(WORKERS, work)
    assert ledger_ids(engine, queue.course_id) == ids(entries)
    assert [row.applied_index for row in ledger_of(engine, queue.course_id)] == list(range(1, 81))
    assert outcomes[0] == outcomes[1]
    assert errors == []
    roster = roster_of(engine, queue.course_id)
    enrolled = [student for student, (status, _) in roster.items() if status == "ENROLLED"]
    assert counts_of(engine, queue.course_id) == (len(enrolled), len(roster) - len(enrolled), 80)
    assert len(enrolled) <= 10


def test_what_another_worker_commits_just_before_the_lock_is_seen_after_it(
    racing_engine: Engine, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Rule B: the ledger is read in a later statement than the lock, so no commit can slip in between unseen."""
    queue, errors = queue_of(10, 0), errors_of(racing_engine)
    entries = [queue.register(student) for student in make_students(6)]
    with racing_engine.connect() as first, racing_engine.connect() as second:
        others: list[AppliedRound] = []

        def let_the_other_go_first(*statement: Any) -> None:
            if "FOR UPDATE" in statement[2] and not others:
                others.append(apply_round(first, entries[:4], "first"))

        event.listen(second, "before_cursor_execute", let_the_other_go_first)
        applied = apply_round(second, entries, "second")
    assert finished_ids(others[0]) == ids(entries[:4])
    assert [outcome.worker for _, outcome in applied.finished] == ["first"] * 4 + ["second"] * 2
    assert ledger_ids(engine, queue.course_id) == ids(entries)
    assert errors == []


def test_the_last_seat_is_not_sold_twice_by_two_workers_with_different_requests(
    racing_engine: Engine, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """P1: one worker has read that a seat is free; before it takes it, another one is at the same course."""
    queue = queue_of(1, 0)
    theirs, mine = [queue.register(student) for student in make_students(2)]
    with racing_engine.connect() as first, racing_engine.connect() as second:
        others: list[AppliedRound] = []

        def let_the_other_go_between(*statement: Any) -> None:
            if "FROM registration_requests" in statement[2] and not others:
                others.append(apply_round(first, [theirs], "first"))

        event.listen(second, "before_cursor_execute", let_the_other_go_between)
        applied = apply_round(second, [mine], "second")
    enrolled = [
        student for student, (status, _) in roster_of(engine, queue.course_id).items() if status == "ENROLLED"
    ]
    assert len(enrolled) == 1, "oversold"
    assert finished_ids(applied) == [mine.request_id]
    assert others == [AppliedRound()]


def test_nobody_else_applies_anything_between_the_lock_and_the_commit(
    racing_engine: Engine, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Rule B: before each statement after the lock another worker tries, and is left out each time."""
    queue = queue_of(10, 0)
    entries = [queue.register(student) for student in make_students(6)]
    with racing_engine.connect() as first, racing_engine.connect() as second:
        tries: list[AppliedRound] = []

        def let_the_other_try(*statement: Any) -> None:
            if "FOR UPDATE" not in statement[2]:
                tries.append(apply_round(second, entries, "second"))

        event.listen(first, "before_cursor_execute", let_the_other_try)
        applied = apply_round(first, entries, "first")
    assert len(tries) == 4
    assert all(one == AppliedRound() for one in tries)
    assert {outcome.worker for _, outcome in applied.finished} == {"first"}
    assert ledger_ids(engine, queue.course_id) == ids(entries)


def errors_of(engine: Engine) -> list[BaseException]:
    """Every database error on the engine's connections from now on: there must be none to recover from."""
    errors: list[BaseException] = []

    def note(context: ExceptionContext) -> None:
        errors.append(context.original_exception)

    event.listen(engine, "handle_error", note)
    return errors


def test_workers_that_lock_the_same_courses_in_different_order_do_not_deadlock(
    racing_engine: Engine, engine: Engine, queue_of: QueueFactory, make_students: StudentFactory
) -> None:
    """Rows are locked in id order, and nobody waits for them."""
    students, queues = make_students(20), [queue_of(5, 5) for _ in range(6)]
    errors = errors_of(racing_engine)
    entries = [queue.register(student) for student in students for queue in queues]

    def work(number: int) -> None:
        with racing_engine.connect() as connection:
            mine = (
                entries
                if number
                else [
                    entry
                    for queue in reversed(queues)
                    for entry in entries
                    if entry.course_id == queue.course_id
                ]
            )
            for _ in work_off(connection, mine, 30):
                pass

    race(WORKERS, work)
    for queue in queues:
        assert [row.sequence for row in ledger_of(engine, queue.course_id)] == list(range(1, 21))
    assert errors == []


@pytest.fixture
def scratch_seats(engine: Engine) -> Iterator[str]:
    """A table of one course without a CHECK, and one of its seats."""
    name = f"scratch_{uuid4().hex[:8]}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (id int PRIMARY KEY, taken int, capacity int)"))
        connection.execute(text(f"CREATE TABLE {name}_seats (course int, student text)"))
    yield name
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {name}, {name}_seats"))


def take_last_seats(engine: Engine, table: str, lock: str) -> int:
    """Two students race for the last seat, ROUNDS times; returns how many courses were oversold."""
    with engine.begin() as connection:
        rows = [{"id": number} for number in range(ROUNDS)]
        connection.execute(text(f"INSERT INTO {table} VALUES (:id, 0, 1)"), rows)
    each_course = threading.Barrier(WORKERS)

    def take(number: int) -> None:
        with engine.connect() as connection:
            for course in range(ROUNDS):
                each_course.wait(LIMIT_S)
                with connection.begin():
                    read = text(f"SELECT taken < capacity FROM {table} WHERE id = :id {lock}")
                    if connection.execute(read, {"id": course}).scalar_one():
                        seat = text(f"INSERT INTO {table}_seats VALUES (:id, :student)")
                        connection.execute(seat, {"id": course, "student": str(number)})
                        count = text(f"UPDATE {table} SET taken = taken + 1 WHERE id = :id")
                        connection.execute(count, {"id": course})

    race(WORKERS, take)
    with engine.connect() as connection:
        oversold = text(f"SELECT count(*) FROM {table} WHERE taken > capacity")
        return int(connection.execute(oversold).scalar_one())


def test_the_control_without_a_row_lock_the_last_seat_is_sold_twice(
    engine: Engine, scratch_seats: str
) -> None:
    """The race is real: the same steps without FOR UPDATE and without a CHECK do oversell."""
    assert take_last_seats(engine, scratch_seats, lock="") > 0


def test_the_control_with_a_row_lock_the_last_seat_is_sold_once(engine: Engine, scratch_seats: str) -> None:
    """It is the lock that makes the difference."""
    assert take_last_seats(engine, scratch_seats, lock="FOR UPDATE") == 0
