"""The process's own copy of courses and windows, so that accepting needs no PostgreSQL."""

import asyncio
import time

import structlog

from api.database import Database
from shared.errors import DatabaseUnavailableError
from shared.settings import Settings
from shared.store import catalogue
from shared.store.catalogue import CourseEntry

log = structlog.get_logger()

UNKNOWN_REMEMBERED_S = 2.0
UNKNOWN_REMEMBERED_MAX = 10_000


class Catalogue:
    """Course id -> entry, refreshed every `catalogue_refresh_s`; kept as it is while PostgreSQL is away."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._refresh_s = settings.catalogue_refresh_s
        self._entries: dict[str, CourseEntry] = {}
        self._unknown_until: dict[str, float] = {}

    async def find(self, course_id: str) -> CourseEntry | None:
        """The course, or None. Raises DatabaseUnavailableError when it is not known here and cannot be looked up."""
        entry = self._entries.get(course_id)
        if entry is not None or self._unknown_until.get(course_id, 0.0) > time.monotonic():
            return entry
        entry = await self._database.read(catalogue.course_entry, course_id)
        if entry is None:
            self._remember_unknown(course_id)
        else:
            self._entries[course_id] = entry
        return entry

    def title(self, course_id: str) -> str:
        """Code and section of a course if it is known here, else nothing."""
        entry = self._entries.get(course_id)
        return "" if entry is None else entry.title

    def _remember_unknown(self, course_id: str) -> None:
        if len(self._unknown_until) >= UNKNOWN_REMEMBERED_MAX:
            self._unknown_until.clear()
        self._unknown_until[course_id] = time.monotonic() + UNKNOWN_REMEMBERED_S

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                entries = await self._database.read(catalogue.open_courses)
                self._entries = {entry.course_id: entry for entry in entries}
            except DatabaseUnavailableError as error:
                log.warning("catalogue not refreshed", problem=str(error.__cause__)[:200])
            await asyncio.sleep(self._refresh_s)
