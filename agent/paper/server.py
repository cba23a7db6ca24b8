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
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import uvicorn

from agent.console import tell
from agent.errors import EnvironmentRefused
from agent.paper.hub import Connection
from agent.paper.refusals import RequestRefused
from agent.paper.service import Answer, Request, Service, refusal

BODY_BYTES_MAX: Final = 1_000_000
KEEP_ALIVE_S: Final = 3_600  # a client's pooled connection must not be closed under its next call
STOP_S: Final = 1
POLL_S: Final = 0.005

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
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": self._headers(answer),
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    def _headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-paper-time", str(self._service.exchange.now_ms).encode()),
        ]
        if answer.location:
            headers.append((b"location", answer.location.encode()))
        return headers

    async def _ticker(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        query = parse_qs(scope["query_string"].decode("latin-1"))
        key, token = (query.get(name, [""])[0] for name in ("api_key", "access_token"))
        service = self._service
        allowed = service.access.allows(key, token, service.clock.now_ms())
        connection = service.hub.open() if allowed and scope["path"] == "/" else None
        if connection is None:
            await send({"type": "websocket.close", "code": 1008})  # before accepting: HTTP 403
            return
        await send({"type": "websocket.accept"})
        sender = asyncio.create_task(_pump(connection, send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                if message.get("text"):
                    service.hub.receive(connection, message["text"])
        finally:
            sender.cancel()
            service.hub.close(connection)
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


async def _pump(connection: Connection, send: Send) -> None:
    with suppress(OSError, RuntimeError):  # the connection went away under a frame
        while True:
            piece = await connection.take()
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
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
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
