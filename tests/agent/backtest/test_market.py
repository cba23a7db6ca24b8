"""The tapes that a simulation plays: every candle's four prices, in the order that is said."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from agent.backtest import Latency, SignalRow, simulate
from agent.backtest.market import BacktestMarket, Ticks, market_of_candles, market_of_ticks
from agent.backtest.results import COLOUR, DRAWN, PESSIMISTIC, RECORDED
from agent.core.commands import AskModel
from agent.errors import SettingRefused
from agent.market.instruments import Side
from agent.paper.market import Tape
from agent.paper.source import CandleSet, Columns
from tests.agent.backtest import scenes
from tests.agent.backtest.scenes import DAY, A


def by_candle(tape: Tape) -> list[list[int]]:
    """Return a tape's prices minute by minute."""
    minutes: dict[int, list[int]] = {}
    for ms, price in zip(tape.times, tape.prices, strict=True):
        minutes.setdefault(ms // 60_000, []).append(price)
    return list(minutes.values())


@pytest.mark.parametrize("path", [COLOUR, PESSIMISTIC, DRAWN])
def test_every_candle_visits_its_four_prices(path: str) -> None:
    columns = scenes.candles_of(scenes.walk(9))
    market = scenes.market({A: columns}, path=path)
    found = by_candle(market.tape(A, DAY))
    assert len(found) == columns.ts_ms.size
    for n, prices in enumerate(found):
        four = [round(c[n] * 100) for c in (columns.open, columns.high, columns.low, columns.close)]
        assert [prices[0], max(prices), min(prices), prices[-1]] == four
        if path != DRAWN:
            rising = four[3] >= four[0]
            low_first = prices.index(min(prices)) < prices.index(max(prices))
            assert low_first is rising or four[0] in four[1:3] or four[3] in four[1:3]


def test_the_extreme_against_the_open_position_comes_first() -> None:
    """One wide candle that holds stop and target of both sides: both sides lose."""
    flat = np.full(40, 70.0)
    high, low = flat.copy(), flat.copy()
    high[20], low[20] = 71.0, 69.0
    ts = scenes.at("09:15") + 60_000 * np.arange(40, dtype=np.int64)
    columns = Columns(ts, flat, high, low, flat, np.full(40, 9_000.0))
    for side in Side:
        row = SignalRow(scenes.at("09:30"), A, side)
        trips = simulate(scenes.market({A: columns}), [row], scenes.settings()).trips
        assert [(trip.side, trip.reason, trip.ambiguous) for trip in trips] == [
            (side, "STOP", True)
        ]
    told = simulate(
        scenes.market({A: columns}, path=COLOUR),
        [SignalRow(scenes.at("09:30"), A, Side.SHORT)],
        scenes.settings(),
    )
    assert [trip.reason for trip in told.trips] == ["TARGET"]


def test_a_day_candle_is_entered_at_its_open_and_left_at_its_close() -> None:
    ts = np.array([scenes.at("00:00", on) for on in (date(2025, 10, 31), DAY)], dtype=np.int64)
    wide = Columns(
        ts, *(np.array([70.0, price]) for price in (70.0, 70.1, 69.9, 70.05)), np.full(2, 9e5)
    )
    market = market_of_candles({A: wide}, "day")
    known = scenes.at("15:30", date(2025, 10, 31))
    result = simulate(market, [SignalRow(known, A, Side.LONG)], scenes.settings(interval="day"))
    (trip,) = result.trips
    assert trip.day == DAY
    assert trip.reason == "SQUARE_OFF"
    assert abs(trip.entry_paise / trip.quantity - 7_000) <= 1
    assert abs(trip.exit_paise / trip.quantity - 7_005) <= 1
    assert scenes.at("15:03") < trip.exit_ms <= scenes.at("15:05")


def test_recorded_ticks_are_played_as_they_came() -> None:
    stamps = scenes.at("09:15") + 1_000 * np.arange(3_000, dtype=np.int64)
    prices = 7_000 + np.arange(3_000) % 7
    volume = 100 * np.arange(1, 3_001, dtype=np.int64)
    market = market_of_ticks({(A, DAY): Ticks(stamps, prices, volume)})
    assert market.path == RECORDED
    assert market.tape(A, DAY) == Tape(stamps.tolist(), prices.tolist(), volume.tolist())
    assert market.range_at(A, int(stamps[5])) is None


def test_a_function_is_asked_about_whole_windows_when_candles_close() -> None:
    asked: list[tuple[int, int]] = []

    def always_long(question: AskModel) -> list[SignalRow]:
        (window,) = question.windows
        known = window.ts_ms[-1] + 60_000
        asked.append((question.as_of_ms - known, len(window.ts_ms)))
        until = known + 60_000
        return [SignalRow(known, window.key, Side.LONG, 1.0, until, "v", scenes.POLICY)]

    market = scenes.market({A: scenes.candles_of(scenes.walk(4, minutes=20))})
    result = simulate(market, always_long, scenes.settings(window=5))
    # a candle closes a second after its boundary, and the first whole window is the fifth candle's
    assert asked[0] == (1_000, 5)
    assert {size for _, size in asked} == {5}
    assert 14 <= len(asked) <= 20
    assert len(result.trips) >= 1
    assert {trip.side for trip in result.trips} == {Side.LONG}


def test_wrong_settings_are_told_at_once() -> None:
    columns = {A: scenes.candles_of(scenes.walk(4, minutes=20))}
    with pytest.raises(SettingRefused, match="path"):
        BacktestMarket(CandleSet("minute", columns), path="best")
    with pytest.raises(SettingRefused, match="candles"):
        market_of_candles({}, "minute")
    day = market_of_candles({A: columns[A]}, "5minute")
    with pytest.raises(SettingRefused, match="interval"):
        simulate(day, [], scenes.settings(interval="minute"))
    market = scenes.market(columns)
    with pytest.raises(SettingRefused, match="no trailing policy"):
        simulate(market, scenes.signals(1), scenes.settings(policy=""))
    twice = [*scenes.signals(1, count=1), *scenes.signals(1, count=1)]
    with pytest.raises(SettingRefused, match="two known at"):
        simulate(market, twice, scenes.settings())
    with pytest.raises(SettingRefused, match="latency"):
        scenes.settings(latency=Latency(out_ms=-1))
