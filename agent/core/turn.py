"""One decision under way: the desk so far and the commands so far. Lives within one `decide`.

The only mutable thing of the core, made and thrown away inside one call: it works on a copy of the
desk (made once, as a desk has thirty fields and an event changes a handful of them several times),
so `decide` itself stays a function of its arguments; a test compares the desk that went in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.commands import Command, Note, Notify, ReadBook, SetTimer
from agent.core.state import Desk, Guard, Sight
from agent.core.trade import Trade
from agent.core.values import Mode, Priority
from agent.frozen import replace
from agent.risk.book import Book


class Turn:
    """The desk and the commands while one event is being worked on."""

    __slots__ = ("at_ms", "calm", "commands", "desk", "still", "touched")

    def __init__(self, desk: Desk, at_ms: int) -> None:
        idle = desk.idle
        # A copy of this turn's own: `set` writes into it, and nobody else has seen it yet.
        self.desk = replace(desk) if idle is None else idle.written()
        self.at_ms = max(at_ms, self.desk.now_ms)  # time never runs backwards in here
        self.set(now_ms=self.at_ms)
        self.commands: list[Command] = []
        self.touched: set[int] = set()
        self.calm: Book | None = None  # the money that no guard has acted on, and none was up
        self.still: set[int] = set()  # trades that were driven and needed nothing

    def set(self, **changes: Any) -> None:
        """Change fields of the desk."""
        for name, value in changes.items():
            object.__setattr__(self.desk, name, value)

    def call(self) -> int:
        """Give out the next call number."""
        number = self.desk.calls + 1
        self.set(calls=number)
        return number

    def emit(self, command: Command) -> None:
        """Add a command."""
        self.commands.append(command)

    def put(self, trade: Trade) -> None:
        """Put a trade into the desk; it will be driven before the turn ends."""
        if self.desk.trades.get(trade.number) is not trade:
            self.set(trades={**self.desk.trades, trade.number: trade})
        self.touched.add(trade.number)

    def timer(self, name: str, due_ms: int) -> None:
        """Ask to be called back."""
        self.emit(SetTimer(name, due_ms))

    def note(
        self,
        kind: str,
        key: str,
        words: str,
        trade: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a line for the journal."""
        self.emit(Note(kind, key, words, trade, facts or {}))

    def notify(self, level: str, kind: str, words: str) -> None:
        """Tell a person."""
        self.emit(Notify(level, kind, words))

    def ask(self, purpose: str) -> int:
        """Give out a call number and remember what it is for."""
        number = self.call()
        self.set(asking={**self.desk.asking, number: purpose})
        return number

    def answered(self, call: int) -> str:
        """Return what a call was for, and forget it ("" for one that we do not know)."""
        purpose = self.desk.asking.get(call, "")
        if purpose:
            self.set(asking={n: p for n, p in self.desk.asking.items() if n != call})
        return purpose

    def want_book(self) -> None:
        """Read order book and positions, unless a reading is on its way: then once more after."""
        if any(purpose.startswith("book") for purpose in self.desk.asking.values()):
            self.set(wanted_book=True)
            return
        self.set(wanted_book=False)
        self.emit(ReadBook(self.ask("book:full"), Priority.BOOK, positions=True))

    def guard(self, name: str, mode: Mode, words: str, lifts: str, *, level: str = "alarm") -> None:
        """Raise a guard; a notice goes out when it is new or stricter."""
        old = self.desk.guards.get(name)
        since = self.at_ms if old is None else old.since_ms
        self.set(guards={**self.desk.guards, name: Guard(mode, words, lifts, since)})
        if old is None or old.mode is not mode:
            self.note("guard", "", f"{name}: {mode.name}: {words}; lifted by {lifts}")
            self.notify(level, "guard", f"{name}: {words} ({mode.name}; lifted by {lifts})")

    def lift(self, name: str) -> None:
        """Lift a guard, if it is up."""
        if name in self.desk.guards:
            self.set(guards={n: g for n, g in self.desk.guards.items() if n != name})
            self.note("guard", "", f"{name}: lifted")
            self.notify("info", "guard", f"{name}: lifted")

    def sight(self, key: str) -> Sight | None:
        """Return the last packet of an instrument of this session, if there was one."""
        return self.desk.sights.get(key)
