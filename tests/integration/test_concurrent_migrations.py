"""Several hosts may migrate at once: one does the work, the others wait for it and find nothing left to do."""

import os
import subprocess
import sys
from contextlib import suppress

from sqlalchemy import Engine, text

from tests.conftest import REPOSITORY
from tests.e2e.waiting import wait_until

MIGRATION_LOCK = 7_314_001
RUNNERS = 3
LIMIT_S = 60

WAITING = text("""
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND NOT granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def start_migration(engine: Engine) -> subprocess.Popen[str]:
    """`alembic upgrade head` on the engine's database, as a deployment runs it."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=REPOSITORY,
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_migrations_started_at_once_wait_for_each_other(scratch_engine: Engine) -> None:
    """Held up together before an empty database and let go together, all succeed, and the tables are made once."""
    with scratch_engine.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        runners = [start_migration(scratch_engine) for _ in range(RUNNERS)]
        try:
            wait_until(lambda: holder.scalar(WAITING) == RUNNERS, "all wait for the lock", LIMIT_S)
            assert holder.scalar(text("SELECT to_regclass('courses')")) is None
            holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            holder.commit()
            outputs = [runner.communicate(timeout=LIMIT_S)[0] for runner in runners]
        finally:
            for runner in runners:
                with suppress(ProcessLookupError):
                    runner.kill()
        assert [runner.returncode for runner in runners] == [0] * RUNNERS, outputs
        assert holder.scalars(text("SELECT version_num FROM alembic_version")).all() == ["0001"]
