"""The script by which Compose's PostgreSQL gets its roles, run as its image runs it: with psql, once."""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from scripts.local_servers import LocalPostgres, free_port
from shared.settings import with_password
from tests.conftest import REPOSITORY

PASSWORDS = {"api": "plain0123", "worker": 'it\'s $(odd) \\ "quoted"'}


@pytest.fixture
def server(tmp_path: Path) -> LocalPostgres:
    """A server of its own, for roles belong to a whole server."""
    return LocalPostgres(tmp_path / "data", free_port(), fsync=False)


@pytest.mark.skipif(not shutil.which("psql"), reason="no psql on this machine")
def test_both_roles_can_log_in_with_their_passwords_and_are_nobody_special(
    server: LocalPostgres, tmp_path: Path
) -> None:
    """Whatever characters a password is made of."""
    for part, password in PASSWORDS.items():
        (tmp_path / f"database_{part}_password").write_text(f"{password}\n")
    with server:
        url = urlsplit(server.url)
        environment = {
            "PATH": os.environ["PATH"],
            "SECRETS_DIR": str(tmp_path),
            "POSTGRES_USER": str(url.username),
            "POSTGRES_DB": url.path.removeprefix("/"),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGPASSWORD": str(url.password),
        }
        script = REPOSITORY / "deploy" / "compose" / "make_roles.sh"
        subprocess.run(["sh", str(script)], env=environment, check=True, timeout=60)
        for part, password in PASSWORDS.items():
            place = f"postgresql://registration_{part}@127.0.0.1:{server.port}{url.path}"
            connection = psycopg2.connect(with_password(place, password))
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = user"
                )
                assert cursor.fetchone() == (False,)
            connection.close()
    server.discard_data()
