"""Session advisory locks: who owns which shard, and how many workers there are.

Both facts live in PostgreSQL's lock table and end with the session that writes, never later.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

# Two-key advisory locks: these first keys are ours, the second key is the shard.
SHARD_NAMESPACE = 731_401
PRESENCE_NAMESPACE = 731_402

ANNOUNCE = text("SELECT pg_advisory_lock_shared(:namespace, 0)")

WORKER_COUNT = text("""
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND classid = :namespace AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")

TRY_LOCK = text("""
    SELECT shard FROM unnest(CAST(:shards AS int[])) AS shard
     WHERE pg_try_advisory_lock(:namespace, shard)
     LIMIT :limit
""")

UNLOCK = text("SELECT pg_advisory_unlock(:namespace, shard) FROM unnest(CAST(:shards AS int[])) AS shard")

OWNERS = text("""
    SELECT l.objid::int AS shard, a.application_name AS worker, l.pid
      FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.classid = :namespace AND l.granted
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     ORDER BY shard
""")


def announce_worker(connection: Connection) -> None:
    """Count this session as a worker until it ends."""
    connection.execute(ANNOUNCE, {"namespace": PRESENCE_NAMESPACE})


def worker_count(connection: Connection) -> int:
    """How many workers live now, this one included."""
    return int(connection.execute(WORKER_COUNT, {"namespace": PRESENCE_NAMESPACE}).scalar_one())


def lock_shards(connection: Connection, shards: Sequence[int], limit: int) -> list[int]:
    """Up to `limit` of the shards, which nobody owned and this session now owns. Never waits.

    The limit holds because the list is read one element at a time, with nothing that sorts above it.
    """
    rows = connection.scalars(
        TRY_LOCK, {"namespace": SHARD_NAMESPACE, "shards": list(shards), "limit": limit}
    )
    return list(rows)


def unlock_shards(connection: Connection, shards: Sequence[int]) -> None:
    """Give shards back that this session owns."""
    connection.execute(UNLOCK, {"namespace": SHARD_NAMESPACE, "shards": list(shards)})


def shard_owners(connection: Connection) -> dict[int, tuple[str, int]]:
    """Shard -> (worker name, PostgreSQL process id), for operators."""
    rows = connection.execute(OWNERS, {"namespace": SHARD_NAMESPACE})
    return {row.shard: (row.worker, row.pid) for row in rows}
