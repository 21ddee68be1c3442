"""The crowd of a rush: its tokens, its clients at work side by side, and the log of what they see."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from scripts.csv_rows import Problems, RowReader, read_rows
from scripts.http_client import HttpClient
from scripts.registration_client import Finished, RegistrationClient, Tell
from scripts.rush_demand import Ask
from scripts.terminal import progress_bar
from shared.security import issue_token
from shared.settings import Settings

PLACED = frozenset({"ENROLLED", "RESERVED"})
LOGINS_AT_ONCE = 32

Member = tuple[str, str]
"""A student (id or number) and that student's token."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the crowd goes about it."""

    base_url: str
    connections: int
    prefer_wait: bool
    patience_s: float
    drop_fraction: float
    seed: int
    log: Path | None


@dataclass(frozen=True, slots=True)
class Happened:
    """Every intention with its end, how long they took together, and what that cost."""

    finished: Sequence[Finished]
    elapsed_s: float
    calls: int
    retries: int

    @property
    def lost(self) -> list[Finished]:
        """Those that were promised an outcome and got none. There must be none."""
        return [one for one in self.finished if one.promised and one.request is None]

    @property
    def unanswered(self) -> list[Finished]:
        """Those that were promised nothing, because the server never gave a proper answer."""
        return [
            one
            for one in self.finished
            if not one.promised and (one.code == "unanswered" or one.code.startswith("http_5"))
        ]


@dataclass(slots=True)
class Crowd:
    """Clients that take one ask after the other."""

    plan: Plan
    members: Sequence[Member]
    client: RegistrationClient
    asks: Iterator[Ask]
    chance: random.Random
    finished: list[Finished] = field(default_factory=list)

    async def work(self, progress: Progress, task: TaskID) -> None:
        """One client: follow asks to their ends until there are none left."""
        for ask in self.asks:
            student, token = self.members[ask.student]
            drops = self.chance.random() < self.plan.drop_fraction
            register = await self.client.finish("register", ask.course_id, student, token)
            self.finished.append(register)
            if drops and register.code in PLACED:
                self.finished.append(await self.client.finish("drop", ask.course_id, student, token))
            progress.advance(task)


def minted(settings: Settings, students: Sequence[tuple[str, str]]) -> list[Member]:
    """Tokens for (id, number) pairs, signed here with the API's secret instead of logging in."""
    with progress_bar() as progress:
        each = progress.track(students, description="tokens")
        return [(student_id, issue_token(settings, student_id, number)[0]) for student_id, number in each]


async def logged_in(plan: Plan, file: Path, count: int) -> list[Member]:
    """Log the first `count` students of a CSV file in. Raises ImportFileError, or UnansweredError for the first failure."""
    problems = Problems()
    rows = [
        RowReader(row, problems)
        for row in read_rows(file, ["student_number", "password"], [], problems)[:count]
    ]
    credentials = [(row.required_text("student_number"), row.row.values["password"]) for row in rows]
    problems.require_none()
    limit = asyncio.Semaphore(LOGINS_AT_ONCE)
    async with HttpClient(plan.base_url, LOGINS_AT_ONCE) as http:
        client = RegistrationClient(http, prefer_wait=False, patience_s=plan.patience_s)
        with progress_bar() as progress:
            task = progress.add_task("logins", total=len(credentials))

            async def log_in(number: str, password: str) -> Member:
                async with limit:
                    token = await client.log_in(number, password)
                progress.advance(task)
                return number, token

            return await asyncio.gather(*(log_in(*credential) for credential in credentials))


async def run(plan: Plan, members: Sequence[Member], asks: Sequence[Ask]) -> Happened:
    """Follow every ask to its end, `connections` of them at a time."""
    async with HttpClient(plan.base_url, plan.connections) as http:
        with event_log(plan.log) as tell, progress_bar() as progress:
            client = RegistrationClient(http, plan.prefer_wait, plan.patience_s, tell)
            chance = random.Random(plan.seed)  # noqa: S311 - demand, not secrets
            crowd = Crowd(plan, members, client, iter(asks), chance)
            task = progress.add_task("registrations", total=len(asks))
            started = time.monotonic()
            await asyncio.gather(
                *(crowd.work(progress, task) for _ in range(min(plan.connections, len(asks))))
            )
            elapsed_s = time.monotonic() - started
    return Happened(crowd.finished, elapsed_s, http.calls, client.retries)


@contextmanager
def event_log(path: Path | None) -> Iterator[Tell]:
    """Writes each event as a JSON line: `wall` in seconds since 1970, `monotonic` for differences."""
    if path is None:
        yield lambda *_args, **_details: None
        return
    with path.open("a", encoding="utf-8") as file:

        def tell(event: str, **details: Any) -> None:
            times = {"event": event, "wall": time.time(), "monotonic": time.monotonic()}
            file.write(json.dumps(times | details) + "\n")

        yield tell
