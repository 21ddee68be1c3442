"""A folder to build images from, with secrets and other things in it that must not get into them."""

import shutil
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("Dockerfile.*", ".dockerignore", "constraints.txt", "requirements*.txt", "alembic.ini")
FOLDERS = ("alembic", "api", "scripts", "shared", "worker")
# Where these may lie on a real machine.
STRAYS = (
    ".env",
    ".env.production",
    ".git/config",
    "api/.env",
    "api/__pycache__/stray.cpython-313.pyc",
    "docs/notes.md",
    "scripts/.env.local",
    "secrets/secret_key",
    "shared/stray.pyc",
    "tests/test_stray.py",
    "worker/.env",
)
MARK = "left here by a check of the images"


def copy_with_strays(folder: Path) -> None:
    """Copy what images are made of into an empty folder, and put every stray beside it, with MARK as its content."""
    for pattern in SOURCES:
        for source in PROJECT_ROOT.glob(pattern):
            shutil.copy(source, folder / source.name)
    for name in FOLDERS:
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in STRAYS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MARK, encoding="utf-8")
