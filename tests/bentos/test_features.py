"""The features: two faces that agree bit for bit, no look-ahead, no scale, no surprise change."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos import features as room
from bentos.features import (
    FEATURES,
    WINDOW,
    CandleArrays,
    features_last,
    features_over,
    features_sha256,
    manifest,
)
from tests.bentos.candles import DAY, walk


def names() -> list[str]:
    return [feature.name for feature in FEATURES]


def value(name: str, candles: CandleArrays) -> float:
    return float(features_last(candles)[names().index(name)])


def columns(low: float, high: float, n: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high, width=32), min_size=n, max_size=n)


@st.composite
def histories(draw: st.DrawFn) -> CandleArrays:
    """Ugly but valid candles: flat stretches, jumps, no volume, sessions of any length."""
    n = draw(st.integers(WINDOW, WINDOW + 30))
    # few distinct prices make ties and flat candles likely
    pool = draw(st.sampled_from([[100.0], [99.95, 100.0, 100.05], [1.0, 5.0, 1e5], None]))
    price = st.floats(0.05, 1e6) if pool is None else st.sampled_from(pool)
    four = [draw(st.lists(price, min_size=n, max_size=n)) for _ in range(4)]
    open_, close, a, b = (np.array(x) for x in four)
    high = np.maximum.reduce([open_, close, a, b])
    low = np.minimum.reduce([open_, close, a, b])
    some = st.sampled_from([0.0, 1.0, 250.0, math.nan])
    volume = np.array(draw(st.lists(some, min_size=n, max_size=n)))
    a_day = draw(st.sampled_from([1, 6, 7, 59, 60, 75]))
    ts = walk(n, step_ms=300_000, a_day=a_day).ts_ms
    return CandleArrays(ts, open_, high, low, close, volume)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


@settings(max_examples=60)
@given(histories())
def test_both_faces_agree_bit_for_bit(candles: CandleArrays) -> None:
    over = features_over(candles)
    for i in range(WINDOW - 1, len(candles)):
        assert same(features_last(candles.part(0, i + 1)), over[i]), f"candle {i}"
        assert same(features_last(candles.part(i + 1 - WINDOW, i + 1)), over[i]), f"window {i}"


@settings(max_examples=40)
@given(histories())
def test_one_window_meets_no_floating_point_error(candles: CandleArrays) -> None:
    """It does not tell numpy to ignore any, as that costs more than a step."""
    over = features_over(candles)
    with np.errstate(all="raise", under="ignore"):
        assert same(features_last(candles), over[-1])


def test_threads_do_not_share_the_memory_they_work_in() -> None:
    started = Barrier(4)

    def wrong(seed: int) -> int:
        candles = walk(WINDOW + 300, seed, step_ms=300_000, a_day=7)
        over = features_over(candles)
        ends = range(WINDOW, len(candles) + 1)
        started.wait()
        rows = [features_last(candles.part(end - WINDOW, end)) for end in ends]
        return sum(not same(row, over[end - 1]) for end, row in zip(ends, rows, strict=True))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(wrong, range(4))) == [0] * 4


@pytest.mark.parametrize("a_day", [1, 7, 75, 375])
def test_both_faces_agree_across_chunks(a_day: int) -> None:
    n = room.CHUNK_ROWS + 3 * WINDOW
    candles = walk(n, 3, step_ms=60_000, a_day=a_day)
    over = features_over(candles)
    edges = room.CHUNK_ROWS + WINDOW - 1
    for i in [*range(edges - 3, edges + 4), *range(WINDOW - 1, n, 97), n - 1]:
        assert same(features_last(candles.part(0, i + 1)), over[i]), f"candle {i}"


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(WINDOW, 300), st.sampled_from([1, 7, 75]))
def test_the_future_changes_nothing(seed: int, cut: int, a_day: int) -> None:
    whole = walk(400, seed, step_ms=300_000, a_day=a_day)
    other = walk(400, seed + 1, step_ms=300_000, a_day=a_day)
    spliced = CandleArrays(
        *(
            np.concatenate([getattr(whole, f)[:cut], getattr(other, f)[cut:]])
            for f in CandleArrays.__slots__
        )
    )
    truth = features_over(whole)[:cut]
    assert same(features_over(whole.part(0, cut)), truth)
    assert same(features_over(spliced)[:cut], truth)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(-8, 12), st.integers(-8, 12))
def test_neither_price_nor_volume_has_a_scale(seed: int, up: int, more: int) -> None:
    c = walk(WINDOW + 5, seed)
    p, v = 2.0**up, 2.0**more
    scaled = CandleArrays(c.ts_ms, c.open * p, c.high * p, c.low * p, c.close * p, c.volume * v)
    assert same(features_last(scaled), features_last(c))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_no_feature_reads_further_back_than_it_says(seed: int) -> None:
    c, other = walk(WINDOW, seed, a_day=7), walk(WINDOW, seed + 1, a_day=7)
    truth = features_last(c)
    for column, feature in enumerate(FEATURES):
        kept = feature.look_back
        assert 1 <= kept <= WINDOW
        if kept == WINDOW:
            continue
        cut = WINDOW - kept
        changed = CandleArrays(
            c.ts_ms,
            *(
                np.concatenate([getattr(other, f)[:cut], getattr(c, f)[cut:]])
                for f in CandleArrays.__slots__[1:]
            ),
        )
        assert same(features_last(changed)[column], truth[column]), feature.name


def test_every_feature_says_what_it_is() -> None:
    assert len(set(names())) == len(FEATURES) == len(manifest())
    for row in manifest():
        assert all(row[key] for key in ("name", "unit", "why")), row


def test_a_formula_without_a_feature_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    room._check_names()
    blank = room._BLANK
    monkeypatch.setattr(room, "_BLANK", {n: None for n in blank if n != "body"})
    with pytest.raises(RuntimeError, match=r"\['body'\]"):
        room._check_names()
    monkeypatch.setattr(room, "_BLANK", {**blank, "beauty": None})
    with pytest.raises(RuntimeError, match=r"\['beauty'\]"):
        room._check_names()


def test_rows_before_the_first_window_are_undefined() -> None:
    over = features_over(walk(WINDOW + 1))
    assert np.isnan(over[: WINDOW - 1]).all()
    assert np.isfinite(over[WINDOW - 1 :]).all()
    assert features_over(walk(WINDOW - 1)).shape == (WINDOW - 1, len(FEATURES))
    assert features_over(walk(0)).shape == (0, len(FEATURES))


def test_too_short_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="59 candles; features need 60"):
        features_last(walk(59))


def test_arrays_of_different_lengths_are_refused() -> None:
    c = walk(60)
    with pytest.raises(ValueError, match="share one shape"):
        CandleArrays(c.ts_ms, c.open[1:], c.high, c.low, c.close, c.volume)


def test_unknown_volume_blanks_the_volume_features_alone() -> None:
    c = walk(WINDOW)
    blank = CandleArrays(c.ts_ms, c.open, c.high, c.low, c.close, np.full(WINDOW, math.nan))
    undefined = {n for n, x in zip(names(), features_last(blank), strict=True) if math.isnan(x)}
    assert undefined == {n for n in names() if n.startswith(("volume", "flow", "vwap"))}


def plain(closes: list[float], volume: float = 100.0) -> CandleArrays:
    """Candles without wicks that open at the close before."""
    close = np.array(closes)
    open_ = np.concatenate([close[:1], close[:-1]])
    ts = walk(len(closes)).ts_ms
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    return CandleArrays(ts, open_, high, low, close, np.full(len(closes), volume))


RISE = [100.0 + i for i in range(WINDOW)]


@pytest.mark.parametrize(
    ("name", "closes", "expected"),
    [
        ("move_1", RISE, (159 / 158 - 1) / np.mean([1 / (158 - i) for i in range(14)])),
        ("efficiency_59", RISE, 1.0),
        ("efficiency_59", RISE[::-1], -1.0),
        ("rising_50", RISE, 1.0),
        ("atr_14", RISE, np.mean([1 / (158 - i) for i in range(14)])),
        ("downside_20", RISE, 0.0),
        ("downside_20", RISE[::-1], 1.0),
        ("body", RISE, 1.0),
        ("body", RISE[::-1], -1.0),
        ("upper_wick", RISE, 0.0),
        ("location", RISE, 1.0),
        ("channel_60", RISE, 1.0),
        ("channel_60", RISE[::-1], 0.0),
        ("since_high_20", RISE, 0.0),
        ("since_low_20", RISE, 19.0),
        ("since_high_20", RISE[::-1], 19.0),
        ("gaps_20", RISE, 0.0),
        ("z_20", RISE, 9.5 / np.std(np.arange(20))),
        ("volume_now", RISE, 1.0),
        ("volume_spread_20", RISE, 0.0),
        ("flow_20", RISE, 1.0),
        ("flow_20", RISE[::-1], -1.0),
        ("volume_side_20", RISE[::-1], -1.0),
        ("minute", RISE, 540.0),
        ("session_candles", RISE, 1.0),
        ("session_gap", RISE, 0.0),
        ("move_5", [100.0] * WINDOW, math.nan),
        ("z_20", [100.0] * WINDOW, math.nan),
    ],
)
def test_a_feature_is_what_its_name_says(name: str, closes: list[float], expected: float) -> None:
    got = value(name, plain(closes))
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("look_back", [20, 50])
def test_the_slope_is_the_least_squares_line(look_back: int) -> None:
    c = walk(WINDOW, 9)
    fitted = np.polyfit(np.arange(look_back), c.close[-look_back:], 1)[0]
    unit = value("atr_14", c) * c.close[-1]
    assert value(f"slope_{look_back}", c) == pytest.approx(fitted / unit, rel=1e-9)


def test_the_session_features_know_where_a_session_began() -> None:
    c = walk(WINDOW, 4, step_ms=300_000, a_day=25)  # 60 candles: sessions of 25, 25 and 10
    atr = value("atr_14", c)
    assert value("session_candles", c) == 10
    assert value("session_gap", c) == pytest.approx((c.open[50] / c.close[49] - 1) / atr)
    assert value("since_open", c) == pytest.approx((c.close[59] / c.open[50] - 1) / atr)
    assert value("weekday", c) == 2
    inside = walk(90, 4, step_ms=300_000, a_day=75)
    long_day = inside.part(75 - WINDOW, 75)
    assert value("session_candles", long_day) == 60
    assert math.isnan(value("session_gap", long_day))


def test_the_definition_is_pinned() -> None:
    """Red means: the numbers changed. Raise DEFINITION, then renew both figures."""
    index = np.arange(300)  # integers only: the same candles on every processor
    close = 1000.0 + (index * 7919) % 101 + (index * index) % 37
    open_ = 1000.0 + (index * 104_729) % 103
    high = np.maximum(open_, close) + index % 5
    low = np.minimum(open_, close) - index % 3
    ts = walk(300, step_ms=DAY // 24, a_day=7).ts_ms
    candles = CandleArrays(ts, open_, high, low, close, 1.0 + (index * 31) % 17)
    over = features_over(candles)[WINDOW - 1 :]
    digest = hashlib.sha256(over.tobytes()).hexdigest()
    assert (room.DEFINITION, features_sha256()[:16], digest[:16]) == PINNED


PINNED = (1, "50b7c4780bc0d9ca", "4e63a90ba0e187af")
