"""Ask one served model over HTTP, window by window, while something else runs.

A thread with one kept connection and one question at a time: a caller beside the agent, not a
load. Answers are read strictly, as the types that the service documents (bentos/documents.py);
the agent has a client of its own, which the pipeline may not import.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from agent.errors import check
from bentos.documents import Answer, ModelTold
from flows.demo.steps import StepFailed

TOKEN = "RATCHET_PREDICT_TOKEN"  # noqa: S105  (the name of the variable, as the service has it)
LIMIT_S = 10.0
FAILURES_MAX = 5  # in a row: the service is gone or refuses us, the rest would fail, too

T = TypeVar("T")


class Unanswered(Exception):
    """A question that got no answer, and why."""


class Service:
    """The served models at a root address, over one connection that is kept.

    Parameters
    ----------
    url : str
        The server's root.
    """

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._http = http.client.HTTPConnection(
            where.hostname or "", where.port or 80, timeout=LIMIT_S
        )
        token = os.environ.get(TOKEN)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def described(self, model: str) -> ModelTold:
        """Return what a model says of itself: window, interval, versions, traffic.

        Raises
        ------
        Unanswered
        """
        return self._call("GET", f"/v1/models/{model}", None, ModelTold)

    def ask(self, model: str, body: bytes) -> Answer:
        """Return the answer to one question.

        Raises
        ------
        Unanswered
        """
        return self._call("POST", f"/v1/models/{model}/predict", body, Answer)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _call(self, method: str, path: str, body: bytes | None, kind: type[T]) -> T:
        try:
            self._http.request(method, path, body, self._headers)
            reply = self._http.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as fault:
            self._http.close()  # the next call opens another
            raise Unanswered(f"{type(fault).__name__}: {fault}") from fault
        if reply.status != http.client.OK:
            raise Unanswered(f"{reply.status}: {text.decode(errors='replace')[:300]}")
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as fault:
            raise Unanswered(f"not the documented answer: {fault}") from fault


class Asker:
    """Puts its questions to one model while its block runs; the rest at once when it ends well.

    So the number of questions does not depend on how long the block takes.

    Parameters
    ----------
    url : str
        The server's root.
    model : str
    bodies : sequence of bytes
    pause_s : float
        Between two questions while the block runs, seconds.

    Attributes
    ----------
    sides : Counter
        Answers by side.
    unanswered : list of str
        Why a question got none.
    """

    def __init__(self, url: str, model: str, bodies: Sequence[bytes], *, pause_s: float) -> None:
        self.sides: Counter[str] = Counter()
        self.unanswered: list[str] = []
        self._service, self._model, self._bodies = Service(url), model, bodies
        self._pause_s = pause_s
        self._hurry, self._stop = threading.Event(), threading.Event()
        self._gone = False
        self._thread = threading.Thread(target=self._run, name=f"ask-{model}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stop.set()
        self._hurry.set()
        self._thread.join()
        self._service.close()
        if kind is not None:
            return
        if self._gone:
            raise StepFailed(
                f"model {self._model}",
                given=f"{FAILURES_MAX} questions in a row without an answer, the last: "
                f"{self.unanswered[-1]}",
                allowed="a served model that answers",
                fix="run it again; if it happens again, read serve.log",
            )
        put = self.sides.total() + len(self.unanswered)
        check(put == len(self._bodies), "every question was put", put=put, of=len(self._bodies))

    def _run(self) -> None:
        row = 0
        for body in self._bodies:
            if self._stop.is_set():
                return
            try:
                self.sides[self._service.ask(self._model, body).prediction.side] += 1
                row = 0
            except Unanswered as why:
                self.unanswered.append(str(why))
                row += 1
            if row == FAILURES_MAX:
                self._gone = True
                return
            self._hurry.wait(self._pause_s)
