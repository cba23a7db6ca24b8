"""How many events does the agent's own `decide` take in a second, the journal off?

    python benchmarks/trailing/decide_events.py [--data DIR] [--ticks N]

A desk is brought to open trades by the events that would do it live; then ticks come, and whatever
`decide` says is answered at once: orders taken and shown in the book, timers fired, readings
answered, a trade that ends entered again. All of it counts as events and as time; what is counted
is the CPU time of this process, since others may load the machine. Two streams: a random walk from
a fixed seed, and a recorded day of one-second snapshots (`nse_ticks_1s_*.parquet`, needs pyarrow).
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from datetime import time as clock
from decimal import Decimal
from importlib import resources
from pathlib import Path
from random import Random

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.decide import decide
from agent.core.rules import EntryRules, Rules, WatchRules
from agent.core.state import Desk
from agent.core.values import Band, HeldRow, OrderRow, Quote, Role, Terms
from agent.market.instruments import Instrument
from agent.market.sessions import Calendar
from agent.orders.leg import Leg
from agent.risk.settings import CapitalSettings, MoneySettings, RiskSettings, SizingSettings

EVENTS_BAR = 250_000.0
ON = date(2021, 5, 14)
TICK = Decimal("0.05")
SHARES = 100
Tick = tuple[int, str, int]  # epoch ms, key, price in ticks


@dataclass
class Street:
    """A broker that takes every order and shows it at once; the agent's shell without a journal."""

    policy: str
    keys: tuple[str, ...]
    held: int
    desk: Desk = field(init=False)
    now: int = 0
    events: int = 0
    orders: int = 0
    timers: dict[str, int] = field(default_factory=dict)
    due: int = 1 << 62
    rows: dict[str, OrderRow] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    shares: dict[str, int] = field(default_factory=dict)  # what the broker holds, signed
    side: str = "BUY"
    aside_s: float = 0.0  # CPU seconds spent on events that are no ticks

    def open(self, first: dict[str, int], now: int) -> None:
        """Bring the desk to the day, with a price of every instrument."""
        self.now = now
        self.desk = Desk(bench_rules())
        self.take(ev.Started(now))
        for key, price in first.items():
            self.take(ev.TickSeen(now, key, quote_at(price, 1_000, now)))
        self.enter()

    def take(self, event: ev.Event) -> None:
        """Let the agent decide, and answer what it says."""
        self.desk, said = decide(self.desk, event)
        self.events += 1
        for command in said:
            self.answer(command)

    def run(self, ticks: list[ev.TickSeen]) -> None:
        """Let ticks come, timers firing between them."""
        desk, due = self.desk, self.due
        for event in ticks:
            if event.at_ms >= due:
                begin = time.process_time()
                self.now, self.desk = event.at_ms, desk
                self.fire()
                self.enter()
                desk, due = self.desk, self.due
                self.aside_s += time.process_time() - begin
            desk, said = decide(desk, event)
            if said:
                begin = time.process_time()
                self.now, self.desk = event.at_ms, desk
                self.prices[event.key] = event.quote.last
                for command in said:
                    self.answer(command)
                self.enter()
                desk, due = self.desk, self.due
                self.aside_s += time.process_time() - begin
        self.desk = desk
        self.events += len(ticks)

    def fire(self) -> None:
        """Fire what is due."""
        for name, due in sorted(self.timers.items()):
            if due <= self.now and self.timers.pop(name, None) is not None:
                self.take(ev.TimerFired(self.now, name))
        self.due = min(self.timers.values(), default=1 << 62)

    def enter(self) -> None:
        """Let the model speak for instruments that are wanted and not held."""
        wanted = [key for key in self.keys[: self.held] if not self.shares.get(key)]
        if not wanted:
            return
        self.side = "SELL" if self.side == "BUY" else "BUY"
        answers = tuple(
            ev.Prediction(key, self.side, "1", "champion", "r", 0.5, 0.5, self.now + 600_000)
            for key in wanted
        )
        self.take(ev.ModelAnswered(self.now, 0, answers))

    def answer(self, command: cmd.Command) -> None:
        """Do what a command asks, at once."""
        now = self.now
        match command:
            case cmd.SetTimer():
                self.timers[command.name] = command.due_ms
                self.due = min(self.due, command.due_ms)
            case cmd.CancelTimer():
                self.timers.pop(command.name, None)
            case cmd.Describe():
                info = ev.VersionInfo("1", self.policy, "paper", "champion")
                self.take(
                    ev.ModelDescribed(now, command.call, "m", "5minute", 3, self.keys, (info,))
                )
            case cmd.OpenDay():
                session = Calendar.of_days([ON]).session(ON)
                assert session is not None
                dump = {key: Instrument(key, n + 1, TICK) for n, key in enumerate(self.keys)}
                self.take(ev.DayOpened(now, command.call, session, dump))
            case cmd.ReadQuotes():
                bands = {key: Band(1, 10_000_000) for key in self.keys}
                self.take(ev.QuotesRead(now, command.call, {}, bands))
            case cmd.ReadMargins():
                self.take(ev.MarginsRead(now, command.call, 10**11, 0))
            case cmd.ReadOrderMargins():
                asked = {(key, transaction): 100 for key, transaction, _ in command.items}
                self.take(ev.OrderMarginsRead(now, command.call, asked))
            case cmd.ReadHistory():
                candles = tuple(
                    ev.OfficialCandle(now - (40 - n) * 300_000, 500.0, 501.0, 499.0, 500.0, 1.0)
                    for n in range(32)
                )
                self.take(ev.HistoryRead(now, command.call, command.key, "5minute", candles))
            case cmd.ReadBook():
                # rows and positions are read anew each time, as from a broker
                shares = self.shares.items()
                held = tuple(HeldRow(key, "MIS", count, 10_000) for key, count in shares if count)
                rows = tuple(replace(row) for row in self.rows.values())
                self.take(ev.BookRead(now, command.call, rows, held if command.positions else None))
            case cmd.Place() | cmd.Modify() | cmd.Cancel():
                self.order(command)
            case _:
                pass

    def order(self, command: cmd.Place | cmd.Modify | cmd.Cancel) -> None:
        """Take an order call, and show what became of the order."""
        if isinstance(command, cmd.Place):
            self.orders += 1
            order_id = f"o{self.orders}"
        else:
            order_id = command.order_id
        self.take(ev.CallAnswered(self.now, command.call, order_id))
        trade = self.desk.trades[command.trade]
        leg = trade.entry if command.role is Role.ENTRY else trade.exits[-1]
        assert leg is not None
        terms = leg.terms if isinstance(command, cmd.Cancel) else command.terms
        row = self.row(leg, order_id, trade.key, terms, cancelled=isinstance(command, cmd.Cancel))
        before, self.rows[order_id] = self.rows.get(order_id), row
        filled = row.filled - (0 if before is None else before.filled)
        signed = filled if row.transaction == "BUY" else -filled
        self.shares[trade.key] = self.shares.get(trade.key, 0) + signed
        self.take(ev.OrderSeen(self.now, row))

    def row(self, leg: Leg, order_id: str, key: str, terms: Terms, *, cancelled: bool) -> OrderRow:
        """Return the book's row of an order: stops rest, everything else fills at once."""
        rests = terms.order_type == "SL"
        status = "CANCELLED" if cancelled else "TRIGGER PENDING" if rests else "COMPLETE"
        filled = terms.quantity if status == "COMPLETE" else leg.filled
        price = self.prices.get(key) or terms.price_ticks or self.desk.sights[key].quote.last
        return OrderRow(
            order_id, leg.tag, key, "MIS", leg.transaction, terms.order_type, status,
            terms.quantity, filled, filled * 5 * price, terms.price_ticks or 0,
            terms.trigger_ticks or 0,
        )  # fmt: skip


def bench_rules() -> Rules:
    """Return limits that nothing reaches."""
    money = MoneySettings(
        CapitalSettings(total=Decimal(10**9)),
        SizingSettings(mode="fixed_quantity", quantity=SHARES),
        RiskSettings(max_open_positions=10, max_trades=10**6, max_round_trips=10**6),
    )
    entry = replace(
        EntryRules(),
        spread_bp_max=10_000,
        since=clock(9, 15),
        until=clock(15, 30),
        patience_ms=10**9,
    )
    return Rules(instance="perf", model="m", entry=entry, watch=WatchRules(), money=money)


def quote_at(last: int, volume: int, ms: int) -> Quote:
    """Return a full packet whose best prices lie beside the last one."""
    bids = tuple((last - 1 - n, 500) for n in range(5))
    asks = tuple((last + n, 500) for n in range(5))
    return Quote(last, volume, bids, asks, ms // 1000 * 1000, ms // 1000 * 1000)


def walk(keys: tuple[str, ...], count: int) -> Iterator[Tick]:
    """Yield a random walk of every key in turn, a tick each 250 ms, from a fixed seed."""
    draw, prices = Random(20210514), dict.fromkeys(keys, 30_000)
    opens = _session_ms()[0] + 15 * 60_000
    for n in range(count):
        key = keys[n % len(keys)]
        prices[key] = max(1_000, prices[key] + draw.choice((-4, -2, -1, 0, 0, 1, 2, 4)))
        yield opens + n * 250 * 80_000 // max(count, 80_000), key, prices[key]


def recorded(folder: Path, keys: tuple[str, ...], count: int) -> Iterator[Tick]:
    """Yield a recorded day's snapshots of as many symbols, in order of time, 09:30 to 15:00."""
    from benchmarks.trailing.real_days import days

    opens, closes = _session_ms()
    rows: list[Tick] = []
    found = 0
    for day in days(folder, pattern=f"nse_ticks_1s_{ON}.parquet"):
        if found == len(keys):
            break
        ticks = [tick for minute in day.minutes for tick in minute.ticks]
        if len(ticks) < count // len(keys):
            continue
        rows += [(ms, keys[found], price) for ms, price in ticks]
        found += 1
    rows = [row for row in rows if opens + 15 * 60_000 <= row[0] < closes - 30 * 60_000]
    yield from sorted(rows)[:count]


def _session_ms() -> tuple[int, int]:
    session = Calendar.of_days([ON]).session(ON)
    assert session is not None
    return session.opens_ms, session.closes_ms


def measure(policy: str, ticks: list[Tick], keys: tuple[str, ...], held: int) -> dict[str, float]:
    """Return what a stream costs: a tick in microseconds, ticks and all events a second."""
    street = Street(policy, keys, held)
    first: dict[str, int] = {}
    for _, key, price in ticks:
        first.setdefault(key, price)
    street.open(first, ticks[0][0])
    volumes = dict.fromkeys(keys, 1_000)
    stream = []
    for ms, key, price in ticks[1:]:
        volumes[key] += 10
        stream.append(ev.TickSeen(ms, key, quote_at(price, volumes[key], ms)))
    street.events = 0
    gc.collect()
    gc.freeze()  # a live agent does not hold the day that is still to come
    begin = time.process_time()
    street.run(stream)
    took = time.process_time() - begin
    gc.unfreeze()
    ticks_s = took - street.aside_s
    return {
        "events": street.events,
        "trades": sum(1 for trade in street.desk.trades.values() if trade.levels is not None),
        "tick_us": ticks_s * 1e6 / len(stream),
        "ticks_a_second": len(stream) / ticks_s,
        "events_a_second": street.events / took,
    }


SCENES = (
    ("no trade", 1, 0),
    ("1 trade", 1, 1),
    ("3 trades", 3, 3),
    ("10 symbols, 3 trades", 10, 3),
)


def scenes(policy: str, data: Path | None, count: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield a name and its figures for every scene and stream."""
    for name, symbols, held in SCENES:
        keys = tuple(f"NSE:S{n:02}" for n in range(symbols))
        yield f"random walk, {name}", measure(policy, list(walk(keys, count)), keys, held)
        if data is not None:
            ticks = list(recorded(data, keys, count))
            yield f"recorded day, {name}", measure(policy, ticks, keys, held)


def preset(name: str) -> str:
    """Return a packaged policy's text, without its limits on trading again."""
    text = (resources.files("agent.trailing.presets") / f"{name}.toml").read_text("utf-8")
    return text.partition("[overtrading]")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--ticks", type=int, default=20_000)
    parser.add_argument("--policy", default="hybrid_intraday")
    asked = parser.parse_args()
    for name, told in scenes(preset(asked.policy), asked.data, asked.ticks):
        print(
            f"{name:36} {told['events']:>9,.0f} events {told['trades']:>4.0f} trades"
            f" {told['tick_us']:8.2f} us a tick {told['ticks_a_second']:>10,.0f} ticks/s"
            f" {told['events_a_second']:>10,.0f} events/s"
        )


if __name__ == "__main__":
    main()
