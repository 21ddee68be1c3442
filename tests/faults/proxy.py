"""A TCP proxy between two parts of the system, which can break the wire in every way that a wire breaks.

What a real network holds back it delivers later, because TCP sends again; so a blackhole keeps the bytes and passes
them on when it is healed. The kernel of this machine goes on acknowledging, so keep-alive probes are not part of it.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536
ACTION_LIMIT_S = 5.0
# Linger on, for no time: closing then sends RST.
NO_GOODBYE = struct.pack("ii", 1, 0)


class Direction(Enum):
    """Which way bytes go: `UP` from the part that connected, `DOWN` back to it."""

    UP = "up"
    DOWN = "down"


class _Link:
    """One connection through the proxy."""

    def __init__(self, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self.writers = {Direction.UP: up, Direction.DOWN: down}
        self.asked = False

    def abort(self) -> None:
        """Break both sides at once with a reset instead of a goodbye."""
        for writer in self.writers.values():
            end: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_GOODBYE)
            writer.transport.abort()


class Proxy:
    """Passes 127.0.0.1:`port` on to 127.0.0.1:`target`, in a thread of its own. `target` may be changed at any time.

    `touched` counts what a fault has really done: connections reset, chunks held back, delayed or swallowed.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.touched = 0
        self._latency_s = 0.0
        self._losing_replies = False
        self._blackholes: set[Direction] = set()
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._ready: Future[None] = Future()
        self._healed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def reset(self) -> None:
        """Break every connection that is open now."""
        self._do(self._reset)

    def blackhole(self, direction: Direction) -> None:
        """From now on nothing gets through in this direction, on old connections and on new ones."""
        self._do(lambda: self._blackhole(direction))

    def delay(self, latency_s: float) -> None:
        """From now on every chunk takes so much longer, in both directions."""
        self._do(lambda: setattr(self, "_latency_s", latency_s))

    def lose_replies(self) -> None:
        """From now on what is asked arrives, but instead of the answer the connection breaks."""
        self._do(lambda: setattr(self, "_losing_replies", True))

    def heal(self) -> None:
        """End every fault; what was held back is delivered."""
        self._do(self._heal)

    def _do(self, action: Callable[[], None]) -> None:
        """Run the action in the proxy's loop and wait until it is done."""
        done: Future[None] = Future()

        def run() -> None:
            action()
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(ACTION_LIMIT_S)

    def _reset(self) -> None:
        self.touched += len(self._links)
        for link in list(self._links):
            link.abort()

    def _blackhole(self, direction: Direction) -> None:
        self._blackholes.add(direction)
        self._healed.clear()

    def _heal(self) -> None:
        self._blackholes.clear()
        self._latency_s = 0.0
        self._losing_replies = False
        self._healed.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set_result(None)
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        try:
            upstream, up = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            down.transport.abort()
            return
        link = _Link(down, up)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, Direction.UP))
                group.create_task(self._pump(link, upstream, Direction.DOWN))
        finally:
            self._links.discard(link)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, direction: Direction) -> None:
        """Pass chunks on until either side ends; a side that ends normally ends the other one normally."""
        writer = link.writers[direction]
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._hold(direction)
                if self._loses(link, direction):
                    return
                writer.write(chunk)
                await writer.drain()
        except OSError:
            link.abort()
            return
        await self._hold(direction)
        with suppress(OSError):
            writer.close()

    async def _hold(self, direction: Direction) -> None:
        """Keep a chunk for as long as the fault says."""
        if self._latency_s:
            self.touched += 1
            await asyncio.sleep(self._latency_s)
        if direction in self._blackholes:
            self.touched += 1
            while direction in self._blackholes:
                await self._healed.wait()

    def _loses(self, link: _Link, direction: Direction) -> bool:
        """Whether this chunk is an answer to be lost; then the connection is broken. Only to what was asked meanwhile."""
        if not self._losing_replies:
            link.asked = False
            return False
        if direction is Direction.UP:
            link.asked = True
            return False
        if link.asked:
            self.touched += 1
            link.abort()
        return link.asked

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())

    def start(self) -> Self:
        """Listen on a free port."""
        self._thread.start()
        self._ready.result(ACTION_LIMIT_S)
        return self

    def close(self) -> None:
        """Break everything and stop listening."""
        self.heal()
        self.reset()
        self._loop.call_soon_threadsafe(self._cancel_all)
        self._thread.join(ACTION_LIMIT_S)
        self._loop.close()

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
