"""What the kernel knows of TCP connections: bytes that have arrived at a server which does not read."""

from pathlib import Path

import psutil

FIELDS_LOCAL, FIELDS_REMOTE, FIELDS_QUEUES = 1, 2, 4


def unread_bytes(server_port: int, client_pid: int) -> int:
    """Bytes that a process has sent to a port of this machine and that the server has not read. Linux only."""
    client_ports = {
        connection.laddr.port
        for connection in psutil.Process(client_pid).net_connections("tcp")
        if connection.raddr and connection.raddr.port == server_port
    }
    return sum(
        unread
        for local_port, remote_port, unread in _connections()
        if local_port == server_port and remote_port in client_ports
    )


def _connections() -> list[tuple[int, int, int]]:
    """Every IPv4 connection as (local port, remote port, unread bytes)."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return [
        (_port(words[FIELDS_LOCAL]), _port(words[FIELDS_REMOTE]), int(words[FIELDS_QUEUES].split(":")[1], 16))
        for words in map(str.split, lines)
    ]


def _port(address: str) -> int:
    return int(address.split(":")[1], 16)
