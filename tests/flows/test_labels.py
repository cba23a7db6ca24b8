"""What a label says: next open, spread, charges, the engine's own exit, never the future."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.charges import order_charges
from agent.trailing.policy import Policy
from flows.data.frame import DAY_MS, IST_MS, make_frame
from flows.labels import (
    LabelSettings,
    classes,
    joined,
    label_symbol,
    sample_weights,
    wilder_atr,
)

FIXED = Policy.parse('mode = "percent"\nstop = "2%"\ntarget = "3%"\nshare = 0\n')
SETTINGS = LabelSettings(spread_bps=0.0)
MONDAY_MS = 19_723 * DAY_MS - IST_MS  # 2024-01-01


def day_candles(rows: list[tuple[float, float, float, float]]) -> pd.DataFrame:
    ms = MONDAY_MS + np.arange(len(rows), dtype=np.int64) * DAY_MS
    columns = np.array(rows, dtype=np.float64).T
    names = ("open", "high", "low", "close")
    values = dict(zip(names, columns, strict=True)) | {"volume": np.full(len(rows), np.nan)}
    return make_frame("NSE:TEST", ms, values)


FLAT_DAY = (500.0, 501.0, 499.0, 500.0)

#  id                 next day: o, h, l, c           long exit  short exit  class
DAYS = [
    ("nothing",       (500.0, 501.0, 499.0, 500.0),  500.0,     500.0,      0),
    ("rises to close", (500.0, 509.0, 499.0, 508.0), 508.0,     508.0,      1),
    ("falls to close", (500.0, 501.0, 491.0, 492.0), 492.0,     492.0,      2),
    ("gap is entered", (520.0, 529.0, 519.0, 528.0), 528.0,     528.0,      1),
    # the exit is the worst price that may have been traded, never the level
    ("long stopped",  (500.0, 501.0, 480.0, 495.0),  480.0,     485.0,      2),
    ("short stopped", (500.0, 520.0, 499.0, 505.0),  515.0,     520.0,      1),
    ("both stopped",  (500.0, 520.0, 480.0, 500.0),  480.0,     520.0,      0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "bar", "long_exit", "short_exit", "y"), DAYS, ids=lambda v: str(v)[:16]
)
def test_a_day_trade_is_worth_its_worst_path_less_spread_and_charges(
    name: str,
    bar: tuple[float, float, float, float],
    long_exit: float,
    short_exit: float,
    y: int,
) -> None:
    labels = label_symbol(day_candles([FLAT_DAY, bar]), "day", FIXED, SETTINGS)
    assert len(labels) == 1
    half = 0.05 / 2  # no spread given: half a tick is the least
    on = datetime.fromtimestamp(labels.entry_ms[0] / 1000, UTC).date()
    for sign, exit_, r, bp in (
        (1, long_exit, labels.r_long[0], labels.bp_long[0]),
        (-1, short_exit, labels.r_short[0], labels.bp_short[0]),
    ):
        entry, left = bar[0] + sign * half, exit_ - sign * half
        quantity = int(100_000 / entry)
        legs = [("BUY", entry), ("SELL", left)] if sign > 0 else [("SELL", entry), ("BUY", left)]
        charges = sum(
            order_charges(
                product="MIS", segment="NSE", transaction=word, quantity=quantity,
                price=Fraction(price).limit_denominator(1000), on=on,
            ).total
            for word, price in legs
        )  # fmt: skip
        net = sign * (left - entry) - charges / 100 / quantity
        stop = np.ceil(sign * (entry - sign * 0.02 * entry) / 0.05 - 1e-9) * 0.05 * sign
        assert bp == pytest.approx(net / entry * 1e4, abs=1e-6)
        assert r == pytest.approx(net / abs(entry - stop), abs=1e-6)
    assert labels.y[0] == y
    assert labels.known_ms[0] == labels.entry_ms[0] + DAY_MS


def test_a_wider_spread_costs_both_sides() -> None:
    candles = day_candles([FLAT_DAY, FLAT_DAY])
    near = label_symbol(candles, "day", FIXED, SETTINGS)
    far = label_symbol(candles, "day", FIXED, LabelSettings(spread_bps=20.0))
    for side in ("bp_long", "bp_short"):
        # both near spreads are one tick of 500 rupees: 1 bp
        assert getattr(near, side)[0] - getattr(far, side)[0] == pytest.approx(19.0, abs=0.5)


def test_where_the_policy_does_not_fit_the_grid_there_is_no_label() -> None:
    tight = Policy.parse('mode = "percent"\nstop = "0.01"\nshare = 0\n')
    cheap = (0.5, 0.51, 0.49, 0.5)
    rows = [cheap, cheap, FLAT_DAY]
    loose = Policy.parse('mode = "percent"\nstop = "2%"\nshare = 0\n')
    assert label_symbol(day_candles(rows), "day", loose, SETTINGS).candle.tolist() == [1]
    with pytest.raises(SettingRefused, match="stop"):
        label_symbol(day_candles([FLAT_DAY] * 5), "day", tight, SETTINGS)


INTRADAY = Policy.parse('mode = "percent"\nstop = "1%"\ntarget = "2%"\nshare = 0.5\n')


def session_candles(days: int, *, minutes: int = 15, seed: int = 1) -> pd.DataFrame:
    """A random walk over whole sessions on the 0.05 grid."""
    rng = np.random.default_rng(seed)
    per_day = 375 // minutes
    n = days * per_day
    step = np.rint(np.cumsum(rng.normal(0, 25, n)))
    close = 10_000 + step
    start = np.concatenate([[10_000.0], close[:-1]])
    high = np.maximum(start, close) + rng.integers(0, 20, n)
    low = np.minimum(start, close) - rng.integers(0, 20, n)
    ms = (
        MONDAY_MS
        + np.repeat(np.arange(days), per_day) * DAY_MS
        + (555 + np.tile(np.arange(per_day), days) * minutes) * 60_000
    )
    values = {
        k: v * 0.05 for k, v in (("open", start), ("high", high), ("low", low), ("close", close))
    }
    return make_frame("NSE:TEST", ms.astype(np.int64), values | {"volume": np.full(n, np.nan)})


def test_a_trade_inside_the_day_never_leaves_it() -> None:
    labels = label_symbol(session_candles(4), "15minute", INTRADAY, SETTINGS)
    minute = (labels.entry_ms + IST_MS) % DAY_MS // 60_000
    assert (minute >= 9 * 60 + 20).all()
    assert (minute <= 14 * 60 + 45).all()
    for ends in (labels.exit_long_ms, labels.exit_short_ms, labels.known_ms):
        assert ((ends + IST_MS) % DAY_MS // 60_000 <= 15 * 60 + 5).all()
        assert ((ends - 1 + IST_MS) // DAY_MS == labels.day).all()
    assert (labels.entry_ms == labels.decided_ms).all()
    assert (labels.known_ms >= np.maximum(labels.exit_long_ms, labels.exit_short_ms)).all()


def test_every_so_many_candles_is_counted_from_the_days_first() -> None:
    candles = session_candles(4)
    every = label_symbol(candles, "15minute", INTRADAY, LabelSettings(every=4))
    holed = candles.drop(index=[3, 30]).reset_index(drop=True)
    shifted = label_symbol(holed, "15minute", INTRADAY, LabelSettings(every=4))
    assert set(every.decided_ms[every.day > 19_724]) == set(
        shifted.decided_ms[shifted.day > 19_724]
    )


def test_a_horizon_ends_a_trade() -> None:
    candles = session_candles(3)
    labels = label_symbol(candles, "15minute", INTRADAY, LabelSettings(horizon_candles=2))
    assert (labels.known_ms - labels.entry_ms <= 2 * 15 * 60_000).all()


@settings(max_examples=25)
@given(cut=st.integers(1, 74), seed=st.integers(0, 5))
def test_no_label_that_is_known_changes_when_the_future_is_taken_away(cut: int, seed: int) -> None:
    candles = session_candles(3, seed=seed)
    whole = label_symbol(candles, "15minute", INTRADAY, SETTINGS)
    end = int(candles["ts"].astype("int64").iloc[cut] // 1_000_000)
    part = label_symbol(candles.iloc[: cut + 1], "15minute", INTRADAY, SETTINGS)
    known = whole.known_ms <= end
    same = np.isin(part.candle, whole.candle[known])
    assert (part.r_long[same] == whole.r_long[known]).all()
    assert (part.r_short[same] == whole.r_short[known]).all()


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1), st.floats(0, 1))
def test_the_class_is_the_side_that_beats_the_other_and_theta(
    results: list[tuple[float, float]], theta: float
) -> None:
    long, short = (np.array(side) for side in zip(*results, strict=True))
    for y, r_long, r_short in zip(classes(long, short, theta), long, short, strict=True):
        best = max(r_long, r_short)
        expected = 0 if best <= theta or r_long == r_short else (1 if r_long > r_short else 2)
        assert y == expected
    mirrored = classes(short, long, theta)
    swap = np.array([0, 2, 1])
    assert (mirrored == swap[classes(long, short, theta)]).all()


def test_one_days_move_is_one_observation_whatever_the_number_of_symbols() -> None:
    rows = [FLAT_DAY] * 7
    alone = label_symbol(day_candles(rows), "day", FIXED, SETTINGS)
    late = label_symbol(day_candles(rows[:4]), "day", FIXED, SETTINGS)
    both = joined([alone, late])
    weight = sample_weights(both)
    by_day = {int(day): weight[both.day == day].sum() for day in np.unique(both.day)}
    assert len({round(total, 9) for total in by_day.values()}) == 1
    assert weight.mean() == pytest.approx(1.0)


def test_an_ambiguous_label_has_half_the_weight_and_overlap_shares() -> None:
    calm, wild = FLAT_DAY, (500.0, 520.0, 480.0, 500.0)
    labels = label_symbol(day_candles([calm, calm, wild]), "day", FIXED, SETTINGS)
    assert labels.ambiguous.tolist() == [False, True]
    weight = sample_weights(labels)
    assert weight[1] == pytest.approx(weight[0] / 2)
    inside = label_symbol(session_candles(3), "15minute", INTRADAY, SETTINGS)
    overlap = sample_weights(inside) * np.where(inside.ambiguous, 2.0, 1.0)
    last = inside.known_ms - inside.entry_ms
    alone = [i for i in range(len(inside)) if _alive(inside, i) == 1]
    crowd = [i for i in range(len(inside)) if _alive(inside, i) >= 8]
    assert last.min() > 0
    if alone and crowd:
        assert min(overlap[alone]) > max(overlap[crowd])


def _alive(labels: object, i: int) -> int:
    start, end = labels.entry_ms[i], labels.known_ms[i]  # type: ignore[attr-defined]
    return int(((labels.entry_ms < end) & (labels.known_ms > start)).sum())  # type: ignore[attr-defined]


def test_wilders_average_by_hand() -> None:
    high, low, close = (np.array(x, float) for x in ([11, 12, 15], [9, 11, 12], [10, 12, 14]))
    # true ranges 2, 2 (12 - 10), 3; mean of two, then a half step
    assert wilder_atr(high, low, close, 2)[1:].tolist() == [2.0, 2.5]
    assert np.isnan(wilder_atr(high, low, close, 2)[0])
    assert np.isnan(wilder_atr(high, low, close, 9)).all()


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(SettingRefused, match=r"labels\.square_off: found 25:99"):
        label_symbol(session_candles(2), "15minute", INTRADAY, LabelSettings(square_off="25:99"))


def test_times_are_those_of_india() -> None:
    labels = label_symbol(day_candles([FLAT_DAY] * 3), "day", FIXED, SETTINGS)
    at = datetime.fromtimestamp((int(labels.entry_ms[0]) + IST_MS) / 1000, UTC)
    assert (at.date().isoformat(), at.hour) == ("2024-01-02", 0)


@given(seed=st.integers(0, 2**32 - 1), interval=st.sampled_from(["day", "60minute"]))
@settings(max_examples=25, deadline=None)
def test_some_decisions_alone_are_labelled_as_among_all(seed: int, interval: str) -> None:
    rng = np.random.default_rng(seed)
    count = 40
    close = 500 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opened = close * np.exp(rng.normal(0, 0.004, count))
    high, low = np.maximum(opened, close) * 1.004, np.minimum(opened, close) * 0.996
    candles = day_candles(list(zip(opened, high, low, close, strict=True)))
    if interval != "day":  # seven candles a day from 09:15 on
        n = np.arange(count)
        ms = MONDAY_MS + n // 7 * DAY_MS + (n % 7 * 60 + 555) * 60_000
        named = {k: candles[k].to_numpy() for k in ("open", "high", "low", "close", "volume")}
        candles = make_frame("NSE:TEST", ms.astype(np.int64), named)
    only = np.flatnonzero(rng.random(count) < rng.choice([0.0, 0.1, 0.6, 1.0]))
    whole = label_symbol(candles, interval, FIXED, SETTINGS)
    some = label_symbol(candles, interval, FIXED, SETTINGS, only=only)
    wanted = whole.at(np.isin(whole.candle, only))
    for field in fields(whole):
        np.testing.assert_array_equal(getattr(some, field.name), getattr(wanted, field.name))


def test_a_policy_that_fits_nowhere_is_no_fault_of_some_decisions() -> None:
    cheap = day_candles([(1.0, 1.01, 0.99, 1.0)] * 4)
    with pytest.raises(SettingRefused):
        label_symbol(cheap, "day", FIXED, SETTINGS)
    assert len(label_symbol(cheap, "day", FIXED, SETTINGS, only=np.array([1]))) == 0
