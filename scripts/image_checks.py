"""What is asked of the two images: what lies in them, who they run as, and whether they serve, notice and end."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts.image_builders import Builder, BuilderError, Container, Ended
from scripts.image_context import MARK
from scripts.image_services import ROLES, Given, Services
from scripts.local_servers import LocalPostgres, LocalValkey, free_port

PARTS = ("api", "worker")
# What each image has of ours; anything else in its folder has no business there.
CONTENTS = {
    "api": {"alembic", "alembic.ini", "api", "scripts", "shared"},
    "worker": {"scripts", "shared", "worker"},
}
USER = "10001"
ROOT = "0:0"
# What each image runs reaches further than any other module of it.
ENTRANCES = {"api": "api.main", "worker": "worker.registration_worker"}
# Run in the containers. The first finds strays by their content, and what else looks like one by its name.
SEARCH = f"""
import os
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in {{"/dev", "/proc", "/sys", "/tmp"}}]
    for name in folders + names:
        path = os.path.join(folder, name)
        named = name == ".git" or name.startswith(".env") or folder == "/run/secrets"
        sized = os.path.isfile(path) and os.path.getsize(path) == {len(MARK)}
        if named or (sized and open(path, "rb").read() == {MARK.encode()!r}):
            print(path)
print(*sorted(os.listdir()))
"""
WRITE = """
import pathlib
for folder in ("/", "/app", "/dev/shm", "/etc", "/tmp", "/venv"):
    try:
        (pathlib.Path(folder) / "written").touch()
        print(folder)
    except OSError:
        pass
"""
# As whom it is logged in, and which of these it may do all the same.
FORBIDDEN = """
import psycopg2
from shared.settings import load_settings
connection = psycopg2.connect(load_settings().postgresql_url)
cursor = connection.cursor()
cursor.execute("SELECT current_user")
print(*cursor.fetchone())
for statement in (
    "DELETE FROM registration_requests",
    "UPDATE courses SET max_capacity = max_capacity + 1",
    "INSERT INTO students SELECT * FROM students",
    "CREATE TABLE strays ()",
    "DROP TABLE courses",
):
    connection.rollback()
    try:
        cursor.execute(statement)
        print(statement)
    except psycopg2.errors.InsufficientPrivilege:
        pass
"""
# Shared memory is for the locks of processes that hash passwords.
WRITABLE = "/dev/shm /tmp"  # noqa: S108 - the folders are the containers'
API_PORT = 8500
STUDENT = "STU001"
PASSWORD = secrets.token_urlsafe(12)
REFUSAL = "SECRET_KEY must be set"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
HTTP_LIMIT_S = 20.0
LOOK_PAUSE_S = 0.2
LOG_MAX = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw."""

    image: str
    check: str
    seen: str
    good: bool
    seconds: float | None = None


class Images:
    """Both images, as one builder makes and runs them."""

    def __init__(self, builder: Builder, directory: Path) -> None:
        self._builder = builder
        self._directory = directory
        self._started: list[Container] = []

    def build(self, part: str, context: Path) -> Finding:
        """Build one of PARTS. Raises BuilderError."""
        began = time.monotonic()
        self._builder.build(context, f"Dockerfile.{part}", _tag(part))
        return Finding(part, "builds", "yes", good=True, seconds=time.monotonic() - began)

    def start(self, part: str, command: list[str] | None = None, **options: Any) -> Container:
        """Start a command in an image, or what the image starts by itself."""
        words = command or self._builder.configuration(_tag(part)).command
        log_path = self._directory / f"{len(self._started):03}-{part}.log"
        container = self._builder.start(_tag(part), words, log_path, **options)
        self._started.append(container)
        return container

    def run(self, part: str, *command: str, **options: Any) -> Ended:
        """Run a command in an image to its end. Raises BuilderError when that takes too long."""
        return self.start(part, list(command), **options).end()

    def asked(self, part: str, given: Given) -> Ended:
        """Run the image's own health check."""
        command = self._builder.configuration(_tag(part)).health_check
        return self.run(part, *command, given=given)

    def close(self) -> None:
        """End every container that still runs."""
        for container in self._started:
            container.kill()
        self._builder.close()


def _tag(part: str) -> str:
    return f"localhost/course-registration-{part}:check"


def contents_of(images: Images, part: str) -> Iterator[Finding]:
    """What can be seen of an image without servers."""
    *strays, own = images.run(part, "python", "-c", SEARCH, user=ROOT).output.splitlines() or [""]
    foreign = strays + sorted(set(own.split()) ^ CONTENTS[part])
    size_mb = images.run(part, "du", "--summarize", "--one-file-system", "--block-size=MB", "/", user=ROOT)
    yield Finding(part, "holds", f"{own}, {size_mb.output.split()[-2]} in all", good=not foreign)
    yield Finding(part, "holds but should not", " ".join(foreign) or "nothing", good=not foreign)
    user = images.run(part, "id", "-u").output.strip()
    yield Finding(part, "runs as", f"user {user}", good=user == USER)
    written = " ".join(images.run(part, "python", "-c", WRITE).output.split())
    yield Finding(part, "can write to", written, good=written == WRITABLE)
    compiled = compiled_by(images.run(part, "python", "-v", "-c", f"import {ENTRANCES[part]}").output)
    yield Finding(part, "compiles at its start", f"{len(compiled)} modules", good=not compiled)


def compiled_by(verbose: str) -> list[str]:
    """The modules that had no valid bytecode, from what `python -v` writes about its imports."""
    loaded = [line for line in verbose.splitlines() if line.startswith("# code object from")]
    return [line for line in loaded if not line.endswith(".pyc'")]


class RunningImages:
    """Both images at work, on throw-away servers of this machine."""

    def __init__(self, images: Images, directory: Path) -> None:
        self._images = images
        self._postgres = LocalPostgres(directory / "postgres", free_port(), fsync=False)
        self._valkey = LocalValkey(directory / "valkey", free_port())
        self._services = Services(self._postgres, self._valkey, directory / "secrets")
        self._serving: dict[str, Container] = {}

    def findings(self) -> Iterator[Finding]:
        """Everything that needs servers, one after the other. Raises BuilderError or ServerError."""
        with ExitStack() as running:
            running.callback(self._postgres.discard_data)
            for server in (self._postgres, self._valkey):
                running.callback(server.stop)
                server.start()
            self._services.prepare()
            yield from (self._refuses_the_known_secret(part) for part in PARTS)
            yield self._migrated()
            self._seed()
            yield from (self._logs_in_as(part) for part in PARTS)
            self._serving = {part: self._images.start(part, given=self._given(part)) for part in PARTS}
            yield from (self._comes_to_answer(part, "starts and is healthy", 0) for part in PARTS)
            yield Finding("both", "one registration", *self._registered())
            yield from self._commands()
            yield from self._outage()
            yield from (self._stopped(part, self._serving[part]) for part in PARTS)

    def _given(self, part: str) -> Given:
        """Two processes of the API, which share their metrics in files."""
        given = self._services.given(part)
        return given.and_variables(WEB_CONCURRENCY="2") if part == "api" else given

    def _refuses_the_known_secret(self, part: str) -> Finding:
        """The one in the sources, which holds where no other is given, is for development alone."""
        given = self._given(part)
        without = {name: path for name, path in given.secrets.items() if name != "secret_key"}
        ended = self._images.start(part, given=Given(given.environment, without)).end(START_LIMIT_S)
        refused = ended.code != 0 and REFUSAL in ended.output
        seen = f"exit code {ended.code}" if refused else ended.output[-LOG_MAX:]
        return Finding(part, "refuses the built-in secret", seen, refused, ended.seconds)

    def _logs_in_as(self, part: str) -> Finding:
        """The password came from a file, for the URL has none."""
        ended = self._images.run(part, "python", "-c", FORBIDDEN, given=self._given(part))
        seen = "; ".join(ended.output.splitlines())
        good = ended.code == 0 and seen == ROLES[part]
        return Finding(part, "logs in, and may do no harm", seen[-LOG_MAX:], good)

    def _migrated(self) -> Finding:
        """Two at once, of which one waits for the other."""
        migrate, given = ["alembic", "upgrade", "head"], self._services.given("migrate")
        both = [self._images.start("api", migrate, given=given) for _ in range(2)]
        ended = [container.end() for container in both]
        codes = " and ".join(str(one.code) for one in ended)
        return Finding(
            "api",
            "migrates twice at once",
            f"exit codes {codes}",
            good=not any(one.code for one in ended),
            seconds=max(one.seconds for one in ended),
        )

    def _seed(self) -> None:
        command = (
            "python",
            "-m",
            "scripts.seed_student",
            "--student-number",
            STUDENT,
            "--password",
            PASSWORD,
        )
        seeded = self._images.run("api", *command, given=self._services.given("migrate"))
        if seeded.code:
            message = f"no student could be made:\n{seeded.output}"
            raise BuilderError(message)

    def _registered(self) -> tuple[str, bool, float]:
        """Over HTTP, from the login to the outcome: what was seen, whether it was good, and the seconds."""
        began = time.monotonic()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{API_PORT}", timeout=HTTP_LIMIT_S) as http:
                login = {"student_number": STUDENT, "password": PASSWORD}
                token = http.post("/auth/login", json=login).json()["access_token"]
                semester = http.get("/semesters/").json()["semesters"][0]["id"]
                course = http.get(f"/semesters/{semester}/courses").json()["courses"][0]["id"]
                headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=10"}
                answer = http.post(f"/courses/{course}/register", headers=headers)
        except (httpx.TransportError, ValueError, LookupError) as error:
            return repr(error), False, time.monotonic() - began
        enrolled = answer.status_code == httpx.codes.OK and answer.json()["result"] == "ENROLLED"
        outcome = f"{answer.status_code} {answer.json().get('result')}"
        return outcome, enrolled, time.monotonic() - began

    def _commands(self) -> Iterator[Finding]:
        words = ("python", "-m", "shared.manage", "top", "--once")
        top = self._images.run("api", *words, given=self._given("api"))
        yield Finding("api", "manage top", f"exit code {top.code}", top.code == 0, top.seconds)
        port = free_port()
        given = self._services.given("rq-dashboard").and_variables(DASHBOARD_PORT=str(port))
        dashboard = self._images.start("worker", ["python", "-m", "scripts.dashboard"], given=given)
        login = ("ops", self._services.secret("rq_dashboard_password"))
        status = _until(lambda: _status(port, login) == httpx.codes.OK)
        yield Finding("worker", "dashboard", "200" if status else dashboard.log()[-LOG_MAX:], status)
        yield self._stopped("dashboard", dashboard)

    def _outage(self) -> Iterator[Finding]:
        """Without Redis neither is healthy; once it is back, both are."""
        self._valkey.stop()
        yield from (self._comes_to_answer(part, "unhealthy without Redis", 1) for part in PARTS)
        self._valkey.start()
        yield from (self._comes_to_answer(part, "healthy with Redis back", 0) for part in PARTS)

    def _comes_to_answer(self, part: str, check: str, code: int) -> Finding:
        """Ask until the health check ends with this code, for START_LIMIT_S."""
        began = time.monotonic()
        good = _until(lambda: self._images.asked(part, self._given(part)).code == code)
        seen = f"exit code {code}" if good else self._serving[part].log()[-LOG_MAX:]
        return Finding(part, check, seen, good, time.monotonic() - began)

    def _stopped(self, name: str, container: Container) -> Finding:
        try:
            ended = container.stop(STOP_LIMIT_S)
        except BuilderError as error:
            return Finding(name, "ends at SIGTERM", str(error), good=False)
        return Finding(name, "ends at SIGTERM", f"exit code {ended.code}", ended.code == 0, ended.seconds)


def _status(port: int, login: tuple[str, str]) -> int | None:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/", auth=login, timeout=HTTP_LIMIT_S).status_code
    return None


def _until(holds: Callable[[], bool]) -> bool:
    """Whether it came to hold within START_LIMIT_S."""
    deadline = time.monotonic() + START_LIMIT_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_PAUSE_S)
    return True
