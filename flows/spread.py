"""Which worker takes a new connection: one that holds no more than the others.

All workers accept from one socket, and a connection stays with the worker that took it. Left to
itself the first that wakes takes all that wait: eight connections have landed on one of two
workers. So workers tell each other how many they hold, on a page of shared memory, and one that
holds more leaves a connection to the others for a moment; if they do not take it, it does. Sockets
of their own (SO_REUSEPORT) would spread by chance only, and lose what waits at a killed worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

BOARD = "RATCHET_SHARES"  # where the page is
SLOTS = 64  # workers past that accept as they please
NOBODY = 0xFFFF_FFFF
SLACK = 8  # one more connection a worker for each eight is even enough
PATIENCE_S = 0.05
DISTRUST_S = 0.2  # others that left a connection alone are not waited for again so long
FULL_S = 0.1  # no more open files are allowed
ACCEPTED_A_LOOK = 16


def board() -> str:
    """Return the path of a new page that lasts as long as this process."""
    page = os.memfd_create("ratchet-shares")
    os.write(page, NOBODY.to_bytes(4, "little") * SLOTS)
    return f"/proc/{os.getpid()}/fd/{page}"


def holds_more(own: int, least: int) -> bool:
    """Whether a worker should leave the next connection to one that holds the least.

    >>> holds_more(1, 0), holds_more(1, 1), holds_more(108, 100), holds_more(113, 100)
    (True, False, False, True)
    """
    return own > least + least // SLACK


class Shares:
    """One worker's view of the page.

    Parameters
    ----------
    path : as `board` returned it
    place : from 0
    """

    def __init__(self, path: str, place: int) -> None:
        with Path(path).open("r+b") as page:
            self._held = memoryview(mmap.mmap(page.fileno(), SLOTS * 4)).cast("I")
        self._place = place

    def tell(self, held: int) -> None:
        """Tell the others how many connections this worker holds."""
        self._held[self._place] = held

    def least(self) -> int:
        """Return the least that another holds; `NOBODY` where there is no other."""
        return min(h for i, h in enumerate(self._held) if i != self._place)


class Acceptor:
    """Accepts from a shared socket; in the place of uvicorn's `Server` of asyncio.

    Parameters
    ----------
    held : tells how many connections are open here
    made : makes a protocol
    """

    def __init__(
        self,
        listener: socket.socket,
        shares: Shares,
        held: Callable[[], int],
        made: Callable[[], asyncio.Protocol],
    ) -> None:
        self._listener, self._shares = listener, shares
        self._held, self._made = held, made
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._trusted_from = 0.0
        self._closed = False
        listener.setblocking(False)
        self._tell()
        self._listen()

    def close(self) -> None:
        """Accept no more."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._shares.tell(NOBODY)

    async def wait_closed(self) -> None:
        """Return at once: uvicorn itself waits for the connections."""

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._look)

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, then)

    def _tell(self) -> int:
        own = self._held() + len(self._opening)
        self._shares.tell(own)
        return own

    def _look(self) -> None:
        """Take what waits, as long as no other worker should."""
        for _ in range(ACCEPTED_A_LOOK):
            least = self._shares.least()
            if holds_more(self._tell(), least) and time.monotonic() >= self._trusted_from:
                self._pause(PATIENCE_S, lambda least=least: self._look_again(least))  # type: ignore[misc]
                return
            try:
                taken, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._pause(FULL_S, self._listen)
                return
            self._open(taken)

    def _look_again(self, least: int) -> None:
        """Go on; without the others for a while, where they left it alone."""
        if self._closed:
            return
        self._tell()
        if select.select([self._listener], [], [], 0)[0] and self._shares.least() <= least:
            self._trusted_from = time.monotonic() + DISTRUST_S
        self._listen()

    def _open(self, taken: socket.socket) -> None:
        taken.setblocking(False)
        with contextlib.suppress(OSError):  # the client is gone again
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._made, taken)
        )
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled():
            task.exception()  # a client that is gone again is nobody's fault


def join(worker: int) -> None:
    """Let this process's uvicorn share its connections; does nothing without a board.

    Parameters
    ----------
    worker : from 1
    """
    path = os.environ.get(BOARD)
    if not path or not 0 < worker <= SLOTS:
        return
    import uvicorn

    shares = Shares(path, worker - 1)
    plain = uvicorn.Server.startup

    async def startup(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        await plain(self, sockets=[])

        def made() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        def held() -> int:
            return len(self.server_state.connections)

        self.servers += [Acceptor(s, shares, held, made) for s in sockets or ()]  # type: ignore[misc]

    uvicorn.Server.startup = startup  # type: ignore[method-assign]
