"""The door: what a request's head decides, before there is a task, a body or any middleware.

Uvicorn's protocol with two more questions. Is the line of the asked model full? Then the request is
refused by its head: that costs some 30 us of processor time, through the application 250, and at a
thousand a second it decides whether the other models are served. Is it a plain prediction? Then it
is answered from here (direct.py). All else goes uvicorn's way; answers and records are the same.
A connection that is refused again and again without minding `Retry-After` is not read for a while;
whoever minds it, or asks for another model between, never meets that.
"""

from __future__ import annotations

import asyncio

import uvicorn.protocols.http.auto as chosen
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from bentos.access import Access
from bentos.direct import Direct, Unheard
from bentos.lanes import Counted, coming
from bentos.problems import MEDIA_TYPE, Problem
from bentos.worker import Worker, new_request_id

HEAD = b"/v1/models/"
ONE = b"/predict"
TAILS = (ONE, b"/predict_batch")
HEEDLESS_AFTER = 1  # refusals in a row, each with Retry-After: 1
UNREAD_S = 0.5  # up to twice that: connections that were refused together return one by one
SPREAD = 64
HEAD_BYTES_MAX = 65_536
HEAD_S = 10.0  # for a head, and for the first request of a connection
LENGTH_DIGITS = 12
JSON = b"application/json"


class _Watch:
    """Whose lines the door looks at; set when the service starts."""

    worker: Worker | None = None
    access: Access | None = None
    unread = 0  # connections that were not read for a while, so far


watch = _Watch()


class _Answered:
    """Stands for a request that needs no more of uvicorn: what is left of its body is dropped."""

    response_complete = True
    disconnected = False
    message_event = Unheard


class Door(HttpToolsProtocol):
    """One connection."""

    url = b""  # until a request begins: what is not HTTP may never do
    _refused = 0
    _coming: Counted | None = None
    _direct: Direct | None = None
    _in_head = False
    _head_bytes = 0
    _slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, so long and no longer: uvicorn would for ever."""
        super().connection_made(transport)
        self._slow = self.loop.call_later(HEAD_S, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """Read on; the rest of a head and of a body may take so long and no longer."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and watch.worker is not None:
                large = Problem("head-too-large", f"at most {HEAD_BYTES_MAX} bytes")
                self._refuse(watch.worker, "", large, stays=False)
                return
        super().data_received(data)
        if self._direct is not None and self._direct.unread:
            self._direct.limit(self.loop)
        elif self._in_head and self._slow is None:
            self._slow = self.loop.call_later(HEAD_S, self._too_slow)

    def on_message_begin(self) -> None:
        """Begin a head; what comes of it with this read is not counted, only what follows."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse what would only wait in vain; answer the plain question; else go uvicorn's way."""
        self._head_is_over()
        worker = watch.worker
        if self.parser.should_upgrade() and worker is not None and _has_body(self.headers):
            # the parser ends at such a head: the body would be lost
            upgrade = Problem("request-malformed", "Upgrade is not taken; send plain HTTP/1.1")
            self._refuse(worker, "", upgrade, stays=False)
            return
        if worker is not None and self.url.startswith(HEAD):
            model = "" if self._busy() else asked_model(self.url)
            if model in worker.pool.models:
                problem = worker.lanes.refusal(model)
                if problem is not None:
                    stays = self.parser.get_http_version() != "1.0"
                    self._refuse(
                        worker, model, problem, stays=stays and self.parser.should_keep_alive()
                    )
                    return
                self._refused = 0
                if self._is_plain(worker):
                    self._answer_directly(worker, model)
                    return
                self._coming = worker.lanes.come(model)
                coming.set(self._coming)  # the task that is made now gets it
        self._refused = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if (mine := self._being_read()) is None:
            super().on_body(body)
        else:
            mine.body += body

    def on_message_complete(self) -> None:
        """Take the end of a body."""
        if (mine := self._being_read()) is None:
            super().on_message_complete()
        else:
            mine.whole()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read, in the one shape of every error; then close."""
        if watch.worker is None:
            super().send_400_response(msg)
            return
        self._refuse(watch.worker, "", Problem("request-malformed", msg), stays=False)

    def on_response_complete(self) -> None:
        """Let go of a request that never came to its line: refused before, or broken off."""
        self._gone()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Do the same."""
        self._head_is_over()
        self._gone()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        """Take no WebSocket: nothing here speaks it."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: any client may offer one."""

    def _head_is_over(self) -> None:
        self._in_head = False
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _too_slow(self) -> None:
        self._slow = None
        if self._in_head and watch.worker is not None:
            late = Problem("request-late", f"the rest of the head did not arrive in {HEAD_S:g} s")
            self._refuse(watch.worker, "", late, stays=False)
        else:
            self.transport.close()

    def _being_read(self) -> Direct | None:
        """Return the direct question whose body comes; None: the body is another request's."""
        now: object = self.cycle
        return self._direct if self._direct is now else None

    def _busy(self) -> bool:
        """Whether answers are due before this one's: pipelined requests go the usual way."""
        before: RequestResponseCycle | None = self.cycle  # None at first, whatever uvicorn's types
        return bool(self.pipeline) or (before is not None and not before.response_complete)

    def _gone(self) -> None:
        if self._coming is not None:
            self._coming.over()
            self._coming = None
        if self._direct is not None:
            self._direct.gone()
            self._direct = None

    def _is_plain(self, worker: Worker) -> bool:
        """Whether nothing about a prediction's head needs the application."""
        access = watch.access
        if (
            access is None
            or not worker.settings.direct
            or not self.url.endswith(ONE)
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.expect_100_continue
            or self.parser.should_upgrade()
            or self.flow.write_paused  # it does not take its answers: uvicorn waits for it
            or worker.open >= worker.settings.open_max
        ):
            return False
        told = dict(self.headers)
        length = told.get(b"content-length", b"")
        if b"transfer-encoding" in told or not length.isdigit():
            return False
        if len(length) > LENGTH_DIGITS or int(length) > worker.settings.body_bytes_max:
            return False
        if access.predict_is_open:
            return True
        try:
            access.check_predict(_first(self.headers, b"authorization"))
        except Problem:
            return False
        return True

    def _answer_directly(self, worker: Worker, model: str) -> None:
        asked = Direct(
            worker,
            worker.pool.models[model],
            self.url.decode("ascii"),
            keep_alive=self.parser.should_keep_alive(),
            respond=self._respond,
        )
        self._direct = asked
        self.cycle = asked  # type: ignore[assignment]

    def _respond(self, status: int, body: bytes, problem: Problem | None) -> None:
        """Send the answer to the question that was answered directly."""
        stays = self._direct is not None and self._direct.keep_alive
        self._send(status, body, problem, stays=stays)

    def _refuse(self, worker: Worker, model: str, problem: Problem, *, stays: bool) -> None:
        request_id = new_request_id()
        worker.figures.statuses[problem.status] += 1
        worker.refused(self.url.decode("ascii", "replace"), model, problem, request_id)
        self.cycle = _Answered()  # type: ignore[assignment]
        self._send(problem.status, problem.body(request_id), problem, stays=stays)
        self._refused += 1
        if self._refused > HEEDLESS_AFTER and not self.transport.is_closing():
            self.flow.pause_reading()
            watch.unread += 1
            later = UNREAD_S * (1 + watch.unread % SPREAD / SPREAD)
            self.loop.call_later(later, self._read_again)

    def _send(self, status: int, body: bytes, problem: Problem | None, *, stays: bool) -> None:
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        if problem is not None:
            for key, text in problem.headers().items():
                parts.append(f"{key.lower()}: {text}\r\n".encode("ascii"))
        kind = JSON if problem is None else MEDIA_TYPE.encode()
        parts.append(b"content-length: %d\r\ncontent-type: %b\r\n" % (len(body), kind))
        parts.append(b"\r\n" if stays else b"connection: close\r\n\r\n")
        parts.append(body)
        self.transport.write(b"".join(parts))
        if not stays:
            self.transport.close()
        self.on_response_complete()

    def _read_again(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    told = dict(headers)
    return b"transfer-encoding" in told or told.get(b"content-length", b"0") != b"0"


def _first(headers: list[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)


def asked_model(url: bytes) -> str:
    """Return the model that a prediction's address names; empty where it is anything else.

    >>> asked_model(b"/v1/models/daily/predict"), asked_model(b"/v1/models/daily")
    ('daily', '')
    """
    for tail in TAILS:
        if url.endswith(tail):
            name = url[len(HEAD) : -len(tail)]
            return name.decode("ascii") if name.isascii() and b"/" not in name else ""
    return ""


def stand(worker: Worker, access: Access) -> None:
    """Look at a worker's lines from now on."""
    watch.worker, watch.access = worker, access


def build() -> None:
    """Let every connection that uvicorn takes in this process come through the door."""
    chosen.AutoHTTPProtocol = Door
