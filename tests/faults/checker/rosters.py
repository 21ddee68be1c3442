"""Seats: never more given than there are, and the ledger replayed through the reference model gives the rosters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.faults.checker.facts import FAILED, CourseFacts, LedgerRow, QueueFacts, Violation
from tests.reference_model import Answer, ReferenceCourse


def check_rosters(course: CourseFacts) -> list[Violation]:
    """Everything that one course's ledger says about seats, held against the limits, the rules and the tables."""
    return [*check_limits(course), *check_replay(course), *check_counts(course)]


@dataclass
class _Places:
    """Who has a seat and who waits, by what the ledger recorded and by no rule at all."""

    enrolled: set[str] = field(default_factory=set)
    reserved: set[str] = field(default_factory=set)

    def follow(self, row: LedgerRow) -> None:
        """Do what the row says was done."""
        student = row.student_id or ""
        if row.result == "ENROLLED":
            self.enrolled.add(student)
        elif row.result == "RESERVED":
            self.reserved.add(student)
        elif row.result == "DROPPED":
            self.enrolled.discard(student)
            self.reserved.discard(student)
            if row.promoted_student_id is not None:
                self.reserved.discard(row.promoted_student_id)
                self.enrolled.add(row.promoted_student_id)


def check_limits(course: CourseFacts) -> Iterator[Violation]:
    """At no index of the ledger more seats or reserve places are taken than the course has."""
    places = _Places()
    for row in course.ledger:
        places.follow(row)
        if len(places.enrolled) > course.max_capacity:
            what = f"{len(places.enrolled)} enrolled in {course.max_capacity} seats at #{row.applied_index}"
            yield Violation("oversold", course.course_id, (row.request_id,), what)
            return
        if len(places.reserved) > course.reserve_limit:
            what = f"{len(places.reserved)} wait for {course.reserve_limit} places at #{row.applied_index}"
            yield Violation("reserve overfilled", course.course_id, (row.request_id,), what)
            return


def check_replay(course: CourseFacts) -> Iterator[Violation]:
    """Each row is what the rules say, and after the last one the rosters are what the tables hold."""
    model = ReferenceCourse(course.max_capacity, course.reserve_limit, course.opens_at, course.closes_at)
    for row in course.ledger:
        expected = _expected(model, row)
        recorded = Answer(row.status, row.result, row.reason, row.reserve_position, row.promoted_student_id)
        if recorded != expected:
            what = f"#{row.applied_index} is recorded as {_told(recorded)}, the rules say {_told(expected)}"
            yield Violation("wrong outcome", course.course_id, (row.request_id,), what)
    expected_rows = model.rows()
    for student in sorted(expected_rows.keys() | course.roster.keys()):
        if expected_rows.get(student) != course.roster.get(student):
            what = f"student {student} is {course.roster.get(student)}, the replay says {expected_rows.get(student)}"
            yield Violation("wrong roster", course.course_id, (), what)


def _expected(model: ReferenceCourse, row: LedgerRow) -> Answer:
    if row.status == FAILED or row.operation is None or row.student_id is None or row.accepted_at is None:
        return Answer(FAILED, reason="internal_error")
    return model.ask(row.operation, row.student_id, row.accepted_at)


def _told(answer: Answer) -> str:
    return " ".join(str(value) for value in answer if value is not None)


def check_counts(course: CourseFacts) -> Iterator[Violation]:
    """The counts kept beside the roster are the counts of the roster."""
    statuses = [status for status, _ in course.roster.values()]
    for name, kept, counted in (
        ("enrolled_count", course.enrolled_count, statuses.count("ENROLLED")),
        ("reserved_count", course.reserved_count, statuses.count("RESERVED")),
        ("applied_count", course.applied_count, len(course.ledger)),
    ):
        if kept != counted:
            yield Violation("wrong count", course.course_id, (), f"{name} is {kept}, counted are {counted}")


def check_queues(queues: Sequence[QueueFacts]) -> Iterator[Violation]:
    """When everything is over, nothing waits and nothing is called ready."""
    for queue in queues:
        if queue.waiting:
            ids = tuple(queue.waiting[:20])
            yield Violation("left waiting", queue.course_id, ids, f"{len(queue.waiting)} still in the queue")
        elif queue.ready:
            yield Violation("left ready", queue.course_id, (), "called ready with an empty queue")
