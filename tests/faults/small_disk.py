"""A site in a directory of its own, with Redis' data on a disk small enough to be filled, where that can be had."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.faults.site import Site

SIZE = "256m"


@contextmanager
def temporary_site() -> Iterator[Site]:
    """A running site; its directory is deleted at the end."""
    directory = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        # Closed also when it was interrupted while starting.
        with small_disk(directory / "valkey"), closing(Site(directory)) as site:
            site.start()
            yield site
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A small file system at this folder while the block runs; without root an ordinary folder, which cannot fill up."""
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and not _run(mount)
    try:
        yield
    finally:
        if mounted:
            _run(["umount", str(folder)])


def _run(command: list[str]) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode
