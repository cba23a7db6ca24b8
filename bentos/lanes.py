"""Whose turn is it: a bounded line per model, served in turn by the event loop.

Requests that arrive together all stand in their model's line before the first is computed, so a
burst is seen at its full length, and what is past the bound is refused at once. Every line is
served once a round: a flood on one model costs another's request one computation, not the flood.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from bentos.problems import Problem


@dataclass(slots=True)
class _Line:
    waiting: deque[tuple[asyncio.Future[None], float]] = field(default_factory=deque)
    shed: int = 0


class Lanes:
    """The lines of one event loop.

    Parameters
    ----------
    waiting_max : requests that may wait per model
    waiting_s_max : seconds that one may wait
    """

    def __init__(self, waiting_max: int, waiting_s_max: float) -> None:
        self._waiting_max = waiting_max
        self._waiting_s_max = waiting_s_max
        self._lines: dict[str, _Line] = {}
        self._order: list[str] = []
        self._pumping = False

    def shed(self, model: str) -> int:
        """Return how many requests of a model were refused."""
        line = self._lines.get(model)
        return line.shed if line else 0

    def check(self, model: str) -> None:
        """Refuse at once where the line is full: before a body is read, which costs the others.

        Raises
        ------
        bentos.problems.Problem
            `overloaded`.
        """
        line = self._lines.get(model)
        if line is not None and len(line.waiting) >= self._waiting_max:
            line.shed += 1
            raise Problem("overloaded", f"{self._waiting_max} requests wait for model {model}")

    async def turn(self, model: str) -> None:
        """Wait for a turn.

        Raises
        ------
        bentos.problems.Problem
            `overloaded` if the line is full, or the turn came too late.
        """
        self.check(model)
        line = self._lines.get(model)
        if line is None:
            line = self._lines[model] = _Line()
            self._order.append(model)
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        line.waiting.append((mine, time.monotonic()))
        if not self._pumping:
            self._pumping = True
            loop.call_soon(self._pump, loop)
        await mine

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give each model one turn; the next after the loop has looked at its sockets again."""
        given = [self._give(self._lines[model]) for model in self._order]
        if any(given):
            loop.call_soon(self._pump, loop)
        else:
            self._pumping = False

    def _give(self, line: _Line) -> bool:
        """Give a line's next turn; return whether anybody waited for it."""
        while line.waiting:
            theirs, since = line.waiting.popleft()
            if theirs.done():  # the client went away
                continue
            if time.monotonic() - since > self._waiting_s_max:
                line.shed += 1
                late = f"a turn took longer than {self._waiting_s_max:g} s"
                theirs.set_exception(Problem("overloaded", late))
                continue
            theirs.set_result(None)
            return True
        return False
