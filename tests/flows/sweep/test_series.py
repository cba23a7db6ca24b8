"""Prices become whole ticks or whole paise, entries stand where they should, the ATR is in time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from agent.errors import SettingRefused
from agent.trailing.atr import TickBars, Wilder
from agent.trailing.bulk.scale import ATR_PARTS
from flows.sweep.entries import EntryRules, regular, session_ends, signalled
from flows.sweep.series import Series, of_candles, of_ticks
from tests.flows.sweep.prices import walk_frame, walk_series


def test_the_tick_is_the_coarsest_that_holds_every_price() -> None:
    frame = walk_frame("NSE:AAA", days=2)
    series = of_candles(frame, 60_000)
    assert (series.tick_size, series.scale) == (Decimal("0.05"), 1)
    assert series.prices[3].tolist() == np.rint(frame["close"] * 20).astype(int).tolist()
    frame.loc[3, "high"] += 0.01
    assert of_candles(frame, 60_000).tick_size == Decimal("0.01")
    given = of_candles(frame, 60_000, Decimal("0.05"))
    assert (given.tick_paise, given.scale) == (5, 5)  # fifths of a tick: paise
    assert given.prices[1][3] == round(frame["high"][3] * 100)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused_with_the_symbol(bad: float) -> None:
    frame = walk_frame("NSE:AAA", days=1)
    frame.loc[5, "low"] = bad
    with pytest.raises(SettingRefused, match="NSE:AAA"):
        of_candles(frame, 60_000)


def test_a_tick_that_is_no_paisa_is_refused() -> None:
    with pytest.raises(SettingRefused, match="--tick-size"):
        of_candles(walk_frame("NSE:AAA", days=1), 60_000, Decimal("0.003"))


def test_it_survives_its_file(tmp_path: Path) -> None:
    series = walk_series(days=2)
    series.save(tmp_path / "s.npz")
    again = Series.load(tmp_path / "s.npz")
    assert (again.symbol, again.tick_paise, again.interval_ms) == ("NSE:AAA", 5, 60_000)
    assert (again.prices == series.prices).all()
    assert (again.atr_value == series.atr_value).all()


def test_the_atr_of_candles_is_known_with_their_close() -> None:
    series = walk_series(days=2)
    wilder = Wilder(14)
    exact = [wilder.add(*(int(p) for p in series.prices[1:, k])) for k in range(len(series))]
    for at, value in list(zip(series.atr_at, series.atr_value, strict=True))[:150]:
        assert abs(Fraction(int(value), ATR_PARTS) - exact[at]) <= Fraction(1, ATR_PARTS)
    entries = regular(series, EntryRules(every=10), "minute")
    for at, atr in zip(entries.at, entries.atr, strict=True):
        known = np.searchsorted(series.atr_at, at)  # the changes at closes before this candle
        assert atr == (series.atr_value[known - 1] if known else 0)


def test_the_atr_of_ticks_is_known_with_the_first_tick_of_a_later_minute() -> None:
    draw = np.random.default_rng(4)
    stamps = 1_620_618_300_000 + np.cumsum(draw.integers(0, 9_000, 900))
    ticks = 20_000 + np.cumsum(draw.integers(-5, 6, 900))
    series = of_ticks("NSE:AAA", stamps, np.round(ticks * 0.05, 2))
    bars = TickBars(60_000, 14)
    known = [bars.add(int(ts), int(price)) for ts, price in zip(stamps, ticks, strict=True)]
    told = {n: value for n, value in enumerate(known) if value is not None}
    assert len(told) > 20
    assert set(series.atr_at.tolist()) <= set(told)
    for at, value in zip(series.atr_at.tolist(), series.atr_value.tolist(), strict=True):
        assert abs(Fraction(value, ATR_PARTS) - told[at]) <= Fraction(1, ATR_PARTS)


def test_entries_stand_in_their_times_and_end_by_the_square_off() -> None:
    series = walk_series(days=3, bars=375)
    entries = regular(series, EntryRules(every=15), "minute")
    minute = series.minute
    assert minute[entries.at].min() == 9 * 60 + 30  # the first of a day is before 09:20
    assert minute[entries.at].max() == 14 * 60 + 45
    assert set(minute[entries.last - 1].tolist()) == {15 * 60 + 4}
    assert (series.day[entries.last - 1] == series.day[entries.at]).all()
    assert sorted(set(entries.sign.tolist())) == [-1, 1]
    assert len(entries) == 2 * 3 * 22


def test_a_day_candle_s_trade_lives_inside_it() -> None:
    frame = walk_frame("NSE:AAA", days=5, bars=1)
    series = of_candles(frame, 86_400_000)
    entries = regular(series, EntryRules(sides=(1,)), "day")
    assert entries.at.tolist() == [0, 1, 2, 3, 4]
    assert entries.last.tolist() == [1, 2, 3, 4, 5]


def test_a_session_that_is_over_has_no_end_ahead() -> None:
    series = walk_series(days=1, bars=375)
    ends = session_ends(series, EntryRules(square_off="09:10"))
    assert set(ends.tolist()) == {0}
    assert len(regular(series, EntryRules(square_off="09:10"), "minute")) == 0


def test_signals_enter_at_the_next_candle_of_their_day() -> None:
    series = walk_series(days=2, bars=375)
    at = series.ts_ms
    late = int(at[374]) + 30_000  # after the day's last candle: the next day's first takes it
    found = signalled(series, EntryRules(), [(int(at[10]), 1), (int(at[20]) + 1, -1), (late, 1)])
    assert sorted(found.at.tolist()) == [10, 21, 375]
