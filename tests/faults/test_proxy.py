"""The proxy does to a wire what it says, and nothing when it is not told to."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Direction, Proxy

PATIENCE_S = 5.0
SOON_S = 0.2


class Echo(socketserver.BaseRequestHandler):
    """Answers what it is told."""

    def handle(self) -> None:
        """Until the other side ends."""
        while heard := self.request.recv(1024):
            self.server.heard.append(heard)
            self.request.sendall(heard)


@pytest.fixture
def server() -> Iterator[socketserver.ThreadingTCPServer]:
    """A server that answers what it is told and remembers it in `heard`."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        server.heard = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(server: socketserver.ThreadingTCPServer) -> Iterator[Proxy]:
    """A proxy before that server."""
    with Proxy(server.server_address[1]) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through the proxy that works."""
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as client:
        assert asked(client, b"hello") == b"hello"
        yield client


def asked(client: socket.socket, question: bytes, limit_s: float = PATIENCE_S) -> bytes:
    """The answer to a question."""
    client.settimeout(limit_s)
    client.sendall(question)
    return client.recv(1024)


def test_without_a_fault_everything_passes(proxy: Proxy, client: socket.socket) -> None:
    """Questions and answers arrive, and the proxy claims no fault."""
    assert asked(client, b"again") == b"again"
    assert proxy.touched == 0


def test_a_reset_breaks_open_connections_and_no_new_ones(proxy: Proxy, client: socket.socket) -> None:
    """The client is told at once; whoever connects next is served."""
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1024)
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as another:
        assert asked(another, b"new") == b"new"
    assert proxy.touched == 1


@pytest.mark.parametrize("direction", list(Direction))
def test_a_blackhole_keeps_one_direction_and_delivers_when_healed(
    direction: Direction, proxy: Proxy, client: socket.socket, server: socketserver.ThreadingTCPServer
) -> None:
    """Silent downwards the server hears the question, silent upwards it does not; no byte is lost in the end."""
    proxy.blackhole(direction)
    with pytest.raises(TimeoutError):
        asked(client, b"lost?", SOON_S)
    assert (b"lost?" in server.heard) == (direction is Direction.DOWN)
    assert proxy.touched > 0
    proxy.heal()
    client.settimeout(PATIENCE_S)
    assert client.recv(1024) == b"lost?"


def test_latency_delays_every_answer(proxy: Proxy, client: socket.socket) -> None:
    """Slower by the latency each way, and complete."""
    proxy.delay(SOON_S)
    with pytest.raises(TimeoutError):
        asked(client, b"slow", SOON_S)
    client.settimeout(PATIENCE_S)
    assert client.recv(1024) == b"slow"


def test_a_lost_reply_is_lost_after_the_question_has_arrived(
    proxy: Proxy, client: socket.socket, server: socketserver.ThreadingTCPServer
) -> None:
    """What was asked is done; the client learns only that the connection broke."""
    proxy.lose_replies()
    with pytest.raises(ConnectionResetError):
        asked(client, b"do it")
    assert b"do it" in server.heard
    assert proxy.touched == 1
