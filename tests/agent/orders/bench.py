"""A desk on a bench: events by hand, commands in a list. For tables of what one trade does."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.decide import decide
from agent.core.rules import Rules
from agent.core.state import Desk
from agent.core.trade import Trade
from agent.core.values import Band, Fault, HeldRow, OrderRow, Quote, Role
from agent.market.instruments import Instrument
from agent.market.sessions import Calendar
from agent.orders.leg import Leg
from tests.agent.orders.world import rules as busy_rules
from tests.agent.paper.lab import DAY, at

KEY = "NSE:AAA"
INSTRUMENT = Instrument(KEY, 257, Decimal("0.05"))
POLICY = """\
mode = "percent"
stop = "1%"
target = "2%"
share = 0.5
[planner]
quiet_ms = 1000
"""
C = TypeVar("C", bound=cmd.Command)


class Bench:
    """One instrument, 100.00 rupees, tick 0.05: prices in the tables are ticks (2000 = 100.00)."""

    def __init__(self, *, policy: str = POLICY, clock: str = "10:00", **changes: Any) -> None:
        self.now = at(clock)
        self.out: list[cmd.Command] = []
        self.volume = 1_000
        self.orders = 0
        rules: Rules = replace(busy_rules(), **changes)
        self.desk = Desk(rules)
        self.policy = policy
        self.take(ev.Started(self.now))
        info = ev.VersionInfo("3", policy, "paper", "champion")
        describe = self.last(cmd.Describe)
        self.take(ev.ModelDescribed(self.now, describe.call, "tiny", "5minute", 3, (KEY,), (info,)))
        session = Calendar.of_days([DAY]).session(DAY)
        assert session is not None
        for call in self.all(cmd.OpenDay):
            self.take(ev.DayOpened(self.now, call.call, session, {KEY: INSTRUMENT}))
        self.answer_reads()

    # events

    def take(self, event: ev.Event) -> list[cmd.Command]:
        """Take an event; return what was said to it."""
        self.desk, found = decide(self.desk, event)
        self.out += found
        return list(found)

    def tick(
        self, last: int, *, spread: int = 1, shares: int = 5_000, wait_ms: int = 1_000
    ) -> list[cmd.Command]:
        """Let a second pass and a trade happen."""
        self.now += wait_ms
        self.volume += 100
        quote = Quote(
            last,
            self.volume,
            tuple((last - n, shares) for n in range(5)),
            tuple((last + spread + n, shares) for n in range(5)),
            self.now // 1000 * 1000,
            self.now // 1000 * 1000,
        )
        return self.take(ev.TickSeen(self.now, KEY, quote))

    def later(self, ms: int) -> list[cmd.Command]:
        """Let time pass, timers firing on their way."""
        until, said = self.now + ms, []
        while True:
            dues = [(due, name) for name, due in self.timers().items() if due <= until]
            if not dues:
                break
            due, name = min(dues)
            self.now = max(self.now, due)
            self._fired.add((name, due))
            said += self.take(ev.TimerFired(self.now, name))
        self.now = until
        return said

    @property
    def _fired(self) -> set[tuple[str, int]]:
        if not hasattr(self, "_done"):
            self._done: set[tuple[str, int]] = set()
        return self._done

    def timers(self) -> dict[str, int]:
        """Return the timers that are set and have not fired."""
        found: dict[str, int] = {}
        for command in self.out:
            if isinstance(command, cmd.SetTimer):
                found[command.name] = command.due_ms
            elif isinstance(command, cmd.CancelTimer):
                found.pop(command.name, None)
        return {n: due for n, due in found.items() if (n, due) not in self._fired}

    def answer_reads(self) -> None:
        """Answer whatever reading is asked for with an empty, healthy world."""
        for call in [c for c in self.out if isinstance(c, cmd.Call) and c.call in self.desk.asking]:
            match call:
                case cmd.ReadBook():
                    self.book(call=call.call)
                case cmd.ReadQuotes():
                    self.take(ev.QuotesRead(self.now, call.call, {}, {KEY: Band(1_000, 3_000)}))
                case cmd.ReadMargins():
                    self.take(ev.MarginsRead(self.now, call.call, 10**9, 0))
                case cmd.ReadOrderMargins():
                    found = {(k, t): 100 for k, t, _ in call.items}
                    self.take(ev.OrderMarginsRead(self.now, call.call, found))
                case cmd.ReadHistory():
                    candles = tuple(
                        ev.OfficialCandle(
                            at("09:15") - (9 - n) * 300_000, 100.0, 100.5, 99.5, 100.0, 1.0
                        )
                        for n in range(9)
                    )
                    self.take(ev.HistoryRead(self.now, call.call, KEY, "5minute", candles))

    # trades

    def enter(self, side: str = "BUY", *, last: int = 2_000, shares: int | None = None) -> Trade:
        """Let the model speak and the entry be sent; return the trade (nothing filled yet)."""
        self.tick(last)
        self.take(ev.TimerFired(self.now, "decide"))
        ask = self.last(cmd.AskModel)
        answer = ev.Prediction(KEY, side, "3", "champion", "r1", 0.5, 0.5, self.now + 600_000)
        self.take(ev.ModelAnswered(self.now, ask.call, (answer,)))
        self.answer_reads()
        del shares
        return self.trade

    def opened(self, side: str = "BUY", *, last: int = 2_000, shares: int = 300) -> Trade:
        """Enter, fill the entry whole, and let the stop rest at the exchange."""
        self.enter(side, last=last)
        self.accept()
        self.row(self.entry, "COMPLETE", filled=shares)
        self.accept()
        self.row(self.exit, "TRIGGER PENDING")
        return self.trade

    @property
    def trade(self) -> Trade:
        """The latest trade."""
        return self.desk.trades[max(self.desk.trades)]

    @property
    def entry(self) -> Leg:
        """Its entry."""
        assert self.trade.entry is not None
        return self.trade.entry

    @property
    def exit(self) -> Leg:
        """Its latest exit."""
        return self.trade.exits[-1]

    def accept(self) -> str:
        """Answer the latest order call: taken."""
        call = self.last(cmd.Place, cmd.Modify, cmd.Cancel)
        self.orders += isinstance(call, cmd.Place)
        order_id = f"o{self.orders}" if isinstance(call, cmd.Place) else call.order_id
        self.take(ev.CallAnswered(self.now, call.call, order_id))
        return order_id

    def fail(self, fault: Fault, words: str = "no") -> list[cmd.Command]:
        """Answer the latest order call: failed."""
        call = self.last(cmd.Place, cmd.Modify, cmd.Cancel)
        return self.take(ev.CallFailed(self.now, call.call, fault, words))

    def made(self, leg: Leg, status: str, *, filled: int | None = None, **changes: Any) -> OrderRow:
        """Return a row of an order as it stands, with changes."""
        shares = leg.filled if filled is None else filled
        price = changes.pop("price", leg.terms.price_ticks or 2_000)
        return replace(
            OrderRow(
                leg.order_id or "o99", leg.tag, KEY, "MIS", leg.transaction, leg.terms.order_type,
                status, leg.terms.quantity, shares, shares * 5 * price,
                leg.terms.price_ticks or 0, leg.terms.trigger_ticks or 0,
            ),
            **changes,
        )  # fmt: skip

    def row(
        self, leg: Leg, status: str, *, filled: int | None = None, **changes: Any
    ) -> list[cmd.Command]:
        """Let an order update come in; a change in flight is taken as applied."""
        if leg.flight is not None and leg.flight.terms is not None:
            leg = replace(leg, terms=leg.flight.terms)
        return self.take(ev.OrderSeen(self.now, self.made(leg, status, filled=filled, **changes)))

    def book(
        self, *rows: OrderRow, held: int | None = 0, call: int | None = None
    ) -> list[cmd.Command]:
        """Answer the book that was asked for."""
        number = self.last(cmd.ReadBook).call if call is None else call
        positions = None if held is None else (HeldRow(KEY, "MIS", held, 10_000),) if held else ()
        return self.take(ev.BookRead(self.now, number, rows, positions))

    # commands

    def all(self, *kinds: type[C]) -> list[C]:
        """Return every command of some kinds so far."""
        return [c for c in self.out if isinstance(c, kinds)]

    def last(self, *kinds: type[C]) -> C:
        """Return the latest command of some kinds."""
        return self.all(*kinds)[-1]

    def orders_sent(self, role: Role) -> list[cmd.Place]:
        """Return the orders sent for a role."""
        return [c for c in self.all(cmd.Place) if c.role is role]


def writes(said: list[cmd.Command]) -> list[cmd.Command]:
    """Return the order calls among commands."""
    return [c for c in said if isinstance(c, cmd.Place | cmd.Modify | cmd.Cancel)]
