"""What each container is given, as docker-compose.yml gives it: variables, and secrets as files, each part only its own."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scripts.local_servers import DATABASE, DATABASE_USER, LocalPostgres, LocalValkey
from scripts.make_secrets import make_secrets
from scripts.postgres_home import find_home
from scripts.server_process import ServerError

MAKE_ROLES = Path(__file__).parents[1] / "deploy" / "compose" / "make_roles.sh"
ROLES_LIMIT_S = 60.0
# Whom each service logs in to PostgreSQL as; the first owns the tables.
ROLES = {"migrate": DATABASE_USER, "api": "registration_api", "worker": "registration_worker"}
# Secret -> the name of its file in the service's container.
SECRETS = {
    "migrate": {
        "secret_key": "secret_key",
        "database_password": "database_password",
        "redis_password": "redis_password",
    },
    "api": {
        "secret_key": "secret_key",
        "secret_keys_previous": "secret_keys_previous",
        "redis_password": "redis_password",
        "database_api_password": "database_password",
    },
    "worker": {
        "secret_key": "secret_key",
        "redis_password": "redis_password",
        "database_worker_password": "database_password",
    },
    "rq-dashboard": {
        "redis_password": "redis_password",
        "rq_dashboard_password": "rq_dashboard_password",
    },
}


@dataclass(frozen=True, slots=True)
class Given:
    """Variables, and files that appear in /run/secrets under these names."""

    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)

    def and_variables(self, **more: str) -> "Given":
        """The same with more variables."""
        return Given({**self.environment, **more}, self.secrets)


NOTHING = Given()


class Services:
    """The services of Compose on throw-away servers; `folder` gets their secrets. Both servers must run."""

    def __init__(self, postgres: LocalPostgres, valkey: LocalValkey, folder: Path) -> None:
        self._postgres = postgres
        self._valkey = valkey
        self._folder = folder

    def prepare(self) -> None:
        """Make the secrets, with the passwords that the servers have, and the roles. Raises ServerError."""
        self._folder.mkdir()
        for name, server in (("database_password", self._postgres), ("redis_password", self._valkey)):
            (self._folder / name).write_text(f"{unquote(urlsplit(server.url).password or '')}\n")
            (self._folder / name).chmod(0o444)
        make_secrets(self._folder)
        environment = {
            "PATH": f"{find_home(self._postgres.data_dir).programs}:{os.environ['PATH']}",
            "SECRETS_DIR": str(self._folder),
            "POSTGRES_USER": DATABASE_USER,
            "POSTGRES_DB": self._postgres.url,
        }
        command = ["sh", str(MAKE_ROLES)]
        made = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=ROLES_LIMIT_S
        )
        if made.returncode:
            message = f"no roles could be made:\n{made.stderr.strip()}"
            raise ServerError(message)

    def given(self, service: str) -> Given:
        """What one of SECRETS is given."""
        environment = {"REDIS_URL": f"redis://127.0.0.1:{self._valkey.port}/0"}
        if service in ROLES:
            environment["ENVIRONMENT"] = "production"
            place = f"127.0.0.1:{self._postgres.port}/{DATABASE}"
            environment["DATABASE_URL"] = f"postgresql://{ROLES[service]}@{place}"
        if service == "migrate":
            environment |= {f"DATABASE_{part.upper()}_ROLE": ROLES[part] for part in ("api", "worker")}
        return Given(environment, {name: self._folder / kept for kept, name in SECRETS[service].items()})

    def secret(self, name: str) -> str:
        """What a secret's file holds."""
        return (self._folder / name).read_text().strip()
