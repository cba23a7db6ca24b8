"""Calls that wait to leave: the most urgent first, each against the broker's budget it counts for.

The live shell (shell/calls.py) and the backtest (backtest/link.py) send by the same rules; what a
budget has left, and how a call is made, is theirs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from agent.core import commands as cmd
from agent.core.values import Priority

Kind = Literal["order", "quote", "historical", "other"]
ENTRY_WAITS_MS: Final = 5_000  # what waited longer for its budget is answered "not sent"


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A call and since when it waits; in the order in which they leave."""

    priority: int
    number: int
    call: cmd.Call = field(compare=False)
    since_ms: int = field(compare=False)

    @property
    def hurried(self) -> bool:
        """Whether it protects or closes: the budget keeps room for such."""
        return self.priority == Priority.EXIT

    def too_late(self, now_ms: int) -> str | None:
        """Return the words for an entry that waited too long to be sent, else None."""
        late = now_ms - self.since_ms
        if self.hurried or not isinstance(self.call, cmd.Place) or late <= ENTRY_WAITS_MS:
            return None
        return f"the call budget left no room for an entry for {late} ms"


class Queue:
    """What waits. Not for more than one thread."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def add(self, call: cmd.Call, now_ms: int) -> None:
        """Take a call; it leaves with `dispatch`."""
        heapq.heappush(self._waiting, Waiting(int(call.priority), call.call, call, now_ms))

    def dispatch(self, leave: Callable[[Waiting], int]) -> int | None:
        """Ask each call to leave; return when to try again, epoch ms, None if nothing waits.

        Parameters
        ----------
        leave : callable
            Returns 0 where the call has left (or was given up), else when to ask again.
        """
        kept: list[Waiting] = []
        retry: int | None = None
        while self._waiting:
            waiting = heapq.heappop(self._waiting)
            due = leave(waiting)
            if due:
                kept.append(waiting)
                retry = due if retry is None else min(retry, due)
        self._waiting = kept
        heapq.heapify(self._waiting)
        return retry


def kind_of(call: cmd.Call) -> Kind | None:
    """Return which of the broker's budgets a call counts against; None for the model's."""
    match call:
        case cmd.Place() | cmd.Modify() | cmd.Cancel():
            return "order"
        case cmd.ReadQuotes():
            return "quote"
        case cmd.ReadHistory():
            return "historical"
        case cmd.AskModel() | cmd.Describe():
            return None
        case _:
            return "other"


def requests_of(call: cmd.Call) -> int:
    """Return how many requests to the broker a call is."""
    return 2 if isinstance(call, cmd.ReadBook) and call.positions else 1
