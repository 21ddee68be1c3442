"""A small network on one machine: network namespaces as hosts, a bridge as their switch, and cables that can be cut.

This machine itself is at the switch too. Each host has a network stack of its own, so what TCP does about a lost
peer is real; the clock and the CPUs are shared.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Self

from tests.e2e.waiting import wait_until

# Set aside for measuring networks (RFC 2544), so that no real neighbour is shadowed.
NETWORKS = "198.18"
NETWORKS_COUNT = 256
SWITCH = 1
COMMAND_LIMIT_S = 10.0
PORT_DISABLED, PORT_FORWARDING = "0", "3"
FORGETFUL = ("learning", "flood", "mcast_flood", "bcast_flood")


class Cut(StrEnum):
    """How a host is cut off. Nobody is sent a goodbye in any of them."""

    UNPLUGGED = "unplugged"
    """The cable is out: the host sees that its link is down."""
    SILENT = "silent"
    """The link looks well, and the switch drops what comes and goes."""
    DEAF = "deaf"
    """What the host says arrives, and nothing that is said to it."""


class HostsError(Exception):
    """A command of iproute2 failed; the message has its words."""


def what_is_missing() -> str | None:
    """Why no such network can be made here; None when it can."""
    if os.geteuid() != 0:
        return "several hosts need root, for network namespaces"
    if not all(map(shutil.which, ("ip", "bridge"))):
        return "several hosts need ip and bridge: apt install iproute2"
    try:
        with Hosts(["probe"]) as hosts:
            _run(*hosts.prefix("probe"), "true")
            return None
    except HostsError as error:
        return f"several hosts need network namespaces, which cannot be made here: {error}"


class Hosts:
    """The network while the block runs; afterwards nothing of it is left, but for processes that still run on a host."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        # An interface's name has 15 characters at the most.
        self._switch = f"cr{os.getpid()}s"
        self._network = ""

    @property
    def network(self) -> str:
        """The addresses of all hosts, with the length of their prefix."""
        return f"{self._network}.0/24"

    @property
    def address(self) -> str:
        """The address of this machine."""
        return f"{self._network}.{SWITCH}"

    def address_of(self, name: str) -> str:
        """The address of a host."""
        return f"{self._network}.{SWITCH + 1 + self._names.index(name)}"

    def prefix(self, name: str) -> list[str]:
        """What to write before a command to run it on a host."""
        return ["ip", "netns", "exec", self._namespace(name)]

    def cut(self, name: str, how: Cut) -> None:
        """Cut a host off, both ways unless it is DEAF. It stays so until `heal`."""
        port = self._port(name)
        if how is Cut.UNPLUGGED:
            _run("ip", "link", "set", "dev", port, "down")
        elif how is Cut.SILENT:
            _run("bridge", "link", "set", "dev", port, "state", PORT_DISABLED)
        else:
            self._set_forgetful(port, "off")
            _run("bridge", "fdb", "del", self._hardware_address(name), "dev", port, "master")

    def heal(self, name: str) -> None:
        """End every cut of a host."""
        port = self._port(name)
        _run("ip", "link", "set", "dev", port, "up")
        self._set_forgetful(port, "on")
        wait_until(lambda: self._forwards(port), f"the link of {name} is up")

    def _forwards(self, port: str) -> bool:
        """Let the switch use a port; False while the link is only just coming up."""
        with suppress(HostsError):
            _run("bridge", "link", "set", "dev", port, "state", PORT_FORWARDING)
            return True
        return False

    def _set_forgetful(self, port: str, value: str) -> None:
        """Without these a switch delivers only to where it has heard somebody, and hears nobody."""
        _run("bridge", "link", "set", "dev", port, *(word for name in FORGETFUL for word in (name, value)))

    def _hardware_address(self, name: str) -> str:
        shown = _run("ip", "-netns", self._namespace(name), "link", "show", "dev", "eth0")
        found = re.search(r"link/ether (\S+)", shown)
        if found is None:
            message = f"no hardware address in: {shown}"
            raise HostsError(message)
        return found[1]

    def _namespace(self, name: str) -> str:
        return f"{self._switch}-{name}"

    def _port(self, name: str) -> str:
        return f"{self._switch}{self._names.index(name)}"

    def __enter__(self) -> Self:
        try:
            self._network = _free_network()
            _run("ip", "link", "add", self._switch, "type", "bridge")
            _run("ip", "address", "add", f"{self.address}/24", "dev", self._switch)
            _run("ip", "link", "set", "dev", self._switch, "up")
            for name in self._names:
                self._plug_in(name)
        except BaseException:
            self._remove()
            raise
        return self

    def _plug_in(self, name: str) -> None:
        namespace, port = self._namespace(name), self._port(name)
        _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "link", "set", "dev", port, "master", self._switch)
        _run("ip", "link", "set", "dev", port, "up")
        _run("ip", "-netns", namespace, "address", "add", f"{self.address_of(name)}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _run("ip", "-netns", namespace, "link", "set", "dev", interface, "up")

    def _remove(self) -> None:
        """Delete what there is of it."""
        for name in self._names:
            for command in (("link", "del", self._port(name)), ("netns", "del", self._namespace(name))):
                with suppress(HostsError):
                    _run("ip", *command)
        with suppress(HostsError):
            _run("ip", "link", "del", self._switch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()


def _free_network() -> str:
    """Three numbers that no interface here uses yet; test processes side by side begin to look at different ones."""
    used = _run("ip", "-4", "-oneline", "address", "show")
    for offset in range(NETWORKS_COUNT):
        network = f"{NETWORKS}.{(os.getpid() + offset) % NETWORKS_COUNT}"
        if f" {network}." not in used:
            return network
    message = f"every network of {NETWORKS} is in use"
    raise HostsError(message)


def _run(*command: str) -> str:
    """Run a command to its end; returns what it printed. Raises HostsError."""
    try:
        finished = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=COMMAND_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostsError(str(error)) from error
    if finished.returncode != 0:
        message = f"{' '.join(command)}: {finished.stderr.strip()}"
        raise HostsError(message)
    return finished.stdout
