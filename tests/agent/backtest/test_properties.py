"""What holds for every market and every signal: money, protection, the mirror, the same again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.backtest import Latency, simulate
from agent.backtest.day import DayRun
from agent.backtest.results import Day, Result, RoundTrip
from agent.backtest.run import rows_by_day
from agent.market.instruments import Side
from tests.agent.backtest import scenes
from tests.agent.backtest.scenes import DAY, NEXT, A, B

SEEDS = st.integers(0, 10_000)
EXCHANGE_MS = 40  # until an order stands there


def check_money(day: Day) -> None:
    """The agent's account of its orders is the exchange's cash, to the paisa."""
    assert sum(trip.net_paise for trip in day.trips) == day.net_paise
    assert day.net_paise == day.audit["net_pnl_paise"]
    assert sum(trip.charges_paise for trip in day.trips) == day.charges_paise


def check_promises(day: Day, latency: Latency) -> None:
    """Flat, protected, and never two exits for one share."""
    assert day.audit["final_position"] == {}
    assert day.audit["surplus_exits"] == 0
    assert day.audit["stops_moved_back"] == 0
    assert day.audit["duplicate_tags"] == 0
    # A fill is heard, a stop sent; a second part of it waits for the first stop's answer.
    there = latency.out_ms + latency.back_ms
    assert day.audit["max_unprotected_ms"] <= 2 * there + EXCHANGE_MS
    assert all(trip.quantity > 0 and trip.reason for trip in day.trips)


@settings(max_examples=6)
@given(seed=SEEDS, out=st.integers(0, 400), back=st.integers(0, 400))
def test_money_is_conserved_and_every_position_protected(seed: int, out: int, back: int) -> None:
    latency = Latency(out, back, 50)
    market = scenes.market(
        {A: scenes.candles_of(scenes.walk(seed)), B: scenes.candles_of(scenes.walk(seed + 1))}
    )
    rows = [*scenes.signals(seed), *scenes.signals(seed + 1, B)]
    result = simulate(market, rows, scenes.settings(latency=latency))
    for day in result.days:
        check_money(day)
        check_promises(day, latency)


def test_a_day_of_many_signals_trades_both_sides() -> None:
    market = scenes.market({A: scenes.candles_of(scenes.walk(5))})
    result = simulate(market, scenes.signals(5, count=20), scenes.settings())
    sides = [trip.side for trip in result.trips]
    assert min(sides.count(Side.LONG), sides.count(Side.SHORT)) >= 2
    assert {trip.reason for trip in result.trips} >= {"STOP"}


@settings(max_examples=4)
@given(seed=SEEDS)
def test_a_mirrored_market_mirrors_its_trades(seed: int) -> None:
    steps, rows = scenes.walk(seed), scenes.signals(seed)
    opposite = [replace(row, side=row.side.opposite) for row in rows if row.side is not None]
    one, other = (
        simulate(scenes.market({A: scenes.candles_of(way)}), told, scenes.settings())
        for way, told in ((steps, rows), (scenes.mirrored(steps), opposite))
    )
    assert [_of(trip) for trip in one.trips] == [_of(trip) for trip in other.trips]
    assert [trip.side for trip in one.trips] == [trip.side.opposite for trip in other.trips]


def _of(trip: RoundTrip) -> tuple[object, ...]:
    """What does not depend on the side: charges do, the tax is on the sale."""
    return trip.entry_ms, trip.exit_ms, trip.gross_paise, trip.reason, trip.stop_moves


@settings(max_examples=3)
@given(seed=SEEDS)
def test_the_same_again_and_cut_in_two(seed: int) -> None:
    candles = scenes.joined(
        scenes.candles_of(scenes.walk(seed)),
        scenes.candles_of(scenes.walk(seed + 7), on=NEXT, middle=7_100),
    )
    first, second = scenes.signals(seed), scenes.signals(seed + 7, on=NEXT)
    chosen = scenes.settings(keep_notes=True)
    market = scenes.market({A: candles})
    whole = simulate(market, [*first, *second], chosen)
    assert simulate(scenes.market({A: candles}), [*second, *first], chosen) == whole
    parts = [simulate(market, rows, chosen) for rows in (first, second)]
    assert Result(whole.path, whole.capital_paise, parts[0].days + parts[1].days) == whole
    assert [day.on for day in whole.days] == [DAY, NEXT]


@settings(max_examples=4)
@given(seed=SEEDS, interval=st.sampled_from(["minute", "5minute"]))
def test_what_nobody_looks_at_may_be_told_later_or_never(seed: int, interval: str) -> None:
    """The plain way, everything at once, is the truth; 5-minute candles leave minutes for later."""
    market = scenes.market(
        {A: scenes.candles_of(scenes.walk(seed)), B: scenes.candles_of(scenes.walk(seed + 3))}
    )
    chosen = scenes.settings(keep_notes=True, interval=interval)
    rows = [*scenes.signals(seed, count=3), *scenes.signals(seed + 3, B, count=3)]
    told = rows_by_day(market, rows, chosen)[DAY]
    lazy, eager = (
        DayRun(market.on_day(DAY, {A, B}), told, chosen, every_tick=every).run()
        for every in (False, True)
    )
    assert replace(lazy, events=0) == replace(eager, events=0)
    assert lazy.events < eager.events
