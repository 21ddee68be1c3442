"""Catching a worker at an exact moment of a round, so that a fault lands where it hurts."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psutil
import psycopg2

from tests.e2e.stack import Stack
from tests.e2e.waiting import wait_until


@dataclass(frozen=True)
class Caught:
    """A worker that has decided a round and waits to write its ledger rows."""

    worker_pid: int
    backend_pid: int


@contextmanager
def caught_after_peek(stack: Stack) -> Iterator[Caught]:
    """Hold the courses against locking until a worker that has read its queues waits for them; let go when the block ends.

    The worker has begun its transaction and knows nothing of the database yet. Keep the block shorter than the workers'
    lock timeout of one second.
    """
    with closing(psycopg2.connect(stack.postgres.url)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE courses IN EXCLUSIVE MODE")
        yield wait_until(lambda: waiting_for(stack, "courses"), "a worker has peeked", 10)


@contextmanager
def caught_before_commit(stack: Stack) -> Iterator[Caught]:
    """Hold the ledger against writing until a worker waits for it with its round decided; let go when the block ends.

    Keep the block shorter than the workers' lock timeout of one second.
    """
    with ledger_held(stack):
        yield wait_until(lambda: waiting_for_the_ledger(stack), "a worker is in the middle of a round", 10)


@contextmanager
def ledger_held(stack: Stack) -> Iterator[None]:
    """Let nobody write to the ledger while the block runs: rounds get as far as that, and no further."""
    with closing(psycopg2.connect(stack.postgres.url)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE registration_requests IN SHARE MODE")
        yield


def waiting_for_the_ledger(stack: Stack) -> Caught | None:
    """A worker whose session waits for a lock on the ledger."""
    return waiting_for(stack, "registration_requests")


def waiting_for(stack: Stack, table: str) -> Caught | None:
    """A worker whose session waits for a lock on the table."""
    rows = stack.sql(
        "SELECT a.pid, split_part(a.application_name, '.', -2)::int AS worker_pid"
        "  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.relation = %s::regclass AND NOT l.granted AND split_part(a.application_name, '.', -2) <> ''",
        table,
    )
    return Caught(rows[0]["worker_pid"], rows[0]["pid"]) if rows else None


# Commits of ledger rows wait for this advisory lock while the trigger is there.
COMMIT_GATE = 731_499
INSTALL_GATE = f"""
    CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared({COMMIT_GATE});
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON registration_requests DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION wait_at_the_gate();
"""
REMOVE_GATE = "DROP TRIGGER gate ON registration_requests; DROP FUNCTION wait_at_the_gate()"


@contextmanager
def caught_in_commit(stack: Stack, worker_pid: int | None = None) -> Iterator[Caught]:
    """Hold commits back until a worker has sent one and waits for the answer; let it happen when the block ends.

    With `worker_pid`, until that worker has.

    Whatever becomes of the worker meanwhile, the round is committed, and the worker has not yet taken it off the queue.
    Keep the block shorter than the workers' lock timeout of one second.
    """
    with closing(psycopg2.connect(stack.postgres.url)) as gate, gate.cursor() as cursor:
        gate.autocommit = True
        cursor.execute(INSTALL_GATE)
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", (COMMIT_GATE,))
            try:
                yield wait_until(
                    lambda: waiting_at_the_gate(stack, worker_pid),
                    "a worker is in the middle of a commit",
                    10,
                )
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", (COMMIT_GATE,))
        finally:
            cursor.execute(REMOVE_GATE)


def waiting_at_the_gate(stack: Stack, worker_pid: int | None = None) -> Caught | None:
    """A worker whose commit waits; with `worker_pid`, that one if its commit does."""
    rows = stack.sql(
        "SELECT a.pid, split_part(a.application_name, '.', -2)::int AS worker_pid"
        "  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND l.objid = %s AND NOT l.granted",
        COMMIT_GATE,
    )
    found = [Caught(row["worker_pid"], row["pid"]) for row in rows]
    return next((one for one in found if worker_pid in (None, one.worker_pid)), None)


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ledger_rows(stack: Stack) -> int:
    """How many requests have come to an end."""
    return int(stack.sql("SELECT count(*) AS rows FROM registration_requests")[0]["rows"])
