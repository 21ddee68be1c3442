"""Peer: how such a system is usually begun. A synchronous FastAPI route, an ORM session, FOR UPDATE, and counting rows."""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from bench.peers.token_check import CurrentStudent
from shared.models import Course, CourseRegistration
from shared.settings import load_settings

# As many connections as Starlette has threads for synchronous routes.
engine = create_engine(load_settings().sqlalchemy_url, pool_size=40, max_overflow=0)
new_session = sessionmaker(engine)
app = FastAPI()


@app.get("/health/live")
async def live() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "ok"}


def session_per_request() -> Iterator[Session]:
    """A session that is closed, and rolled back if need be, after the request."""
    with new_session() as session:
        yield session


@app.post("/courses/{course_id}/register")
def register(
    course_id: UUID, student: CurrentStudent, session: Annotated[Session, Depends(session_per_request)]
) -> dict[str, str | int | None]:
    """Lock the course, look for an old registration, count, and insert a seat or a reserve position."""
    student_id = UUID(student.student_id)
    course = session.scalar(select(Course).where(Course.id == course_id).with_for_update())
    if course is None:
        raise HTTPException(404)
    registered = select(CourseRegistration).filter_by(student_id=student_id, course_id=course_id)
    if session.scalar(registered) is not None:
        return {"status": "REJECTED", "reason": "already_registered"}
    enrolled = _count(session, course_id, "ENROLLED")
    if enrolled < course.max_capacity:
        status, position = "ENROLLED", None
    else:
        status, position = "RESERVED", _count(session, course_id, "RESERVED") + 1
    if position is not None and position > course.reserve_limit:
        return {"status": "REJECTED", "reason": "course_full"}
    session.add(
        CourseRegistration(
            student_id=student_id, course_id=course_id, status=status, reserve_position=position
        )
    )
    session.commit()
    return {"status": "APPLIED", "result": status, "reserve_position": position}


def _count(session: Session, course_id: UUID, status: str) -> int:
    rows = select(func.count()).select_from(CourseRegistration).filter_by(course_id=course_id, status=status)
    return session.scalar(rows) or 0
