"""One kept-alive HTTP connection of an event loop, as cheap as a load generator needs it."""

from __future__ import annotations

import asyncio


class Wire(asyncio.Protocol):
    """A connection with at most one request under way.

    Attributes
    ----------
    open : bool
        False once either side has closed it.
    """

    def __init__(self) -> None:
        self.done: asyncio.Future[bytes] | None = None
        self.open = False
        self._got = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.open = transport, True  # type: ignore[assignment]

    def ask(self, text: bytes) -> asyncio.Future[bytes]:
        """Send a request; the future is its whole answer, head and body."""
        assert self.transport is not None
        self.done = asyncio.get_running_loop().create_future()
        if not self.open:
            self.done.set_exception(ConnectionResetError("closed before"))
        self.transport.write(text)
        return self.done

    def data_received(self, data: bytes) -> None:
        self._got += data
        top, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        at = top.lower().index(b"content-length:") + 15
        if len(body) >= int(top[at:].split(b"\r\n", 1)[0]) and self.done is not None:
            got, self._got = self._got, b""
            if b"connection: close" in top.lower():
                self.open = False
            if not self.done.done():
                self.done.set_result(got)

    def connection_lost(self, fault: Exception | None) -> None:
        self.open = False
        if self.done is not None and not self.done.done():
            self.done.set_exception(fault or ConnectionResetError("closed"))

    def close(self) -> None:
        """Let go of it."""
        self.open = False
        if self.transport is not None:
            self.transport.close()


async def connect(port: int) -> Wire:
    """Return a new connection to a port of the loopback."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Wire, "127.0.0.1", port))[1]
