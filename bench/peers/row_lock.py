"""Peer: a registration as a careful engineer writes it without a queue. Async FastAPI, asyncpg, a row lock, counters.

One transaction per request: lock the course, decide by its counters, insert, count, commit.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from fastapi import FastAPI, HTTPException

from bench.peers.token_check import CurrentStudent
from shared.settings import load_settings

POOL_SIZE = 20

LOCK = """
    SELECT max_capacity, reserve_limit, enrolled_count, reserved_count FROM courses WHERE id = $1 FOR UPDATE
"""
INSERT = """
    INSERT INTO course_registrations (course_id, student_id, status, reserve_position) VALUES ($1, $2, $3, $4)
        ON CONFLICT (student_id, course_id) DO NOTHING
    RETURNING 1
"""
COUNT = """
    UPDATE courses SET enrolled_count = enrolled_count + $2, reserved_count = reserved_count + $3 WHERE id = $1
"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a pool of connections, each with its statements prepared."""
    pool = asyncpg.create_pool(load_settings().database_url, min_size=POOL_SIZE, max_size=POOL_SIZE)
    async with pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health/live")
async def live() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "ok"}


@app.post("/courses/{course_id}/register")
async def register(course_id: UUID, student: CurrentStudent) -> dict[str, str | int | None]:
    """A seat, a reserve position, or a refusal."""
    async with app.state.pool.acquire() as connection, connection.transaction():
        course = await connection.fetchrow(LOCK, course_id)
        if course is None:
            raise HTTPException(404)
        has_seat = course["enrolled_count"] < course["max_capacity"]
        if not has_seat and course["reserved_count"] >= course["reserve_limit"]:
            return {"status": "REJECTED", "reason": "course_full"}
        status, position = ("ENROLLED", None) if has_seat else ("RESERVED", course["reserved_count"] + 1)
        added = await connection.fetchval(INSERT, course_id, UUID(student.student_id), status, position)
        if added is None:
            return {"status": "REJECTED", "reason": "already_registered"}
        await connection.execute(COUNT, course_id, int(has_seat), int(not has_seat))
    return {"status": "APPLIED", "result": status, "reserve_position": position}
