"""The short formulas against slow ones, and what weights mean: a row counted twice is two rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.validation import scores
from flows.validation.bootstrap import day_counts, spread
from flows.validation.forecast import Forecast, Measures, edge_after_boundary, measure

GRID = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 3)), min_size=2, max_size=25
)


@given(GRID)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool, int]]) -> None:
    score, positive, weight = (np.array(column) for column in zip(*rows, strict=True))
    won = total = 0.0
    for a, b in np.ndindex(len(rows), len(rows)):
        if positive[a] and not positive[b]:
            total += weight[a] * weight[b]
            won += weight[a] * weight[b] * ((score[a] > score[b]) + 0.5 * (score[a] == score[b]))
    found = scores.Ranking(score.astype(float), positive).auc(weight.astype(float))
    assert found == pytest.approx(won / total) if total else np.isnan(found)


def forecast_of(n: int, seed: int, *, days: int = 20) -> Forecast:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([3, 2, 2], n)
    y = np.array([rng.choice(3, p=row) for row in p])
    r = rng.normal(size=(2, n)) * 0.5
    return Forecast(
        p, np.tile([0.4, 0.3, 0.3], (n, 1)), y, r[0], r[1], p[:, 1] - p[:, 2], np.ones(n),
        np.sort(rng.integers(0, days, n)), np.arange(n),
    )  # fmt: skip


@given(st.integers(0, 50))
def test_a_row_counted_twice_is_two_rows(seed: int) -> None:
    one = forecast_of(60, seed)
    counts = np.random.default_rng(seed).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), counts)
    two = Forecast(*(getattr(one, name)[rows] for name in Forecast.__slots__))
    found, expected = (
        Measures(one).figures(counts.astype(float)),
        Measures(two).figures(np.ones(len(rows))),
    )
    for name in expected:
        if name != "rank_ic":  # ranks are of the sample as it is, not of the replicate
            assert found[name] == pytest.approx(expected[name], nan_ok=True), name


def test_a_perfect_and_a_blind_forecast() -> None:
    y = np.array([0, 1, 2] * 20)
    certain = np.eye(3)[y] * 0.97 + 0.01
    prior = np.full((60, 3), 1 / 3)
    zero = np.zeros(60)
    r_long = np.where(y == 1, 1.0, -1.0)
    sure = Forecast(
        certain,
        prior,
        y,
        r_long,
        -r_long,
        certain[:, 1] - certain[:, 2],
        zero + 1,
        np.arange(60),
        np.arange(60),
    )
    figures = Measures(sure).figures(np.ones(60))
    assert figures["direction_auc"] == figures["auc_long"] == 1.0
    assert figures["skill"] > 0.9
    blind = Measures(
        Forecast(prior, prior, y, r_long, -r_long, zero, zero + 1, np.arange(60), np.arange(60))
    )
    figures = blind.figures(np.ones(60))
    assert figures["skill"] == 0.0
    assert figures["direction_auc"] == 0.5
    assert np.isnan(figures["rank_ic"])


def test_knowing_volatility_alone_is_skill_but_no_direction() -> None:
    rng = np.random.default_rng(1)
    n = 6000
    wild = rng.random(n) < 0.5
    moved = np.where(wild, 0.9, 0.3)
    p = np.column_stack([1 - moved, moved / 2, moved / 2])
    y = np.array([rng.choice(3, p=row) for row in p])
    prior = np.tile(np.bincount(y) / n, (n, 1))
    zero = np.zeros(n)
    f = Forecast(
        p, prior, y, zero, zero, rng.normal(size=n), zero + 1, np.arange(n) // 30, np.arange(n)
    )
    figures = measure(f, seed=1)
    assert figures["log_loss_gain"] > 10 * figures["log_loss_gain_se"]
    assert abs(figures["direction_auc"] - 0.5) < 2.5 * max(figures["direction_auc_se"], 0.01)
    assert abs(figures["direction_gain"]) < 0.01


def test_the_calibration_curve_finds_what_was_planted() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(0.1, 0.9, 20_000)
    came = rng.random(20_000) < p
    weight = np.ones(20_000)
    assert scores.calibration_error(p, came, weight) < 0.02
    assert scores.calibration_error(np.clip(p + 0.2, 0, 1), came, weight) > 0.1
    curve = scores.calibration_curve(p, came, weight)
    assert sum(c["share"] for c in curve) == pytest.approx(1.0)
    assert [c["forecast"] for c in curve] == sorted(c["forecast"] for c in curve)


@given(st.integers(1, 40), st.integers(0, 20))
def test_a_replicate_has_as_many_days_as_the_record(days: int, seed: int) -> None:
    counts = day_counts(days, seed=seed, replicates=8)
    assert counts.shape == (8, days)
    assert (counts.sum(axis=1) == days).all()
    assert (counts == day_counts(days, seed=seed, replicates=8)).all()


def test_the_error_is_that_of_days_not_of_rows() -> None:
    rng = np.random.default_rng(3)
    daily = rng.normal(size=400)
    value, day = np.repeat(daily, 25), np.repeat(np.arange(400), 25)
    found = spread(lambda w: {"mean": scores.mean(value, w)}, day, seed=1, replicates=400)["mean"]
    assert found == pytest.approx(daily.std(ddof=1) / 20, rel=0.2)


def test_days_after_a_boundary_that_are_too_good_are_seen() -> None:
    f = forecast_of(4000, 4, days=200)
    clean = edge_after_boundary(f, [0, 100], days=5)
    assert abs(clean) < 3
    leaked = (f.day < 5) | ((f.day >= 100) & (f.day < 105))
    p = np.where(leaked[:, None], np.eye(3)[f.y] * 0.97 + 0.01, f.p)
    spoiled = Forecast(*(p if name == "p" else getattr(f, name) for name in Forecast.__slots__))
    assert edge_after_boundary(spoiled, [0, 100], days=5) > 10


def test_ties_share_their_rank() -> None:
    assert scores.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5 / 3, 0.0, 2.5 / 3, 1 / 3]
