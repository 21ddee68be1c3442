"""Second servers, as production has them: a Valkey that copies another one, and a PostgreSQL standby."""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Self

import psycopg2
import redis

from scripts.local_servers import LocalPostgres, LocalValkey, free_port
from scripts.postgres_home import find_home
from scripts.server_process import write_private
from tests.e2e.waiting import wait_until

COPY_LIMIT_S = 60


class ReplicaValkey(LocalValkey):
    """A Valkey with the password of another one. What CONFIG REWRITE has written into its configuration file lasts."""

    def __init__(self, data_dir: Path, of: LocalValkey) -> None:
        data_dir.parent.mkdir(parents=True)
        super().__init__(data_dir, free_port())
        write_private(data_dir.with_name(f"{data_dir.name}.password"), of._password)

    def _prepare(self, deadline: float) -> None:
        kept = self._config_file.read_text() if self._config_file.exists() else ""
        super()._prepare(deadline)
        if kept:
            write_private(self._config_file, kept)

    def follow(self, port: int) -> Self:
        """Start as a replica of the server on that port, and wait until all of it is on its own disk."""
        self.start()
        with closing(redis.Redis("127.0.0.1", port, password=self._password)) as primary:
            # It would wait five seconds for more replicas to come.
            primary.config_set("repl-diskless-sync-delay", 0)
        with closing(redis.Redis.from_url(self.url)) as client:
            client.config_set("primaryauth", self._password)
            client.replicaof("127.0.0.1", port)
            client.config_rewrite()
            wait_until(lambda: _has_copied(client), "the replica follows")
        return self


def _has_copied(replica: redis.Redis) -> bool:
    """Connected, and no longer writing the copy that the connection began with."""
    state = replica.info()
    return state.get("master_link_status") == "up" and not (
        state["aof_rewrite_scheduled"] or state["aof_rewrite_in_progress"]
    )


def standby_of(primary: LocalPostgres, data_dir: Path) -> LocalPostgres:
    """A started copy of a running PostgreSQL, which streams what is committed there."""
    data_dir.parent.mkdir(parents=True)
    standby = LocalPostgres(data_dir, free_port(), fsync=False)
    home = find_home(data_dir)
    write_private(standby.data_dir.with_name(f"{standby.data_dir.name}.password"), primary._password)
    command = [
        *(str(home.programs / "pg_basebackup"), f"--dbname={primary.url}", f"--pgdata={home.data_dir}"),
        *("--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream"),
    ]
    subprocess.run(command, check=True, timeout=COPY_LIMIT_S)
    if home.account is not None:
        for path in (home.data_dir, *home.data_dir.rglob("*")):
            shutil.chown(path, home.account.uid, home.account.gid)
    home.data_dir.chmod(0o700)
    standby.start()
    return standby


def alter_system(server: LocalPostgres, setting: str, value: str) -> None:
    """Change a setting of a running server, a standby too."""
    with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"ALTER SYSTEM SET {setting} = %s", (value,))
        cursor.execute("SELECT pg_reload_conf()")
