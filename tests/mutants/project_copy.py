"""A copy of the project to plant a bug in. The working tree itself is never touched."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
LIST_FILES = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")


@contextmanager
def project_copy() -> Iterator[Path]:
    """The root of a copy that is deleted when the block ends. Raises CalledProcessError outside a git work tree."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        root = Path(directory, "project")
        for name in _files():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT_ROOT / name, target)
        _adopt_environment(root)
        yield root


def _files() -> list[str]:
    """Everything that git tracks or would track, and that is there."""
    listed = subprocess.run(LIST_FILES, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (PROJECT_ROOT / name).is_file()]


def _adopt_environment(root: Path) -> None:
    """Give the copy the same virtual environment as its own: ours puts the folder it lies in first on the path."""
    environment = root / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        (environment / entry.name).symlink_to(entry)


def python_of(root: Path) -> str:
    """The interpreter of a copy."""
    return str(root / ".venv" / "bin" / "python")
