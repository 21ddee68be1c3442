"""The whole system as production runs it: the API and the workers log in to PostgreSQL under roles of their own."""

import secrets
import subprocess
from pathlib import Path
from typing import Self

from scripts.postgres_home import find_home
from shared.settings import with_password
from tests.e2e.stack import PROJECT_ROOT, Stack

ROLES = {"api": "registration_api", "worker": "registration_worker"}
ROLES_LIMIT_S = 60


class ProductionStack(Stack):
    """One running system; `secrets_dir` holds the passwords of both roles."""

    def __init__(self, directory: Path, *, worker_processes: int = 1, **settings: str) -> None:
        super().__init__(directory, worker_processes=worker_processes, **settings)
        self.secrets_dir = directory / "secrets"

    def start(self) -> Self:
        """Make the roles before the tables, for the migration grants to them."""
        self.postgres.start()
        self.make_passwords()
        self.make_roles()
        return super().start()

    def make_passwords(self) -> None:
        """A file for each role, as `make secrets` makes it."""
        self.secrets_dir.mkdir()
        for part in ROLES:
            (self.secrets_dir / f"database_{part}_password").write_text(f"{secrets.token_hex(32)}\n")

    def make_roles(self) -> None:
        """Run the script by which Compose's PostgreSQL gets its roles."""
        environment = {
            **self.environment(),
            "PATH": f"{self.postgres_programs}:{self.environment()['PATH']}",
            "SECRETS_DIR": str(self.secrets_dir),
            "POSTGRES_USER": "registration",
            "POSTGRES_DB": self.postgres.url,
        }
        script = PROJECT_ROOT / "deploy" / "compose" / "make_roles.sh"
        subprocess.run(["sh", str(script)], env=environment, check=True, timeout=ROLES_LIMIT_S)

    @property
    def postgres_programs(self) -> Path:
        """Where psql, pg_dump and the others of the server's own version are."""
        return find_home(self.postgres.data_dir).programs

    def database_url(self, part: str) -> str:
        """The database as the `api` or the `worker` sees it."""
        place = self.postgres.url.rpartition("@")[2]
        password = (self.secrets_dir / f"database_{part}_password").read_text().strip()
        return with_password(f"postgresql://{ROLES[part]}@{place}", password)

    def environment(self, **overrides: str) -> dict[str, str]:
        """As everywhere; a migration grants to both roles."""
        roles = {f"DATABASE_{part.upper()}_ROLE": role for part, role in ROLES.items()}
        return super().environment(**roles, **overrides)

    def start_api(self, **overrides: str) -> None:
        """Start the API under its role."""
        super().start_api(**{"DATABASE_URL": self.database_url("api"), **overrides})

    def start_workers(self, processes: int | None = None, **overrides: str) -> None:
        """Start the workers under their role."""
        super().start_workers(processes, **{"DATABASE_URL": self.database_url("worker"), **overrides})
