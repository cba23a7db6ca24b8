"""Ticks that are answered at once are what the plain way makes of them, event for event.

`Twin` takes every event both ways: through `decide`, and through `decide_plainly`, which knows no
idle ticks. Commands must be the same at every event; the desks are compared at some events only,
so that stretches of idle ticks of every length are written down.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.codec import to_plain
from agent.core.decide import decide, decide_plainly
from agent.core.idle import IDLE_MAX
from agent.core.state import Desk
from agent.market.candles import Candle
from agent.risk.settings import CapitalSettings, MoneySettings, RiskSettings, SizingSettings
from benchmarks.trailing import decide_events
from benchmarks.trailing.decide_events import ON, Street, bench_rules, quote_at
from tests.agent.orders import world as worlds
from tests.agent.orders.bench import KEY, Bench
from tests.agent.orders.world import World, mix_of
from tests.agent.paper.lab import at
from tests.agent.trailing import cases


class Twin:
    """`decide`, watched: the same event the plain way, and the two compared."""

    def __init__(self, seed: int, look: float = 0.2) -> None:
        self.draw = Random(seed)
        self.look = look
        self.fast: Desk | None = None
        self.plain: Desk | None = None
        self.ticks = self.idle = self.quiet = 0

    def __call__(self, desk: Desk, event: ev.Event) -> tuple[Desk, tuple[cmd.Command, ...]]:
        if desk is not self.fast or self.plain is None:
            self.plain = desk  # a start, or a desk that came back from the journal
        fast, said = decide(desk, event)
        self.plain, plainly = decide_plainly(self.plain, event)
        assert said == plainly, (event, said, plainly)
        if isinstance(event, ev.TickSeen):
            self.ticks += 1
            self.idle += fast.idle is not None
        elif isinstance(event, ev.TimerFired | ev.BookRead | ev.MarginsRead):
            self.quiet += fast.idle is not None
        if self.draw.random() < self.look:
            same(fast, self.plain, event)
        self.fast = fast
        return fast, said


def same(fast: Desk, plain: Desk, event: ev.Event | None = None) -> None:
    """Compare two desks, the field that differs named; then as the journal writes trades."""
    for name in Desk.__dataclass_fields__:
        if name not in {"lulls", "bare"}:
            assert getattr(fast, name) == getattr(plain, name), (name, event)
    assert list(fast.sights) == list(plain.sights)
    assert list(fast.trades) == list(plain.trades)
    if plain.money is not None and fast.money is not None:
        positions = plain.money.portfolio.positions
        assert list(fast.money.portfolio.positions) == list(positions)
    assert [to_plain(t) for t in fast.trades.values()] == [
        to_plain(t) for t in plain.trades.values()
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_day_goes_both_ways(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = Twin(seed, look=0.05)
    monkeypatch.setattr(worlds, "decide", twin)
    world = World(seed, mix_of(seed))
    world.run_to(at("11:30"))
    same(world.desk, twin.plain or world.desk)
    assert twin.idle, f"seed {seed}"
    assert twin.quiet, f"seed {seed}"


def test_what_waits_to_be_written_down_stays_bounded() -> None:
    bench, waited = Bench(), 0
    plain = bench.desk
    for n in range(2 * IDLE_MAX + 10):
        bench.now += 10
        tick = ev.TickSeen(bench.now, KEY, quote_at(2_000 + n % 7, 1_000 + n, bench.now))
        bench.take(tick)
        plain, _ = decide_plainly(plain, tick)
        waited = max(waited, 0 if bench.desk.idle is None else bench.desk.idle.waiting)
    assert waited == IDLE_MAX
    same(bench.desk, plain)


def test_a_desk_that_is_not_written_down_is_the_value_that_it_stands_for() -> None:
    bench = Bench()
    bench.opened()
    for last in (2_001, 2_000, 1_999):
        bench.tick(last)
    lazy, written = bench.desk, bench.desk.idle
    assert written is not None
    assert repr(lazy) == repr(written.written())
    assert lazy == written.written() == replace(lazy)
    changed = replace(lazy, wanted_book=True)
    after, _ = decide(changed, ev.TickSeen(bench.now, KEY, lazy.sights[KEY].quote))
    assert after.wanted_book, "a change of a desk is not lost with what was unwritten"
    with pytest.raises(AttributeError, match="a desk has no window_size"):
        getattr(lazy, "window_size")  # noqa: B009  (mypy knows that there is none)


class Rough(Street):
    """A street on which everything happens: late timers, candles, orders of a person, bad packets.

    `Street` answers what the agent says; here the draw says what comes next.
    """

    def begin(self, draw: Random) -> None:
        self.draw = draw
        self.prices = {key: draw.choice([400, 1_000, 4_000]) for key in self.keys}
        self.volumes = dict.fromkeys(self.keys, 1_000)
        self.lean = draw.choice([0, 0, 1, -1])  # a trend lets trades win
        self.open(dict(self.prices), at("10:00", ON))

    def on_the_way(self) -> None:
        """Let one thing happen."""
        draw, key = self.draw, self.draw.choice(self.keys)
        self.now += draw.choice([0, 0, 50, 250, 250, 1_000, 3_100])
        if self.now >= self.due and draw.random() < 0.7:  # now and then a timer is late
            self.fire()
        dice = draw.random()
        if dice < 0.9:
            self.take(self.packet(key))
        elif dice < 0.92:
            begin, last = self.now // 300_000 * 300_000, self.prices[key]
            high, low = last + draw.randint(0, 6), last - draw.randint(0, 9)
            candle = Candle(begin, begin + 300_000, last, high, low, last, 10, 5, gap=False)
            self.take(ev.CandleClosed(self.now, key, "5minute", candle))
        elif dice < 0.93:
            says = draw.choice(["HOLD", "BUY", "SELL"])
            answer = ev.Prediction(key, says, "1", "champion", "r", 0.5, 0.5, self.now + 60_000)
            self.take(ev.ModelAnswered(self.now, 0, (answer,)))
        elif dice < 0.94:
            self.take(ev.MarginsRead(self.now, 0, 10**11, draw.choice([0, 0, 10**11, 10**13])))
        elif dice < 0.95:
            self.take(ev.Ordered(self.now, draw.choice(["halt", "resume", "no_new", "resume"])))
        elif dice < 0.955:
            self.take(ev.Ordered(self.now, draw.choice(["reduce_only", "flatten", "resume"])))
        elif dice < 0.97 and self.rows:
            self.take(ev.OrderSeen(self.now, draw.choice(list(self.rows.values()))))
        elif dice < 0.98:
            self.take(ev.FeedChanged(self.now, draw.random() < 0.7, "a word"))
        else:
            raised = ev.GuardRaised(self.now, "disk", "full")
            self.take(raised if draw.random() < 0.5 else ev.GuardLifted(self.now, "disk"))
        if draw.random() < 0.1:
            self.enter()

    def packet(self, key: str) -> ev.TickSeen:
        """Return a packet: mostly a quiet trade, sometimes one that is hardly one."""
        draw = self.draw
        step = draw.choice([0, 0, 1, -1, 1, -1, 2, -2, draw.randint(-12, 12)]) + self.lean
        self.prices[key] = max(5, self.prices[key] + step)
        self.volumes[key] += draw.choice([0, 10, 10, 10])
        ms = self.now - (draw.choice([1_000, 5_000]) if draw.random() < 0.04 else 0)
        quote = quote_at(self.prices[key], self.volumes[key] if draw.random() < 0.95 else 0, ms)
        seen = self.desk.sights.get(key)
        if seen is not None and draw.random() < 0.3:  # a change of depth: no trade
            last = quote.last if draw.random() < 0.2 else seen.quote.last
            volume, traded_ms = seen.quote.volume, seen.quote.traded_ms
            quote = replace(quote, last=last, volume=volume, traded_ms=traded_ms)
            self.prices[key], self.volumes[key] = last, volume or self.volumes[key]
        return ev.TickSeen(self.now, key, quote, cached=draw.random() < 0.02)


def small_money(draw: Random) -> MoneySettings:
    """Limits near enough to be reached."""
    return MoneySettings(
        CapitalSettings(total=Decimal(10_000_000)),
        SizingSettings(mode="fixed_quantity", quantity=draw.choice([1, 100, 2_000])),
        RiskSettings(
            max_open_positions=10, max_trades=10**6, max_round_trips=10**6,
            max_daily_loss=draw.choice(["0.001%", "0.05%", "5%"]),
            max_drawdown=draw.choice([None, "0.001%", "0.02%"]),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("part", range(6))
def test_any_course_of_events_goes_both_ways(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random policies, settings and events; the seed of a failure is in its message."""
    ticks = idle = quiet = trades = 0
    for seed in range(part * 14, part * 14 + 14):
        draw = Random(seed)
        keys = tuple(f"NSE:S{n}" for n in range(draw.choice([1, 2, 4])))
        policy = cases.policy(draw, tick=draw.choice([0.05, 0.05, 0.25]), entry=50.0)
        policy += draw.choice(["", "[planner]\nquiet_ms = 900\nmodifications = 5\nbuffer = 0.1\n"])
        policy += draw.choice(["", "[signal]\nextend_only_while_agrees = true\n"])
        twin = Twin(seed, look=draw.choice([0.01, 0.1, 1.0]))
        monkeypatch.setattr(decide_events, "decide", twin)
        rules = replace(bench_rules(), money=small_money(draw))
        monkeypatch.setattr(decide_events, "bench_rules", lambda rules=rules: rules)
        street = Rough(policy, keys, held=len(keys))
        try:
            street.begin(draw)
            for _ in range(160):
                street.on_the_way()
            assert twin.plain is not None
            same(street.desk, twin.plain)
        except AssertionError as fault:
            raise AssertionError(f"seed {seed}: {fault}\n{policy}") from fault
        ticks, idle, quiet = ticks + twin.ticks, idle + twin.idle, quiet + twin.quiet
        trades += sum(t.levels is not None for t in street.desk.trades.values())
    assert ticks > 1_500
    assert idle > 300
    assert quiet > 10
    assert trades > 10
