"""Who takes part over HTTP: the programs each consists of, started, awaited and stopped as real processes."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from bench.ground import PROJECT_ROOT, Ground
from bench.processor import memory_mb, processor_times
from scripts.local_servers import free_port
from scripts.processes import Child, http_status
from scripts.server_process import ServerError
from shared.database import reading
from shared.store import ownership

READY_LIMIT_S = 30.0
LOOK_PAUSE_S = 0.05
# The same for every contestant; nobody pays for an access log.
UVICORN_OPTIONS = ("--host", "127.0.0.1", "--no-access-log", "--no-server-header", "--log-level", "warning")


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that answers `POST /courses/{id}/register`. `app` is an ASGI application, `others` further modules."""

    name: str
    app: str = ""
    others: tuple[str, ...] = ()

    def api(self, port: int) -> list[str]:
        """The module that serves it on a port, and its arguments. Without an `app` it is this system's own API."""
        if self.app:
            return ["uvicorn", self.app, "--port", str(port), *UVICORN_OPTIONS]
        return ["api", "--port", str(port)]


OURS = Contestant("this system", others=("worker",))
OURS_ACCEPTING = Contestant("this system, accepting")
SEED_STYLE = Contestant("seed-style peer (ORM)", "bench.peers.seed_style:app")
ROW_LOCK = Contestant("simple peer (asyncpg, row lock)", "bench.peers.row_lock:app")
ONE_STATEMENT = Contestant("simple peer (asyncpg, one statement)", "bench.peers.one_statement:app")
EMPTY_POST = Contestant("empty POST", "bench.peers.empty_post:app")


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant at work."""

    base_url: str
    pids: Mapping[str, int]

    def processor_times(self) -> dict[str, float]:
        """Seconds of processor time so far, by part."""
        return processor_times(self.pids)

    def memory_mb(self) -> dict[str, float]:
        """Memory by part."""
        return {part: memory_mb(pid) for part, pid in self.pids.items()}


@contextmanager
def running(ground: Ground, contestant: Contestant, **settings: str) -> Iterator[Running]:
    """Run a contestant's programs for as long as the block lasts. Raises ServerError when one does not start."""
    port = free_port()
    api = contestant.api(port)
    with ExitStack() as stack:
        children = [stack.enter_context(started(ground, "api", api, **settings))]
        children += [
            stack.enter_context(started(ground, module, [module], **settings)) for module in contestant.others
        ]
        wait_until(lambda: http_status(port, "/health/live") == HTTPStatus.OK, children)
        if "worker" in contestant.others:
            wait_until(lambda: all_shards_owned(ground), children)
        pids = {child.name: child.pid for child in children}
        yield Running(f"http://127.0.0.1:{port}", pids | server_pids(ground))


@contextmanager
def started(ground: Ground, name: str, module: Sequence[str], **settings: str) -> Iterator[Child]:
    """Run `python -m <module>` on the ground for as long as the block lasts."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), **ground.environment(**settings)}
    log_path = ground.valkey.log_path.with_name(f"{name}.log")
    child = Child(name, [sys.executable, "-m", *module], PROJECT_ROOT, environment, log_path)
    child.start()
    try:
        yield child
    finally:
        child.stop()


def wait_until(
    condition: Callable[[], bool], children: Sequence[Child], limit_s: float = READY_LIMIT_S
) -> None:
    """Wait for a condition while these programs live. Raises ServerError when one dies or it takes too long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        for child in children:
            if child.died:
                message = f"{child.name} ended, {child.exit_status}:\n{child.log_end}"
                raise ServerError(message)
        if time.monotonic() > deadline:
            message = f"{', '.join(child.name for child in children)}: not ready within {limit_s:g} s"
            raise ServerError(message)
        time.sleep(LOOK_PAUSE_S)


def all_shards_owned(ground: Ground) -> bool:
    """Whether workers own every shard, so that nothing waits for an owner any more."""
    with reading(ground.engine) as connection:
        return len(ownership.shard_owners(connection)) == ground.settings.queue_shards


def server_pids(ground: Ground) -> dict[str, int]:
    """The processes of the two servers."""
    return {"postgresql": ground.postgres.pid, "valkey": ground.valkey.pid}
