"""The process's own copy of courses and windows, so that accepting needs no PostgreSQL."""

import asyncio
import time

import structlog
from sqlalchemy import Engine

from shared.database import reading
from shared.errors import DatabaseUnavailableError
from shared.settings import Settings
from shared.store import catalogue
from shared.store.catalogue import CourseEntry

log = structlog.get_logger()

UNKNOWN_REMEMBERED_S = 2.0
UNKNOWN_REMEMBERED_MAX = 10_000


class Catalogue:
    """Course id -> entry, refreshed every `catalogue_refresh_s`; kept as it is while PostgreSQL is away."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._refresh_s = settings.catalogue_refresh_s
        self._entries: dict[str, CourseEntry] = {}
        self._unknown_until: dict[str, float] = {}

    async def find(self, course_id: str) -> CourseEntry | None:
        """The course, or None. Raises DatabaseUnavailableError when it is not known here and cannot be looked up."""
        entry = self._entries.get(course_id)
        if entry is not None or self._unknown_until.get(course_id, 0.0) > time.monotonic():
            return entry
        entry = await asyncio.to_thread(self._read_one, course_id)
        if entry is None:
            self._remember_unknown(course_id)
        else:
            self._entries[course_id] = entry
        return entry

    def _remember_unknown(self, course_id: str) -> None:
        if len(self._unknown_until) >= UNKNOWN_REMEMBERED_MAX:
            self._unknown_until.clear()
        self._unknown_until[course_id] = time.monotonic() + UNKNOWN_REMEMBERED_S

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                self._entries = await asyncio.to_thread(self._read_all)
            except DatabaseUnavailableError as error:
                log.warning("catalogue not refreshed", problem=str(error.__cause__)[:200])
            await asyncio.sleep(self._refresh_s)

    def _read_all(self) -> dict[str, CourseEntry]:
        with reading(self._engine) as connection:
            return {entry.course_id: entry for entry in catalogue.open_courses(connection)}

    def _read_one(self, course_id: str) -> CourseEntry | None:
        with reading(self._engine) as connection:
            return catalogue.course_entry(connection, course_id)
