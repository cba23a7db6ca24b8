"""One port for REST and the ticker: a bare ASGI application and the process around it.

Bare, because lock-step makes an HTTP call at every instant of a day: a framework's router and
middlewares would cost more than the exchange. HTTP/1.1 with keep-alive; the ticker is at `/`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from agent.console import tell
from agent.errors import EnvironmentRefused
from agent.paper.answers import Answer, Request, refusal
from agent.paper.hub import Connection, Hub
from agent.paper.refusals import RequestRefused
from agent.paper.service import Service
from agent.paper.wire import HEARTBEAT

BODY_BYTES_MAX: Final = 1_000_000
KEEP_ALIVE_S: Final = 3_600  # a client's pooled connection must not be closed under its next call
STOP_S: Final = 1
POLL_S: Final = 0.005
OPEN: Final[dict[Any, asyncio.Transport]] = {}  # by peer: as many as uvicorn holds itself

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """The ASGI side of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one ticker connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._ticker(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        answer: Answer
        if body is None:
            answer = refusal(RequestRefused("Request too large", "InputException", 413))
        else:
            answer = await self._service.answer(
                Request(
                    scope["method"],
                    scope["path"],
                    scope["query_string"].decode("latin-1"),
                    {name.decode("latin-1"): value.decode("latin-1")
                     for name, value in scope["headers"]},
                    body,
                )
            )  # fmt: skip
        if answer.hold_s:
            await asyncio.sleep(answer.hold_s)
        if answer.abort:
            _reset(scope)
            while (await receive())["type"] != "http.disconnect":
                continue
            return
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": self._headers(answer),
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    def _headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        told_s = time.time() + self._service.hub.skew_ms() / 1000  # the broker's clock is the wall
        headers = [
            (b"content-length", str(len(answer.body)).encode()),
            (b"date", formatdate(told_s, usegmt=True).encode()),
            (b"x-paper-time", str(self._service.exchange.now_ms).encode()),
        ]
        if answer.content_type:
            headers.append((b"content-type", answer.content_type.encode()))
        if answer.location:
            headers.append((b"location", answer.location.encode()))
        return headers

    async def _ticker(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        query = parse_qs(scope["query_string"].decode("latin-1"))
        key, token = (query.get(name, [""])[0] for name in ("api_key", "access_token"))
        service = self._service
        allowed = service.access.allows(key, token, service.clock.now_ms())
        if service.hub.refuses():
            _reset(scope)
            await receive()  # websocket.disconnect
            return
        connection = service.hub.open() if allowed and scope["path"] == "/" else None
        if connection is None:
            await send({"type": "websocket.close", "code": 1008})  # before accepting: HTTP 403
            return
        await send({"type": "websocket.accept"})
        sender = asyncio.create_task(_pump(connection, send, service.hub, scope))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                if message.get("text"):
                    service.hub.receive(connection, message["text"])
        finally:
            sender.cancel()
            service.hub.close(connection)
            OPEN.pop(tuple(scope["client"] or ()), None)
            if connection.client is not None:
                why = "its ticker connection closed"
                self._later(service.clock.drop(connection.client, why))

    def _later(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _body(receive: Receive) -> bytes | None:
    """Return a request's body, or None if it is too large."""
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body"):
            return body


def _reset(scope: Scope) -> None:
    """Break the connection of a request or a ticker, as a network does."""
    transport = OPEN.get(tuple(scope["client"] or ()))
    if transport is not None:
        transport.abort()


async def _pump(connection: Connection, send: Send, hub: Hub, scope: Scope) -> None:
    with suppress(OSError, RuntimeError):  # the connection went away under a frame
        while True:
            try:
                piece = await connection.take()
            except ConnectionResetError:
                _reset(scope)
                return
            if piece is HEARTBEAT and hub.silent():
                continue
            if isinstance(piece, bytes):
                await send({"type": "websocket.send", "bytes": piece})
            else:
                await send({"type": "websocket.send", "text": piece})


def listen(host: str, port: int) -> socket.socket:
    """Take a port, before anything slow is done.

    Raises
    ------
    EnvironmentRefused
        If it is taken or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle off: an answer in two writes costs 40 ms else.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(128)
    except OSError as fault:
        taken.close()
        raise EnvironmentRefused(
            f"port {port} on {host}",
            given=fault.strerror or fault,
            allowed="a free port of this machine",
            fix="stop what holds it, or choose another with --port",
        ) from fault
    return taken


@dataclass(frozen=True, slots=True)
class Served:
    """Where the exchange listens."""

    host: str
    port: int

    @property
    def rest(self) -> str:
        """Return the REST root."""
        return f"http://{self._address}"

    @property
    def ticker(self) -> str:
        """Return the ticker's root."""
        return f"ws://{self._address}"

    @property
    def _address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Http(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol; a fault may want to break its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        OPEN[transport.get_extra_info("peername")] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        OPEN.pop(self.transport.get_extra_info("peername"), None)
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: a stop asked for is a clean exit."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


async def serve(service: Service, taken: socket.socket, served: Served, ready: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; the ready file is written once calls are answered."""
    config = uvicorn.Config(
        Application(service),
        http=_Http,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[taken]))
    while not server.started and not serving.done():
        await asyncio.sleep(POLL_S)
    if ready is not None and server.started:
        _write_ready(ready, served)
    driving = asyncio.create_task(service.clock.run())
    driving.add_done_callback(lambda task: _stop_on_fault(task, server))
    try:
        await serving
    finally:
        driving.cancel()
        with suppress(asyncio.CancelledError):
            await driving


def _stop_on_fault(task: asyncio.Task[None], server: _Server) -> None:
    if not task.cancelled() and task.exception() is not None:
        tell("paper exchange: the clock has stopped; serving ends")
        server.should_exit = True


def _write_ready(ready: Path, served: Served) -> None:
    """Write where the exchange is served, whole or not at all."""
    told = {"pid": os.getpid(), "port": served.port, "rest": served.rest, "ticker": served.ticker}
    ready.parent.mkdir(parents=True, exist_ok=True)
    part = ready.with_name(f"{ready.name}.part")
    part.write_text(json.dumps(told) + "\n", encoding="utf-8")
    part.replace(ready)
