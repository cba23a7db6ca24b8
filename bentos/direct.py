"""One plain question, from its connection to its answer, without a task or a middleware between.

Uvicorn's task, BentoML's and Starlette's layers and FastAPI took a third of a millisecond of
processor time a request, as much as its answer (saturated: 1,005 answers a second through them,
1,487 past them, in one hour and with all else the same). The door (door.py)
lets the plain question come this way: `POST /v1/models/NAME/predict` with a declared length within
bounds, an idle connection, a right token where one is needed. Everything else, and whoever serves
the application by another server, goes through app.py; what is answered is the same (predict.py).

Order: head (counted as open, its body as being read), body (bounded in time), line (lanes.py),
turn, answer. Questions that wait together are answered together: a call of numpy costs the same for
one window and for eight, and most of a question's cost is such calls. For uvicorn a `Direct` stands
in the place of a request's cycle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from bentos import contract, predict
from bentos.bodies import broken_off, too_late
from bentos.contract import Instance
from bentos.lanes import Counted
from bentos.models import Model
from bentos.predict import Put
from bentos.problems import Problem
from bentos.worker import Worker, new_request_id

Respond = Callable[[int, bytes, "Problem | None"], None]


class Unheard:
    """Uvicorn wakes whoever waits for more of a request; here nobody does."""

    @staticmethod
    def set() -> None:
        """Do nothing."""


class Direct:
    """A question under way.

    Parameters
    ----------
    model : Model
        The one that is asked.
    route : str
        Its address, for the record of a refusal.
    keep_alive : bool
        Whether the connection stays open behind the answer.
    respond : called once with status, body and, where it is refused, the problem
    """

    message_event = Unheard

    def __init__(
        self, worker: Worker, model: Model, route: str, *, keep_alive: bool, respond: Respond
    ) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.body = bytearray()
        self._worker, self._model, self._route = worker, model, route
        self._respond = respond
        self._started = time.perf_counter()
        self._request_id = ""
        self._late: asyncio.TimerHandle | None = None
        self._loading: asyncio.Future[None] | None = None  # a task must be held by somebody
        self._reading: Counted | None = worker.lanes.read(model.name)
        worker.open += 1

    @property
    def together(self) -> Callable[[Sequence[Direct]], None]:
        """What takes a turn for several."""
        return take_turn

    @property
    def over(self) -> bool:
        """Whether it takes no turn any more. A client that went away leaves its question."""
        return self.response_complete

    @property
    def unread(self) -> bool:
        """Whether a part of the body has not come yet."""
        return self._reading is not None

    def limit(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bound the time that the rest of the body may take; most come with their head."""
        if self._late is None:
            self._late = loop.call_later(self._worker.settings.body_s_max, self._body_late)

    def whole(self) -> None:
        """Take the end of the body: stand in line."""
        if self._reading is None:
            return
        self._read()
        try:
            self._worker.lanes.stand(self._model.name, self)
        except Problem as problem:
            self.refuse(problem)

    def gone(self) -> None:
        """Take it that the client went away: what was asked whole is answered, to the log alone."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        if self.unread:
            self.refuse(broken_off())

    def go(self) -> None:
        """Answer: it is this question's turn."""
        take_turn([self])

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem."""
        request_id = problem.request_id or self._request_id or new_request_id()
        self._worker.refused(self._route, self._model.name, problem, request_id)
        self._answered(problem.status, problem.body(request_id), problem)

    def put(self) -> Put | None:
        """Return what is asked; None where it was refused, or a version has to be loaded first."""
        try:
            instance = contract.read_instance(self.body)
            self._request_id = instance.request_id or new_request_id()
            version = instance.pin_version
            pinned = None if version is None else self._model.loaded.get(version)
        except Exception as fault:  # noqa: BLE001  (the outermost edge)
            self.tell(fault)
            return None
        if version is not None and pinned is None:
            self._loading = asyncio.ensure_future(self._load(instance, version))
            return None
        return Put(instance, pinned, self._request_id, self._started)

    async def _load(self, instance: Instance, version: int) -> None:
        """Load a pinned version in a thread, then answer."""
        try:
            pinned = await asyncio.to_thread(self._worker.pool.pinned, self._model, version)
        except Exception as fault:  # noqa: BLE001  (the outermost edge)
            self.tell(fault)
        else:
            self.tell(self.answer(Put(instance, pinned, self._request_id, self._started)))

    def answers(self, puts: Sequence[Put]) -> list[bytes | Problem]:
        """Return the answers of this question's model to questions that are its own or like it."""
        return predict.answered_together(self._worker, self._model.name, puts)

    def answer(self, put: Put) -> bytes | Exception:
        """Return the answer to one, or what went wrong."""
        try:
            return self.answers([put])[0]
        except Exception as fault:  # noqa: BLE001  (the outermost edge)
            return fault

    def tell(self, said: bytes | Exception) -> None:
        """Answer with what was said, or with what went wrong."""
        if isinstance(said, bytes):
            self._answered(200, said, None)
        else:
            self.refuse(said if isinstance(said, Problem) else self._worker.broke(said))

    def _answered(self, status: int, body: bytes, problem: Problem | None) -> None:
        self.response_complete = True
        self._read()
        self._worker.open -= 1
        self._worker.figures.statuses[status] += 1
        if not self.disconnected:
            self._respond(status, body, problem)

    def _body_late(self) -> None:
        self._late = None
        self.refuse(too_late())

    def _read(self) -> None:
        if self._reading is not None:
            self._reading.over()
            self._reading = None
        if self._late is not None:
            self._late.cancel()
            self._late = None


def take_turn(several: Sequence[Direct]) -> None:
    """Answer questions to one model in one turn; a bad one spoils no other."""
    asked = [(one, put) for one in several if (put := one.put()) is not None]
    said: Sequence[bytes | Exception]
    try:
        said = asked[0][0].answers([put for _, put in asked]) if asked else []
    except Exception:  # noqa: BLE001  (a fault of ours: whose, is found one by one)
        said = [one.answer(put) for one, put in asked]
    for (one, _), answer in zip(asked, said, strict=True):
        one.tell(answer)
