"""Peer: stock RQ. The same transaction as ours, through the ORM, as one JSON job per request.

`python -m bench.peers.rq_jobs simple` works the queue off in process, `fork` with RQ's usual worker.
"""

import os
import sys
from datetime import datetime
from functools import cache
from uuid import UUID

from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session

from shared.models import Course, CourseRegistration, RegistrationRequest, Semester
from shared.settings import load_settings

QUEUE = "bench"


@cache
def _engine(_process_id: int) -> Engine:
    """One per process: a connection must not be shared with a forked child."""
    return create_engine(load_settings().sqlalchemy_url)


def apply_registration(  # noqa: PLR0913, PLR0917 - what a job knows
    request_id: str, course_id: str, student_id: str, generation: str, sequence: int, accepted_at: str
) -> str:
    """Decide one registration and write its place, the counts and the ledger row; returns the status."""
    with Session(_engine(os.getpid())) as session, session.begin():
        course = session.scalars(select(Course).filter_by(id=UUID(course_id)).with_for_update()).one()
        recorded = session.get(RegistrationRequest, UUID(request_id))
        if recorded is not None:
            return recorded.status
        at = datetime.fromisoformat(accepted_at)
        result, reason = _decide(session, course, UUID(student_id), at)
        position = course.reserved_count if result == "RESERVED" else None
        course.applied_count += 1
        if result is not None:
            session.add(
                CourseRegistration(
                    student_id=UUID(student_id), course_id=course.id, status=result, reserve_position=position
                )
            )
        session.add(
            RegistrationRequest(
                request_id=UUID(request_id),
                course_id=course.id,
                student_id=UUID(student_id),
                operation="REGISTER",
                generation=UUID(generation),
                sequence=sequence,
                accepted_at=at,
                applied_at=func.clock_timestamp(),
                applied_index=course.applied_count,
                status="REJECTED" if reason else "APPLIED",
                result=result,
                reason=reason,
                reserve_position=position,
                worker=QUEUE,
            )
        )
        return "REJECTED" if reason else "APPLIED"


def _decide(
    session: Session, course: Course, student_id: UUID, at: datetime
) -> tuple[str | None, str | None]:
    """(result, reason), with the counts of the course brought up to date."""
    semester = session.get_one(Semester, course.semester_id)
    if not semester.registration_start <= at < semester.registration_end:
        return None, "registration_closed"
    registered = select(CourseRegistration).filter_by(student_id=student_id, course_id=course.id)
    if session.scalar(registered) is not None:
        return None, "already_registered"
    if course.enrolled_count < course.max_capacity:
        course.enrolled_count += 1
        return "ENROLLED", None
    if course.reserved_count < course.reserve_limit:
        course.reserved_count += 1
        return "RESERVED", None
    return None, "course_full"


def main() -> None:
    """Work the queue off, and end."""
    connection = Redis.from_url(load_settings().redis_url)
    kind = {"simple": SimpleWorker, "fork": Worker}[sys.argv[1]]
    queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    kind([queue], connection=connection, serializer=JSONSerializer).work(burst=True, logging_level="WARNING")


if __name__ == "__main__":
    main()
