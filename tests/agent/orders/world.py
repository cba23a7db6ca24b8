"""A bad day in a minute: the core against the paper exchange's own book, in virtual time.

No sockets and no threads: `decide` on one side, `agent.paper.exchange.Exchange` on the other, and
between them a link that loses answers, delays orders, drops, doubles and reorders updates, fails
reads, pushes back, and kills the agent (its trades go through the journal's codec and back). The
seed draws the mix of faults, too, so that each seed is another kind of bad day. Faults act until
`HEALED`; after it the day must end flat. What counts is the exchange's book, not the agent's word.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

import numpy as np

from agent.backtest.link import effect, quote_of
from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.codec import from_plain, to_plain
from agent.core.decide import decide
from agent.core.restore import Kept, restored
from agent.core.rules import EntryRules, Rules, WatchRules
from agent.core.state import Desk
from agent.core.values import Band, Fault
from agent.market.candles import interval_ms
from agent.market.sessions import Calendar, epoch_ms, from_epoch_ms
from agent.paper.board import Board
from agent.paper.books import position_row
from agent.paper.exchange import Exchange
from agent.paper.market import Market
from agent.paper.records import row_of
from agent.paper.refusals import RequestRefused
from agent.paper.source import CandleSet, Columns
from agent.risk.settings import CapitalSettings, MoneySettings, RiskSettings, SizingSettings
from agent.shell.rows import held_row, order_row
from agent.signals.feed import CandleFeed
from tests.agent.paper.lab import DAY, at

KEYS = ("NSE:AAA", "NSE:BBB", "NSE:CCC")
INTERVAL, WINDOW = "5minute", 3
HEALED = "14:15"
TIMEOUT_MS = 5_000
POLICY = """\
mode = "percent"
stop = "0.35%"
target = "0.5%"
share = 0.6
follow = 0.5
[planner]
quiet_ms = 1500
[overtrading]
max_round_trips = 60
"""


@dataclass
class Mix:
    """How often each fault strikes: a share of the calls, updates, ticks or instants."""

    lost_before: float = 0.0  # no answer, nothing happened
    lost_after: float = 0.0  # no answer, it happened
    late: float = 0.0  # no answer, it happens 8 to 90 s later
    pushed_back: float = 0.0  # 429
    refused: float = 0.0  # a definite no
    read_fails: float = 0.0
    positions_fail: float = 0.0
    updates_lost: float = 0.0
    updates_twice: float = 0.0
    updates_late: float = 0.0
    killed: float = 0.0  # a share of the instants
    stop_cancelled: float = 0.0  # by hand, a share of the instants with a stop
    closed_by_hand: float = 0.0
    slow: float = 0.0  # calls that take up to 3 s


NAMES = tuple(f.name for f in fields(Mix))
SIZES = {"killed": 0.004, "stop_cancelled": 0.002, "closed_by_hand": 0.001}


def mix_of(seed: int) -> Mix:
    """Draw which faults a seed's day has, and how often each strikes."""
    draw = random.Random(f"mix {seed}")
    chosen = draw.sample(NAMES, draw.randint(1, 5))
    return Mix(**{name: SIZES.get(name, 0.25) * draw.random() for name in chosen})


@dataclass
class World:
    """One day."""

    seed: int
    mix: Mix
    exchange: Exchange = field(init=False)
    desk: Desk = field(init=False)
    kills: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    notes: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(f"world {self.seed}")
        self.exchange = Exchange(_market(self.seed), cash=500_000_000)
        self.exchange.start()
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = 0
        self._timers: dict[str, int] = {}
        self._feed: CandleFeed | None = None
        self._born = 0
        self._calendar = Calendar.of_days([DAY])
        self.healed_ms = at(HEALED)
        self.desk = Desk(rules())

    def run(self) -> None:
        """Live the day."""
        self.run_to(at("23:59"))

    def run_to(self, ms: int) -> None:
        """Live until an instant."""
        if not self.desk.calls:
            self._take(ev.Started(self.now))
            self._take(ev.FeedChanged(self.now, True, "up"))
        while not self.exchange.over and self.now < ms:
            due = self.exchange.next_due()
            dues = [d for d in (due, self._next_timer()) if d is not None]
            if self._queue:
                dues.append(self._queue[0][0])
            self._step(max(min(dues), self.now))

    @property
    def now(self) -> int:
        return self.exchange.now_ms

    @property
    def audit(self) -> dict[str, Any]:
        return self.exchange.findings()

    # one instant

    def _step(self, at_ms: int) -> None:
        instant = self.exchange.move_to(at_ms)
        for board in instant.ticked:
            self._tick(board)
        for update in instant.notes.updates:
            self._update(update)
        while self._queue and self._queue[0][0] <= at_ms:
            heapq.heappop(self._queue)[2](at_ms)
        if self._feed is not None:
            for event in self._feed.timer(at_ms):
                self._take(event)
        for name in sorted(n for n, due in self._timers.items() if due <= at_ms):
            if self._timers.get(name, at_ms + 1) <= at_ms:
                del self._timers[name]
                self._take(ev.TimerFired(at_ms, name))
        self._hands()

    def _tick(self, board: Board) -> None:
        quote = quote_of(board, self.now)
        key = board.instrument.key
        if self._feed is not None:
            for event in self._feed.tick(key, quote, self.now):
                self._take(event)
        self._take(ev.TickSeen(self.now, key, quote))

    def _update(self, update: dict[str, Any]) -> None:
        row = order_row(update, self.desk.instruments)

        def told(at_ms: int) -> None:
            self._take(ev.OrderSeen(at_ms, row))

        if self._strikes("updates_lost"):
            return
        if self._strikes("updates_late"):
            self._later(self.draw.randint(1, 9_000), told)
        else:
            told(self.now)
        if self._strikes("updates_twice"):
            self._later(self.draw.randint(0, 20_000), told)

    def _take(self, event: ev.Event) -> None:
        self.desk, commands = decide(self.desk, event)
        for command in commands:
            self._carry_out(command)

    def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.SetTimer():
                self._timers[command.name] = command.due_ms
            case cmd.CancelTimer():
                self._timers.pop(command.name, None)
            case cmd.Note():
                self.notes.append((self.now, f"{command.kind} {command.key} {command.words}"))
            case cmd.Place() | cmd.Modify() | cmd.Cancel():
                self._write(command)
            case cmd.Call():
                self._read(command)

    # the link

    def _write(self, call: cmd.Place | cmd.Modify | cmd.Cancel) -> None:
        number = call.call
        way = self.draw.randint(5, 80)
        if self._strikes("slow"):
            way = self.draw.randint(200, 3_000)
        if self._strikes("pushed_back"):
            self._answer(way, lambda at: ev.CallFailed(at, number, Fault.RETRYABLE, "429"))
        elif self._strikes("refused"):
            self._answer(way, lambda at: ev.CallFailed(at, number, Fault.REFUSED, "no"))
        elif self._strikes("lost_before"):
            self._lost(number)
        elif self._strikes("lost_after"):
            self._later(way, lambda _: effect(self.exchange, call))
            self._lost(number)
        elif isinstance(call, cmd.Place) and self._strikes("late"):
            self._later(self.draw.randint(8_000, 90_000), lambda _: effect(self.exchange, call))
            self._lost(number)
        else:
            self._later(way, lambda _: self._answer_now(number, effect(self.exchange, call), way))

    def _answer_now(self, number: int, found: str | RequestRefused, way: int) -> None:
        if isinstance(found, RequestRefused):
            words = str(found)
            self._answer(way, lambda at: ev.CallFailed(at, number, Fault.REFUSED, words))
        else:
            self._answer(way, lambda at: ev.CallAnswered(at, number, found))

    def _lost(self, number: int) -> None:
        self._answer(TIMEOUT_MS, lambda at: ev.CallFailed(at, number, Fault.UNKNOWN, "timed out"))

    def _read(self, call: cmd.Call) -> None:
        number, way = call.call, self.draw.randint(5, 60)
        if self._strikes("read_fails"):
            self._answer(way, lambda at: ev.CallFailed(at, number, Fault.RETRYABLE, "503"))
            return
        match call:
            case cmd.ReadBook():
                self._later(way, lambda _: self._book(call, way))
            case cmd.OpenDay():
                session = self._calendar.session(DAY)
                instruments = {key: self.exchange.market.instrument(key, DAY) for key in KEYS}
                assert session is not None
                self._feed = self._feed or CandleFeed(session, INTERVAL, self.now)
                self._answer(way, lambda at: ev.DayOpened(at, number, session, instruments))
            case cmd.Describe():
                info = ev.VersionInfo("3", POLICY, "paper", "champion")
                self._answer(
                    way,
                    lambda at: ev.ModelDescribed(
                        at, number, "tiny", INTERVAL, WINDOW, KEYS, (info,)
                    ),
                )
            case cmd.ReadQuotes():
                boards = [self.exchange.boards[key] for key in call.keys]
                quotes = {b.instrument.key: quote_of(b, self.now) for b in boards}
                bands = {b.instrument.key: Band(*b.band) for b in boards}
                self._answer(way, lambda at: ev.QuotesRead(at, number, quotes, bands))
            case cmd.ReadMargins():
                self._answer(way, lambda at: ev.MarginsRead(at, number, 400_000_000, 0))
            case cmd.ReadOrderMargins():
                found = {(k, t): p * 5 for k, t, p in call.items}
                self._answer(way, lambda at: ev.OrderMarginsRead(at, number, found))
            case cmd.ReadHistory():
                candles = self._history(call)
                self._answer(
                    way, lambda at: ev.HistoryRead(at, number, call.key, INTERVAL, candles)
                )
            case cmd.AskModel():
                found = tuple(self._predict(window) for window in call.windows)
                self._answer(way, lambda at: ev.ModelAnswered(at, number, found))

    def _book(self, call: cmd.ReadBook, way: int) -> None:
        known = self.desk.instruments
        rows = tuple(order_row(row_of(r), known) for r in self.exchange.desk.records.values())

        def positions(_: int) -> None:
            held = None
            if call.positions and not self._strikes("positions_fail"):
                held = tuple(
                    held_row(position_row(p, 0, 0)) for p in self.exchange.books.positions.values()
                )
            self._answer(way, lambda at: ev.BookRead(at, call.call, rows, held))

        self._later(way, positions)

    def _history(self, call: cmd.ReadHistory) -> tuple[ev.OfficialCandle, ...]:
        length = interval_ms(INTERVAL)
        end = max(call.to_ms // length * length, at("09:15"))
        price = self.exchange.boards[call.key].last / 100
        stamps = range(end - (WINDOW + 20) * length, end, length)
        return tuple(ev.OfficialCandle(ms, price, price, price, price, 100.0) for ms in stamps)

    def _predict(self, window: cmd.Window) -> ev.Prediction:
        draw = random.Random(f"{self.seed} {window.key} {window.ts_ms[-1]}")
        side = draw.choice(("BUY", "SELL", "HOLD"))
        worth = draw.random()
        return ev.Prediction(
            window.key, side, "3", "champion", "r", worth, worth, self.now + 240_000
        )

    # hands and death

    def _hands(self) -> None:
        if self.now >= self.healed_ms:
            return
        if self._strikes("killed"):
            self._kill()
        stops = [r for r in self.exchange.desk.pending() if r.trigger and r.live]
        if stops and self._strikes("stop_cancelled"):
            self.exchange.desk.cancel(stops[0].order_id, self.now)
        held = [p for p in self.exchange.books.positions.values() if p.net]
        if held and self._strikes("closed_by_hand"):
            self._close_by_hand(held[0].key, held[0].net)

    def _close_by_hand(self, key: str, net: int) -> None:
        params = {
            "order_type": "MARKET", "validity": "DAY", "quantity": str(abs(net)), "product": "MIS",
            "transaction_type": "SELL" if net > 0 else "BUY", "market_protection": "-1",
        }  # fmt: skip
        self.exchange.desk.place(key, params, self.now)

    def _kill(self) -> None:
        """Die, and start again from what the journal would have kept."""
        self.kills += 1
        self._born += 1
        desk = self.desk
        text = json.dumps([to_plain(t) for t in desk.trades.values()])
        kept = Kept(
            desk.calls, desk.numbers, from_plain(json.loads(text)), desk.decided, desk.operator
        )
        self.desk = restored(rules(), kept)
        self._timers.clear()
        self._feed = None
        self._take(ev.Started(self.now))
        self._take(ev.FeedChanged(self.now, True, "up"))

    def _strikes(self, fault: str) -> bool:
        share = getattr(self.mix, fault)
        if not share or self.now >= self.healed_ms or self.draw.random() >= share:
            return False
        self.struck[fault] += 1
        return True

    def _answer(self, delay_ms: int, make: Callable[[int], ev.Event]) -> None:
        born = self._born

        def told(at_ms: int) -> None:
            if born == self._born:  # a dead process hears nothing
                self._take(make(at_ms))

        self._later(delay_ms, told)

    def _later(self, delay_ms: int, what: Callable[[int], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + delay_ms, self._number, what))

    def _next_timer(self) -> int | None:
        dues = list(self._timers.values())
        if self._feed is not None and self._feed.next_ms is not None:
            dues.append(self._feed.next_ms)
        return min(dues, default=None)


def rules(**changes: object) -> Rules:
    """Return rules for a busy day."""
    base = Rules(
        instance="test",
        model="tiny",
        entry=EntryRules(spread_bp_max=50, patience_ms=20_000),
        watch=WatchRules(stale_ms=60_000),
        money=MoneySettings(
            CapitalSettings(total=5_000_000),
            SizingSettings(mode="fixed_quantity", quantity=300),
            RiskSettings(max_open_positions=3, max_trades=500, max_round_trips=200),
        ),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def _market(seed: int) -> Market:
    """Draw a restless day of three symbols: minute candles of a random walk with jumps."""
    rng = np.random.default_rng(seed)
    candles = {}
    ts = at("09:15") + 60_000 * np.arange(375, dtype=np.int64)
    for n, key in enumerate(KEYS):
        steps = 0.0009 * rng.standard_normal(375)
        jumps = rng.random(375) < 0.01
        steps[jumps] += 0.006 * rng.standard_normal(int(jumps.sum()))
        close = 150.0 * (n + 1) ** 2 * np.exp(np.cumsum(steps))
        open_ = np.concatenate(([close[0]], close[:-1]))
        reach = 0.0004 * np.abs(rng.standard_normal((2, 375)))
        high, low = (
            np.maximum(open_, close) * (1 + reach[0]),
            np.minimum(open_, close) * (1 - reach[1]),
        )
        rows = [np.round(one, 2) for one in (open_, high, low, close)]
        candles[key] = Columns(ts, *rows, np.full(375, 30_000.0))
    return Market(CandleSet("minute", candles), seed=seed, ticks_per_day=1_500)


def day_of(ms: int) -> date:
    """Return the date of an instant in India."""
    return from_epoch_ms(ms).date()


assert epoch_ms  # re-exported for the tests beside this file
