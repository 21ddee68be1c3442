"""Peer: a FastAPI POST that checks the token and does nothing. The most that this framework can answer per second."""

from uuid import UUID

from fastapi import FastAPI

from bench.peers.token_check import CurrentStudent

app = FastAPI()


@app.get("/health/live")
async def live() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "ok"}


@app.post("/courses/{course_id}/register", status_code=202)
async def register(course_id: UUID, student: CurrentStudent) -> dict[str, str]:
    """Nothing, for the student that the token names."""
    return {"status": "NOTHING", "course": str(course_id), "student": student.student_id}
