"""The programs that build images and run containers: docker, podman and buildah, told apart here and nowhere else.

A container gets what Compose and Kubernetes give it: the image's user, no capability, a root that it cannot write to, and
a /tmp in memory. It shares this machine's network, so that it reaches servers on 127.0.0.1.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from scripts.image_services import NOTHING, Given
from shared.settings import SECRETS_DIR

BUILD_LIMIT_S = 1200.0
ANSWER_LIMIT_S = 60.0
RUN_LIMIT_S = 180.0
OUTPUT_MAX = 3000
# buildah makes root file systems, but cannot run anything on one that is read-only. Nothing of the host but the network
# is left visible; the process is the first one of its own, as in Kubernetes.
CONFINED = """
set -eu
root=$1 folder=$2 user=${3%:*} group=${3#*:} secrets=$4 image_path=$PATH
shift 4
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k dev "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec,size=64m shm "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec tmp "$root/tmp"
if [ -n "$secrets" ]; then
    mount -t tmpfs -o mode=755,size=64k run "$root/run"
    mkdir "$root/run/secrets"
    IFS='
'
    for secret in $secrets; do
        touch "$root/run/secrets/${secret%%=*}"
        mount --bind "${secret#*=}" "$root/run/secrets/${secret%%=*}"
    done
fi
exec chroot "$root" /usr/bin/env PATH="$image_path" /bin/sh -c 'cd "$1"; user=$2 group=$3; shift 3
    exec setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
        -- "$@"' sh "$folder" "$user" "$group" "$@"
"""


class BuilderError(Exception):
    """An image could not be built, looked into or run; the message has the last words about it."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants a builder told: before its subcommand, at each build, and at each run by an engine."""

    always: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an image says about running it."""

    user: str
    folder: str
    environment: dict[str, str]
    command: list[str]
    health_check: list[str]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended."""

    code: int
    output: str
    seconds: float


class Container:
    """One container on an image, and the file with what it writes; `leader` made its namespaces and waits for it."""

    def __init__(self, leader: subprocess.Popen[bytes], log_path: Path) -> None:
        self._leader = leader
        self._log_path = log_path
        self._began = time.monotonic()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._leader.poll() is None

    def log(self) -> str:
        """All it has written so far."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def end(self, limit_s: float = RUN_LIMIT_S) -> Ended:
        """Wait until it ends by itself. Raises BuilderError past the limit, and kills it."""
        try:
            code = self._leader.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            message = f"did not end within {limit_s:.0f} s:\n{self.log()}"
            raise BuilderError(message) from None
        return Ended(code, self.log(), time.monotonic() - self._began)

    def stop(self, limit_s: float) -> Ended:
        """SIGTERM to its first process; the seconds are from there to its end. Raises BuilderError past the limit."""
        self._began = time.monotonic()
        self.send(signal.SIGTERM)
        return self.end(limit_s)

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        if self.running:
            self.send(signal.SIGKILL)
            self._leader.wait(ANSWER_LIMIT_S)

    def send(self, number: signal.Signals) -> None:
        """A signal to its first process."""
        leader = psutil.Process(self._leader.pid)
        for first in leader.children() or [leader]:
            first.send_signal(number)


class EngineContainer(Container):
    """A container in the hands of an engine, which alone may send it signals."""

    def __init__(self, leader: subprocess.Popen[bytes], log_path: Path, kill: list[str]) -> None:
        super().__init__(leader, log_path)
        self._kill = kill

    def send(self, number: signal.Signals) -> None:
        """Through the engine."""
        _answer([*self._kill, "--signal", number.name], ANSWER_LIMIT_S)


class Builder(ABC):
    """One of the programs, as its caller wants it used."""

    name: str
    # Without it podman and buildah drop health checks, which their own format does not know.
    format_arguments: tuple[str, ...] = ("--format", "docker")

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._program = [self.name, *wishes.always]
        self._opened = ExitStack()

    def problem(self) -> str | None:
        """Why it cannot be used here; None when it can."""
        if shutil.which(self.name) is None:
            return "is not installed"
        try:
            _answer([*self._program, "info"], ANSWER_LIMIT_S)
        except BuilderError as error:
            return f"does not answer: {str(error).splitlines()[-1]}"
        return None

    def build(self, context: Path, dockerfile: str, tag: str) -> None:
        """Build an image. Raises BuilderError."""
        command = [*self._program, "build", *self.format_arguments, "--tag", tag, *self._wishes.build]
        _answer([*command, "--file", str(context / dockerfile), str(context)], BUILD_LIMIT_S)

    def configuration(self, tag: str) -> Configuration:
        """What an image says about running it. Raises BuilderError."""
        found = self._inspected(tag)
        if not found.get("Healthcheck"):
            message = f"{tag} has lost its health check"
            raise BuilderError(message)
        return Configuration(
            user=found["User"],
            folder=found["WorkingDir"],
            environment=dict(each.split("=", 1) for each in found["Env"]),
            command=found["Cmd"],
            health_check=found["Healthcheck"]["Test"][1:],
        )

    @abstractmethod
    def _inspected(self, tag: str) -> dict[str, Any]:
        """The configuration under Docker's names."""

    @abstractmethod
    def start(
        self,
        tag: str,
        command: Sequence[str],
        log_path: Path,
        given: Given = NOTHING,
        user: str | None = None,
    ) -> Container:
        """Start a confined container, as the image's user if none is given."""

    def close(self) -> None:
        """Give back what looking into images took."""
        self._opened.close()


class Engine(Builder):
    """Docker, and podman, which takes the same commands."""

    def _inspected(self, tag: str) -> dict[str, Any]:
        answer = _answer([*self._program, "image", "inspect", tag], ANSWER_LIMIT_S)
        image = json.loads(answer)[0]
        # Podman tells it beside the rest.
        return {"Healthcheck": image.get("Healthcheck"), **image["Config"]}

    def start(
        self,
        tag: str,
        command: Sequence[str],
        log_path: Path,
        given: Given = NOTHING,
        user: str | None = None,
    ) -> Container:
        """`run`, in the foreground, so that it ends with the container and has its exit code."""
        name = f"course-registration-check-{secrets.token_hex(4)}"
        options = ["--rm", "--name", name, "--network", "host", "--read-only", "--tmpfs", "/tmp"]  # noqa: S108
        options += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        options += [] if user is None else ["--user", user]
        # By name alone: the values are taken from the environment, which no list of processes shows.
        options += [word for variable in given.environment for word in ("--env", variable)]
        for secret, path in given.secrets.items():
            options += ["--volume", f"{path}:{SECRETS_DIR}/{secret}:ro"]
        run = [*self._program, "run", *options, *self._wishes.run, tag, *command]
        leader = _launch(run, log_path, os.environ | dict(given.environment))
        return EngineContainer(leader, log_path, [*self._program, "kill", name])


class Docker(Engine):
    """Docker keeps health checks without being told."""

    name = "docker"
    format_arguments = ()


class Podman(Engine):
    """Podman."""

    name = "podman"


class Buildah(Builder):
    """buildah builds; containers are made here, which only root may do."""

    name = "buildah"

    def __init__(self, wishes: Wishes) -> None:
        super().__init__(wishes)
        self._roots: dict[str, str] = {}

    def problem(self) -> str | None:
        """It makes no containers for others than root."""
        return super().problem() or (None if os.geteuid() == 0 else "can be used here by root only")

    def _inspected(self, tag: str) -> dict[str, Any]:
        answer = _answer([*self._program, "inspect", "--type", "image", tag], ANSWER_LIMIT_S)
        configuration: dict[str, Any] = json.loads(answer)["Docker"]["config"]
        return configuration

    def start(
        self,
        tag: str,
        command: Sequence[str],
        log_path: Path,
        given: Given = NOTHING,
        user: str | None = None,
    ) -> Container:
        """In namespaces of its own on the image's files."""
        said = self.configuration(tag)
        unshare = [shutil.which("unshare") or "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        secrets_given = "\n".join(f"{name}={path}" for name, path in given.secrets.items())
        confined = ["/bin/sh", "-c", CONFINED, "sh", self._root(tag), said.folder, user or said.user]
        leader = _launch(
            [*unshare, *confined, secrets_given, *command],
            log_path,
            said.environment | dict(given.environment),
        )
        return Container(leader, log_path)

    def _root(self, tag: str) -> str:
        """Where the image's files are, once it has been mounted."""
        if tag not in self._roots:
            container = _answer([*self._program, "from", "--pull-never", tag], ANSWER_LIMIT_S).strip()
            self._opened.callback(_answer, [*self._program, "rm", container], ANSWER_LIMIT_S)
            self._roots[tag] = _answer([*self._program, "mount", container], ANSWER_LIMIT_S).strip()
        return self._roots[tag]


BUILDERS: tuple[type[Builder], ...] = (Docker, Podman, Buildah)


def _launch(command: list[str], log_path: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log_path.open("wb") as log:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A Ctrl-C at the terminal is ours alone, and ends it in order.
            start_new_session=True,
        )


def _answer(command: list[str], limit_s: float) -> str:
    """What a command prints. Raises BuilderError when it fails or does not end in time."""
    try:
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuilderError(str(error)) from error
    if ended.returncode:
        message = f"{' '.join(command)} failed:\n{(ended.stderr or ended.stdout).strip()[-OUTPUT_MAX:]}"
        raise BuilderError(message)
    return ended.stdout
