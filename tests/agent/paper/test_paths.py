"""Paths inside candles: exact, repeatable, and free of what a naive path gives away.

The artefact tests ask of real daily candles what nobody may know: where the price goes from here,
given the path so far. A path that knows its range before it is walked answers well above 0.5.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.paper import paths

SEEDS = (1, 2)
BARS = 75  # of five minutes
DAYS_EACH = 320


library = paths.day_library


CANDLE = st.tuples(*[st.integers(2_000, 4_000)] * 4).map(
    lambda four: (four[0], max(four), min(four), four[1])
)


@settings(max_examples=60)
@given(CANDLE, st.sampled_from([4, 5, 60, 375, 1_500]), st.integers(0, 2**32))
def test_a_path_visits_all_four_prices_and_none_beyond(
    candle: tuple, points: int, seed: int
) -> None:
    chosen = library(1) if points > 300 else paths.candle_library(1)
    prior = paths.Prior(-4.0, 0.3)
    path = paths.draw_path(chosen, candle, prior, points, np.random.default_rng(seed))
    assert path.min() >= candle[2] * (1 - 1e-12)
    assert path.max() <= candle[1] * (1 + 1e-12)
    ticks = paths.on_grid(path, candle)
    assert ticks.size == points
    assert (ticks[0], ticks.max(), ticks.min(), ticks[-1]) == candle


def test_a_finer_tape_than_the_library_is_bridged_and_exact() -> None:
    candle = (3_000, 3_100, 2_950, 3_020)
    prior = paths.Prior(-3.0, 0.3)
    path = paths.draw_path(library(1), candle, prior, 22_500, np.random.default_rng(1))
    ticks = paths.on_grid(path, candle)
    assert (ticks[0], ticks.max(), ticks.min(), ticks[-1]) == candle
    moves = np.diff(np.log(path))
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.03  # no straight lines in it


def test_the_same_seed_draws_the_same_path_and_another_one_does_not() -> None:
    candle, prior = (1_000.0, 1_030.0, 990.0, 1_010.0), paths.Prior(-3.2, 0.3)

    def drawn(seed: int) -> np.ndarray:
        return paths.draw_path(library(1), candle, prior, 1_500, np.random.default_rng(seed))

    assert np.array_equal(drawn(7), drawn(7))
    assert not np.array_equal(drawn(7), drawn(8))


def test_a_walk_drawn_again_is_the_walk_that_was_measured() -> None:
    one = library(1).walk(1_234)
    reach = one.max() - one.min()
    assert library(1).log_range[1_234] == pytest.approx(np.log(reach), abs=0)
    assert library(1).x[1_234] == one[-1] / reach


def test_a_flat_candle_is_a_flat_path() -> None:
    path = paths.draw_path(
        library(1), (50, 50, 50, 50), paths.Prior(-4.0, 0.3), 9, np.random.default_rng(1)
    )
    assert path.tolist() == [50.0] * 9


def test_the_trailing_range_knows_only_what_was_before() -> None:
    ranges = np.array([-4.0, -3.0, np.nan, -2.0, -9.0])
    trailing = paths.trailing_log_ranges(ranges)
    changed = ranges.copy()
    changed[-1] = 5.0
    assert trailing.tolist() == paths.trailing_log_ranges(changed).tolist()
    assert trailing[1] == -4.0


@cache
def real_days() -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Return per symbol (O, H, L, C) and trailing ranges of real days, and tau; oldest first."""
    stocks = pytest.importorskip("bokeh_sampledata.stocks").data
    found = []
    for symbol in ("AAPL", "GOOG", "IBM", "MSFT"):
        rows = stocks[stocks.ticker == symbol]
        four = np.stack([rows[name].to_numpy(float) for name in ("open", "high", "low", "close")])
        four[1], four[2] = four.max(axis=0), four.min(axis=0)
        reach = np.log(four[1] / four[2])
        log_range = np.where(reach > 0, np.log(np.where(reach > 0, reach, 1.0)), np.nan)
        trailing = paths.trailing_log_ranges(log_range)
        tau = paths.prior_width(log_range, trailing, library(1))
        picked = np.linspace(100, four.shape[1] - 1, DAYS_EACH).astype(int)
        found.append((four[:, picked], trailing[picked], tau))
    return found


@cache
def simulated(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (n_days, BARS + 1) log paths from the open in trailing ranges, and the day's place."""
    walks, order = [], []
    for four, trailing, tau in real_days():
        for day in range(four.shape[1]):
            rng = np.random.default_rng([seed, len(walks)])
            prior = paths.Prior(float(trailing[day]), tau)
            path = paths.draw_path(library(seed), tuple(four[:, day]), prior, 1_500, rng)
            bars = np.append(path[::20], path[-1])
            walks.append(np.log(bars / bars[0]) / np.exp(trailing[day]))
            order.append(day)
    return np.array(walks), np.array(order)


def auc(score: np.ndarray, hit: np.ndarray) -> float:
    """Return the chance that a hit scores above a miss (rank statistic, ties by halves)."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    hits = int(hit.sum())
    return float((rank[hit].sum() - hits * (hits + 1) / 2) / (hits * (hit.size - hits)))


@pytest.mark.parametrize("horizon", [6, BARS], ids=["next 30 min", "to close"])
def test_what_the_path_has_shown_does_not_tell_where_it_goes(horizon: int) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    found = []
    for seed in SEEDS:
        walks, order = simulated(seed)
        rows, ahead, when = [], [], []
        for bar in range(6, 66, 10):
            so_far = walks[:, : bar + 1]
            top, bottom, now = so_far.max(axis=1), so_far.min(axis=1), so_far[:, -1]
            place = (now - bottom) / (top - bottom + 1e-9)
            recent = now - walks[:, bar - 6]
            columns = [np.full(now.shape, bar), now, top, bottom, top - bottom, place, recent]
            rows.append(np.stack(columns, axis=1))
            ahead.append(walks[:, min(bar + horizon, BARS)] - now)
            when.append(order)
        x, y, t = np.concatenate(rows), np.concatenate(ahead), np.concatenate(when)
        train, test = (t < 0.6 * DAYS_EACH) & (y != 0), (t >= 0.6 * DAYS_EACH) & (y != 0)
        settings_ = {"objective": "binary", "num_leaves": 7, "learning_rate": 0.1,
                     "min_data_in_leaf": 150, "num_threads": 1, "verbose": -1,
                     "deterministic": True, "seed": 1}  # fmt: skip
        data = lightgbm.Dataset(x[train], (y[train] > 0).astype(int))
        model = lightgbm.train(settings_, data, num_boost_round=40)
        found.append(auc(model.predict(x[test]), y[test] > 0))
    assert np.mean(found) <= 0.53, found


def naive(four: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a zigzag open, low, high, close: the path that must be found out."""
    open_, high, low, close = np.log(four)
    knots = [open_, low, high, close] if rng.random() < 0.5 else [open_, high, low, close]
    return np.exp(np.interp(np.linspace(0, 3, BARS + 1), range(4), knots))


def trade(walks: np.ndarray, sign: int) -> np.ndarray:
    """Enter at bar 12 with (+1) or against (-1) the morning, leave by a trailing stop."""
    results = []
    for walk in walks:
        side = sign * np.sign(walk[12] - walk[0])
        gone = side * (walk[12:] - walk[12])
        stopped = np.flatnonzero(gone <= np.maximum.accumulate(gone) - 0.3)
        results.append(gone[stopped[0]] if stopped.size else gone[-1])
    return np.array(results)


@pytest.mark.parametrize("sign", [1, -1], ids=["with", "against"])
def test_neither_following_nor_fading_the_morning_pays(sign: int) -> None:
    results = np.concatenate([trade(simulated(seed)[0], sign) for seed in SEEDS])
    standard_error = results.std() / results.size**0.5
    assert abs(results.mean()) <= 3 * standard_error


def test_the_same_trade_finds_a_naive_path_out() -> None:
    rng = np.random.default_rng(1)
    walks = [
        np.log(naive(four[:, day], rng) / four[0, day]) / np.exp(trailing[day])
        for four, trailing, _ in real_days()
        for day in range(four.shape[1])
    ]
    results = trade(np.array(walks), -1)
    assert results.mean() > 3 * results.std() / results.size**0.5
