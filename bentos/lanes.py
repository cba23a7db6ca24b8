"""Whose turn is it: a bounded line per model, served in turn by the event loop.

Requests that arrive together all stand in their model's line before the first is computed, so a
burst is seen at its full length, and what is past the bound is refused at once. A round gives each
line one turn, and one of at most `SHORT` that is not the longest all of its turns: between two
rounds the event loop looks at its sockets, which under a flood takes longer than any answer. So a
flood on one model costs another's request a round, not the flood. A turn goes to several at once
where they can be answered together, which is faster than one by one (direct.py). Bodies of one
model that are being read are bounded, too: its slow clients leave room for the others'.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from bentos.problems import Problem

SHORT = 8  # requests
TOGETHER_MAX = 8  # requests of one turn: some 1.5 ms
BESIDE_S = 1.0  # a model asked within it is not to wait for others' shared turns


class Waiting(Protocol):
    """Who stands in a line."""

    @property
    def together(self) -> Callable[[Sequence[Any]], None] | None:
        """What takes one turn for several of its kind, and never raises; None: each its own."""
        ...

    @property
    def over(self) -> bool:
        """Whether it takes no turn any more."""
        ...

    def go(self) -> None:
        """Take the turn, now; never raises."""
        ...

    def refuse(self, problem: Problem) -> None:
        """Take it that there will be none; never raises."""
        ...


class _Task:
    """A task that waits for its turn."""

    together = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.turn: asyncio.Future[None] = loop.create_future()

    @property
    def over(self) -> bool:
        return self.turn.done()  # cancelled

    def go(self) -> None:
        self.turn.set_result(None)

    def refuse(self, problem: Problem) -> None:
        self.turn.set_exception(problem)


@dataclass(slots=True)
class _Count:
    now: int = 0


@dataclass(slots=True)
class _Line:
    waiting: deque[tuple[Waiting, float]] = field(default_factory=deque)
    coming: _Count = field(default_factory=_Count)
    reading: _Count = field(default_factory=_Count)
    shed: int = 0
    asked_at: float = -math.inf  # seconds, monotonic


class Counted:
    """A request that is not in its line yet and is counted: let in by its head, or being read."""

    __slots__ = ("_count",)

    def __init__(self, count: _Count) -> None:
        self._count: _Count | None = count
        count.now += 1

    def over(self) -> None:
        """Count it no more: it has come, or never will."""
        if self._count is not None:
            self._count.now -= 1
            self._count = None


# Whose request a task works at; set where its head was read.
coming: ContextVar[Counted | None] = ContextVar("coming", default=None)


class Lanes:
    """The lines of one event loop.

    Parameters
    ----------
    waiting_max : requests that may wait per model
    waiting_s_max : seconds that one may wait
    reading_max : bodies that may be read at once per model
    """

    def __init__(self, waiting_max: int, waiting_s_max: float, reading_max: int = 128) -> None:
        self._waiting_max = waiting_max
        self._reading_max = reading_max
        self._waiting_s_max = waiting_s_max
        self._lines: dict[str, _Line] = {}
        self._order: list[str] = []
        self._pumping = False

    def shed(self, model: str) -> int:
        """Return how many requests of a model were refused."""
        line = self._lines.get(model)
        return line.shed if line else 0

    def come(self, model: str) -> Counted:
        """Let a request in by its head: many are read before the first stands in its line."""
        return Counted(self._line(model).coming)

    def refusal(self, model: str) -> Problem | None:
        """Return why a request of a model would wait in vain, and count it; None where it may."""
        line = self._lines.get(model)
        if line is None:
            return None
        if len(line.waiting) + line.coming.now >= self._waiting_max:
            why = f"{self._waiting_max} requests wait for model {model}"
        elif line.reading.now >= self._reading_max:
            why = f"{self._reading_max} bodies for model {model} are being read"
        else:
            return None
        line.shed += 1
        return Problem("overloaded", why)

    def check(self, model: str) -> None:
        """Refuse at once where the line is full: before a body is read, which costs the others.

        Raises
        ------
        bentos.problems.Problem
            `overloaded`.
        """
        refused = self.refusal(model)
        if refused is not None:
            raise refused

    @contextlib.contextmanager
    def reading(self, model: str) -> Iterator[None]:
        """Count a body as being read.

        Raises
        ------
        bentos.problems.Problem
            `overloaded`.
        """
        mine = coming.get()
        if mine is not None:
            mine.over()
        self.check(model)
        body = self.read(model)
        try:
            yield
        finally:
            body.over()

    def read(self, model: str) -> Counted:
        """Begin to read a body, whether or not there is room: `refusal` told."""
        return Counted(self._line(model).reading)

    def _line(self, model: str) -> _Line:
        line = self._lines.get(model)
        if line is None:
            line = self._lines[model] = _Line()
            self._order.append(model)
        return line

    async def turn(self, model: str) -> None:
        """Wait for a turn.

        Raises
        ------
        bentos.problems.Problem
            `overloaded` if the line is full, or the turn came too late.
        """
        task = _Task(asyncio.get_running_loop())
        self.stand(model, task)
        await task.turn

    def stand(self, model: str, mine: Waiting) -> None:
        """Stand in a model's line: `go` or `refuse` of the one who stands is called, later.

        Raises
        ------
        bentos.problems.Problem
            `overloaded` if the line is full.
        """
        line = self._line(model)
        if len(line.waiting) >= self._waiting_max:
            line.shed += 1
            raise Problem("overloaded", f"{self._waiting_max} requests wait for model {model}")
        line.asked_at = time.monotonic()
        line.waiting.append((mine, line.asked_at))
        if not self._pumping:
            self._pumping = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._pump, loop)

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give a round of turns; the next after the loop has looked at its sockets again."""
        again = True  # whatever goes wrong in a turn, the others get theirs
        try:
            again = self._round() > 0
        finally:
            self._pumping = again
            if again:
                loop.call_soon(self._pump, loop)

    def _round(self) -> int:
        lines = [self._lines[model] for model in self._order]
        longest = max(lines, key=lambda line: len(line.waiting))
        since = time.monotonic() - BESIDE_S
        alone = not any(line.asked_at > since for line in lines if line is not longest)
        given = 0
        for line in sorted(lines, key=lambda line: line is longest):  # a long line hardly feels it
            whole = line is not longest and len(line.waiting) <= SHORT
            together_max = TOGETHER_MAX if whole or alone else 1
            given += sum(self._give(line, together_max) for _ in range(SHORT if whole else 1))
        return given

    def _give(self, line: _Line, together_max: int) -> bool:
        """Give a line's next turn; return whether anybody waited for it."""
        first = self._next(line)
        if first is None:
            return False
        if first.together is None:
            first.go()
            return True
        several = [first]
        while (
            len(several) < together_max
            and line.waiting
            and line.waiting[0][0].together is first.together
            and (one := self._next(line)) is not None
        ):
            several.append(one)
        first.together(several)
        return True

    def _next(self, line: _Line) -> Waiting | None:
        """Return who is next in a line; whoever has waited too long is refused."""
        while line.waiting:
            theirs, since = line.waiting.popleft()
            if theirs.over:
                continue
            if time.monotonic() - since <= self._waiting_s_max:
                return theirs
            line.shed += 1
            late = f"a turn took longer than {self._waiting_s_max:g} s"
            theirs.refuse(Problem("overloaded", late))
        return None
