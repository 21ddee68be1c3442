"""Makes the secrets of a Compose stack: random, a file each, and never twice.

Needs nothing but Python itself: whoever runs containers need not install the project.
"""

import secrets
from pathlib import Path

# Files of this mode can be read by the containers' users; the folder keeps everybody else on this machine out.
FILE_MODE, FOLDER_MODE = 0o444, 0o700
SECRET_BYTES = 32
NAMES = (
    "secret_key",
    "database_password",
    "database_api_password",
    "database_worker_password",
    "redis_password",
    "rq_dashboard_password",
)
# Files that are wanted but hold nothing yet.
EMPTY_NAMES = ("secret_keys_previous",)


def make_secrets(folder: Path) -> list[str]:
    """Make what is missing, and leave what is there: the databases keep the passwords they were first started with.

    Returns the names of those that were made.
    """
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    made = [name for name in NAMES if _keep(folder / name, secrets.token_hex(SECRET_BYTES))]
    made += [name for name in EMPTY_NAMES if _keep(folder / name, "")]
    password = (folder / "redis_password").read_text(encoding="utf-8").strip()
    _keep(folder / "redis.conf", f"requirepass {password}")
    return made


def _keep(path: Path, content: str) -> bool:
    """Write the file unless it exists; whether it was written."""
    if path.exists():
        return False
    path.touch(mode=0o600)
    path.write_text(f"{content}\n" if content else "", encoding="utf-8")
    path.chmod(FILE_MODE)
    return True


if __name__ == "__main__":
    print(f"made in ./secrets: {', '.join(make_secrets(Path('secrets'))) or 'nothing, all are there'}")
