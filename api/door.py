"""The door of the HTTP server: logins come in a few at a time, and those for which there is no room are turned away.

A storm of them arrives in one instant, and whatever one turn of the event loop does with it keeps registrations waiting.
"""

import asyncio
from collections import deque
from functools import cache
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.hashing import HashingPool, busy
from api.problems import response_to
from shared import metrics

LOGIN = b"POST /auth/"
HASHING = "hashing"
"""Where the state of the application's lifespan holds the hashing pool."""
# How many logins are looked at together, and how long the next ones wait: far faster than passwords can be hashed, and
# slow enough that Redis and others have the processor in between.
ADMITTED_TOGETHER = 8
ADMISSION_PAUSE_S = 0.005
# The client hangs up at `Connection: close`; had we done so at once, it might lose the answer while it still sends.
HANG_UP_S = 5.0


class Lobby:
    """Where logins wait to be looked at, unread but for their first bytes."""

    def __init__(self) -> None:
        self._waiting: deque[Door] = deque()
        self._pausing = False

    def enter(self, connection: "Door") -> None:
        """Wait behind those who came before."""
        self._waiting.append(connection)
        if not self._pausing:
            self._pausing = True
            connection.loop.call_soon(self._admit, connection.loop)

    def _admit(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pausing = bool(self._waiting)
        if self._pausing:
            loop.call_later(ADMISSION_PAUSE_S, self._admit, loop)
        for _ in range(min(ADMITTED_TOGETHER, len(self._waiting))):
            self._waiting.popleft().come_in()


LOBBY = Lobby()


class Door(HttpToolsProtocol):
    """Uvicorn's protocol for one connection, with a look at what comes first."""

    _heard = b""
    _let_in = False
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with the next bytes of a connection."""
        if self._refused:
            return
        if data.startswith(LOGIN) and self._is_between_requests():
            self._heard = data
            self.flow.pause_reading()
            LOBBY.enter(self)
        else:
            super().data_received(data)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def come_in(self) -> None:
        """Called by the lobby: go on with the login, or refuse it."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._let_in = self._pool().let_in()
        if self._let_in:
            super().data_received(self._heard)
        else:
            self._refuse()

    def on_response_complete(self) -> None:
        """Called when a request has been answered."""
        self._let_out()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop when the connection has ended."""
        self._let_out()
        super().connection_lost(exc)

    def _let_out(self) -> None:
        if self._let_in:
            self._let_in = False
            self._pool().let_out()

    def _pool(self) -> HashingPool:
        pool: HashingPool = self.app_state[HASHING]
        return pool

    def _refuse(self) -> None:
        self._refused = True
        self._pool().count_refused()
        metrics.PROBLEMS.labels(busy().code).inc()
        self.transport.write(_refusal())
        self.loop.call_later(HANG_UP_S, self.transport.close)


@cache
def _refusal() -> bytes:
    """What every refused login is answered, as it goes over the wire; after it the connection ends."""
    response = response_to(busy())
    status = HTTPStatus(response.status_code)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [name + b": " + value for name, value in (*response.raw_headers, (b"connection", b"close"))]
    return b"\r\n".join([*lines, b"", bytes(response.body)])
