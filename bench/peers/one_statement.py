"""Peer: the fastest we know without a queue. As `row_lock`, but all of it in one statement, which is one transaction.

PostgreSQL's own row lock is the queue, and one round trip is all.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from fastapi import FastAPI, HTTPException

from bench.peers.token_check import CurrentStudent
from shared.settings import load_settings

POOL_SIZE = 20

REGISTER = """
    WITH course AS (
        SELECT id, enrolled_count < max_capacity AS has_seat, reserved_count
          FROM courses
         WHERE id = $1
           FOR UPDATE
    ), added AS (
        INSERT INTO course_registrations (course_id, student_id, status, reserve_position)
        SELECT id, $2, (CASE WHEN has_seat THEN 'ENROLLED' ELSE 'RESERVED' END)::registration_status,
               CASE WHEN NOT has_seat THEN reserved_count + 1 END
          FROM course
            ON CONFLICT (student_id, course_id) DO NOTHING
        RETURNING course_id, status, reserve_position
    ), counted AS (
        UPDATE courses c
           SET enrolled_count = c.enrolled_count + (a.status = 'ENROLLED')::int,
               reserved_count = c.reserved_count + (a.status = 'RESERVED')::int
          FROM added a
         WHERE c.id = a.course_id
    )
    SELECT EXISTS (SELECT FROM course) AS known, (SELECT status FROM added), (SELECT reserve_position FROM added)
"""
FULL = asyncpg.exceptions.CheckViolationError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a pool of connections, each with the statement prepared."""
    async with asyncpg.create_pool(
        load_settings().database_url, min_size=POOL_SIZE, max_size=POOL_SIZE
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health/live")
async def live() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "ok"}


@app.post("/courses/{course_id}/register")
async def register(course_id: UUID, student: CurrentStudent) -> dict[str, str | int | None]:
    """Register in one round trip; a CHECK on the counters refuses what does not fit."""
    try:
        row = await app.state.pool.fetchrow(REGISTER, course_id, UUID(student.student_id))
    except FULL:
        return {"status": "REJECTED", "reason": "course_full"}
    if not row["known"]:
        raise HTTPException(404)
    if row["status"] is None:
        return {"status": "REJECTED", "reason": "already_registered"}
    return {"status": "APPLIED", "result": row["status"], "reserve_position": row["reserve_position"]}
