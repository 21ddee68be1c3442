"""The whole system on free ports in one directory: PostgreSQL, Valkey, API and workers as real processes."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg2
import redis
from psycopg2.extras import RealDictCursor

from scripts.local_servers import LocalPostgres, LocalValkey, free_port
from shared.audit import audit, describe
from shared.database import command_engine
from tests.conftest import settings_for
from tests.e2e.program import Program
from tests.e2e.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parents[2]
READY_LIMIT_S = 30.0
HTTP_TIMEOUT_S = 35.0
SHARDS = 64

# Few rounds and short answers matter more here than cost: what a test wants otherwise, it says.
SETTINGS = {
    "ENVIRONMENT": "development",
    "BCRYPT_COST": "4",
    "LOG_LEVEL": "INFO",
    # Every test comes from one address.
    "LOGIN_FAILURES_PER_ADDRESS_PER_MINUTE": "1000000",
    "CATALOGUE_REFRESH_S": "1",
    # What a test has just done it wants to see.
    "PAGE_AGE_S": "0",
}


class Stack:
    """One running system. `settings` overrides environment variables of every part."""

    def __init__(self, directory: Path, *, worker_processes: int = 1, **settings: str) -> None:
        self.directory = directory
        self.secret_key = secrets.token_urlsafe(48)
        self.postgres = LocalPostgres(directory / "postgres", free_port(), fsync=False)
        self.valkey = LocalValkey(directory / "valkey", free_port())
        self.api_port = free_port()
        self.api_url = f"http://127.0.0.1:{self.api_port}"
        self.http = httpx.Client(base_url=self.api_url, timeout=HTTP_TIMEOUT_S, verify=False)
        self._settings = settings
        self._worker_processes = worker_processes
        self._api: Program | None = None
        self._workers: Program | None = None
        self._extra: list[Program] = []
        self._started = 0

    def start(self) -> Self:
        """Start both servers, create the tables, start the API and one worker."""
        self.postgres.start()
        self.valkey.start()
        self.run("alembic", "-c", str(PROJECT_ROOT / "alembic.ini"), "upgrade", "head")
        self.start_workers()
        self.start_api()
        return self

    def mend(self) -> None:
        """Bring every part back that a test stopped or started otherwise."""
        self.postgres.start()
        self.valkey.start()
        for program in self._extra:
            program.kill()
        self._extra.clear()
        usual = self._worker_arguments(self._worker_processes)
        if self._workers is None or not self._is_usual(self._workers, usual):
            # Politely, so that RQ's list shows no ghosts to the next test.
            if self._workers is not None and self._workers.running:
                self._workers.stop()
            self.start_workers()
        if self._api is None or not self._is_usual(self._api, api(self.api_port)):
            self.kill_api()
            self.start_api()

    def _is_usual(self, program: Program, arguments: Sequence[str]) -> bool:
        return (
            program.running
            and program.environment == self.environment()
            and program.arguments == list(arguments)
        )

    @staticmethod
    def _worker_arguments(processes: int) -> list[str]:
        return ["worker"] if processes == 1 else ["worker", "--processes", str(processes)]

    def close(self) -> None:
        """End every process and delete the data."""
        self.http.close()
        for program in [self._workers, self._api, *self._extra]:
            if program is not None:
                program.kill()
        self.postgres.kill()
        self.valkey.kill()
        self.postgres.discard_data()

    def environment(self, **overrides: str) -> dict[str, str]:
        """The whole environment of a part: nothing is inherited but where programs are."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(PROJECT_ROOT),
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "SECRET_KEY": self.secret_key,
            **SETTINGS,
            **self._settings,
            **overrides,
        }

    def run(self, *arguments: str) -> str:
        """Run `python -m <arguments>` to its end; returns what it printed. Fails when it does."""
        program = self.launch(arguments)
        returncode = program.wait(60)
        output = program.log_path.read_text(encoding="utf-8")
        assert returncode == 0, f"{arguments} ended with {returncode}:\n{output}"
        return output

    def launch(self, arguments: Sequence[str], *, prefix: Sequence[str] = (), **overrides: str) -> Program:
        """Start `python -m <arguments>`, with a log of its own, in a directory without a stray `.env`."""
        self._started += 1
        log_path = self.directory / f"{self._started:03}-{arguments[0]}.log"
        return Program(arguments, self.directory, log_path, self.environment(**overrides), prefix=prefix)

    @property
    def api(self) -> Program:
        """The API's process."""
        assert self._api is not None
        return self._api

    @property
    def workers(self) -> Program:
        """The worker's process, or that of the supervisor of several."""
        assert self._workers is not None
        return self._workers

    def start_api(self, **overrides: str) -> None:
        """Start the API and wait until it answers."""
        self._api = self.launch(api(self.api_port), **overrides)
        self._wait_for_api(self._api, self.api_url)

    def _wait_for_api(self, program: Program, url: str) -> None:
        def answers() -> bool:
            assert program.running, f"the API did not start:\n{program.log()}"
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{url}/health/live", timeout=2).is_success
            return False

        wait_until(answers, "the API answers", READY_LIMIT_S)

    def kill_api(self) -> None:
        """End the API with SIGKILL."""
        if self._api is not None:
            self._api.kill()

    def restart_api(self, **overrides: str) -> None:
        """End the API as a deployment would, and start it again."""
        self.api.stop()
        self.start_api(**overrides)

    @contextlib.contextmanager
    def another_api(self, **overrides: str) -> Iterator[httpx.Client]:
        """A second API process with other settings, on the same servers; the block gets a client of it."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        program = self.launch(api(port), **overrides)
        self._extra.append(program)
        try:
            self._wait_for_api(program, url)
            with httpx.Client(base_url=url, timeout=HTTP_TIMEOUT_S, verify=False) as client:
                yield client
        finally:
            program.kill()
            self._extra.remove(program)

    def start_workers(self, processes: int | None = None, **overrides: str) -> None:
        """Start one worker, or a supervisor of several, and wait until each owns its share of the shards."""
        processes = processes or self._worker_processes
        self._workers = self.launch(self._worker_arguments(processes), **overrides)
        self.wait_for_owners(processes)

    def wait_for_owners(self, count: int) -> None:
        """Wait until so many workers share all shards evenly."""

        def share_evenly() -> bool:
            self.require_workers()
            shares = self.shards_owned_by().values()
            return len(shares) == count and sum(shares) == SHARDS and max(shares) - min(shares) <= 1

        wait_until(share_evenly, f"{count} workers share every shard", READY_LIMIT_S)

    def require_workers(self) -> None:
        """Fail, with the end of their log, when the workers do not run."""
        assert self.workers.running, f"the worker does not run:\n{self.workers.log()}"

    def stop_workers(self) -> int:
        """Ask the workers to end with SIGTERM; returns the return code."""
        return self.workers.stop()

    def kill_workers(self) -> None:
        """End the workers, and what supervises them, with SIGKILL."""
        if self._workers is not None:
            self._workers.kill()

    def worker_pids(self) -> list[int]:
        """The processes that apply requests."""
        supervised = [child.pid for child in self.workers.children()]
        return supervised or [self.workers.pid]

    def shards_owned_by(self) -> dict[int, int]:
        """Worker process id -> how many shards its PostgreSQL session holds the locks of."""
        rows = self.sql("""
            SELECT split_part(a.application_name, '.', -2)::int AS pid, count(*) AS shards
              FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'advisory' AND l.classid = 731401 AND l.granted
             GROUP BY 1
        """)
        return {row["pid"]: row["shards"] for row in rows}

    def sessions_of(self, worker_pid: int) -> list[int]:
        """The PostgreSQL backends that serve a worker."""
        rows = self.sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s", f"%.{worker_pid}.%"
        )
        return [row["pid"] for row in rows]

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one statement, committed; returns its rows."""
        connection = psycopg2.connect(self.postgres.url, cursor_factory=RealDictCursor)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    @contextlib.contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """A client of Valkey, answering bytes."""
        with contextlib.closing(redis.Redis.from_url(self.valkey.url)) as client:
            yield client

    @contextlib.contextmanager
    def held(self, *course_ids: str) -> Iterator[None]:
        """Keep the workers from these courses by holding their rows, so that what is accepted stays waiting."""
        connection = psycopg2.connect(self.postgres.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT 1 FROM courses WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE",
                    (list(course_ids),),
                )
            yield
        finally:
            connection.close()

    @contextlib.contextmanager
    def sole_use_of(self, table: str) -> Iterator[None]:
        """Hold a table as a migration would, so that nobody else can even read it."""
        connection = psycopg2.connect(self.postgres.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
        finally:
            connection.close()

    def waiting_in(self, course_id: str) -> list[str]:
        """The ids in a course's queue, head first."""
        with self.redis() as client:
            return [raw.decode() for raw in client.lrange(f"rq:queue:course-{course_id}", 0, -1)]

    def audit(self) -> str:
        """Replay the ledger against the rosters as `python -m shared.audit` does, in this process; fails on any difference."""
        report = audit(command_engine(settings_for(self.postgres.url, self.valkey.url), "tests"))
        assert not report.differences, [describe(one) for one in report.differences]
        return str(report)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def api(port: int) -> list[str]:
    """The command that runs the API on a port."""
    return ["api", "--host", "127.0.0.1", "--port", str(port)]
