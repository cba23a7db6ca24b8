"""The door: a request of a model whose line is full is refused by its head alone.

Uvicorn's protocol with one more question, asked before there is a task, a body or any middleware:
a refusal here costs some 30 us of processor time, through the application 250, and at a thousand a
second that decides whether the other models are served. The answer and its record are the
application's own. A connection that is refused again and again without minding `Retry-After` is
not read for a while; whoever minds it, or asks for another model between, never meets that.
"""

from __future__ import annotations

import uvicorn.protocols.http.auto as chosen
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from bentos.lanes import Coming, coming
from bentos.problems import MEDIA_TYPE, Problem
from bentos.worker import Worker, new_request_id

HEAD = b"/v1/models/"
TAILS = (b"/predict", b"/predict_batch")
HEEDLESS_AFTER = 3  # refusals in a row, each with Retry-After: 1
UNREAD_S = 0.25


class _Watch:
    """Whose lines the door looks at; set when the service starts."""

    worker: Worker | None = None


watch = _Watch()


class _Answered:
    """Stands for a request that needs no more of uvicorn: what is left of its body is dropped."""

    response_complete = True
    disconnected = False

    class message_event:  # noqa: N801  (uvicorn's name)
        """Nobody waits for it."""

        @staticmethod
        def set() -> None:
            """Do nothing."""


class Door(HttpToolsProtocol):
    """One connection."""

    _refused = 0
    _coming: Coming | None = None

    def on_headers_complete(self) -> None:
        """Refuse what would only wait in vain; else go uvicorn's way."""
        worker = watch.worker
        if worker is not None and self.url.startswith(HEAD):
            model = "" if self._busy() else asked_model(self.url)
            if model in worker.pool.models:
                problem = worker.lanes.refusal(model)
                if problem is not None:
                    self._refuse(worker, model, problem)
                    return
                self._coming = worker.lanes.come(model)
                coming.set(self._coming)  # the task that is made now gets it
        self._refused = 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Let go of a request that never came to its line: refused before, or broken off."""
        self._gone()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Do the same."""
        self._gone()
        super().connection_lost(exc)

    def _busy(self) -> bool:
        """Whether answers are due before this one's: pipelined requests go the usual way."""
        before: RequestResponseCycle | None = self.cycle  # None at first, whatever uvicorn's types
        return bool(self.pipeline) or (before is not None and not before.response_complete)

    def _gone(self) -> None:
        if self._coming is not None:
            self._coming.over()
            self._coming = None

    def _refuse(self, worker: Worker, model: str, problem: Problem) -> None:
        request_id = new_request_id()
        body = problem.body(request_id)
        told = [(k.encode(), v.encode()) for k, v in problem.headers().items()]
        told += [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", MEDIA_TYPE.encode()),
            *self.server_state.default_headers,
        ]
        stays = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        if not stays:
            told.append((b"connection", b"close"))
        head = b"".join(b"%b: %b\r\n" % pair for pair in told)
        self.transport.write(STATUS_LINE[problem.status] + head + b"\r\n" + body)
        worker.figures.statuses[problem.status] += 1
        worker.refused(self.url.decode("ascii", "replace"), model, problem, request_id)
        self.cycle = _Answered()  # type: ignore[assignment]
        if not stays:
            self.transport.close()
            return
        self.on_response_complete()
        self._refused += 1
        if self._refused > HEEDLESS_AFTER:
            self.flow.pause_reading()
            self.loop.call_later(UNREAD_S, self._read_again)

    def _read_again(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()


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


def stand(worker: Worker) -> None:
    """Look at a worker's lines from now on."""
    watch.worker = worker


def build() -> None:
    """Let every connection that uvicorn takes in this process come through the door."""
    chosen.AutoHTTPProtocol = Door
