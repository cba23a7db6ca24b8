"""Trades follow one another in a symbol; days add up over those that had a decision."""

from __future__ import annotations

import numpy as np
import pytest

from flows.validation.economic import Results, buy_and_hold, measure, trades_of

MINUTE = 60_000


def results(rows: list[tuple[int, int, int, int, float, float]]) -> Results:
    """Rows of (day, symbol, entry minute, minutes alive, side, result in bp)."""
    day, symbol, entry, alive, side, bp = (np.array(column) for column in zip(*rows, strict=True))
    entry_ms = (day * 1440 + entry).astype(np.int64) * MINUTE
    exit_ms = entry_ms + alive.astype(np.int64) * MINUTE
    zero = np.zeros(len(rows))
    return Results(
        side=side.astype(np.int64),
        r_long=np.where(side > 0, bp / 100, 9.0),
        r_short=np.where(side < 0, bp / 100, 9.0),
        bp_long=np.where(side > 0, bp, zero + 900),
        bp_short=np.where(side < 0, bp, zero + 900),
        symbol=symbol.astype(np.int64),
        day=day.astype(np.int64),
        entry_ms=entry_ms,
        exit_long_ms=exit_ms,
        exit_short_ms=exit_ms,
    )


def test_a_decision_while_the_symbols_trade_is_open_is_passed_over() -> None:
    trades = trades_of(results([
        (1, 0, 600, 60, 1, 10.0),
        (1, 0, 630, 60, 1, 99.0),   # still open
        (1, 0, 660, 60, -1, 20.0),  # the minute it ends
        (1, 1, 630, 60, 1, 30.0),   # another symbol
        (1, 1, 700, 60, 0, 99.0),   # HOLD
    ]))  # fmt: skip
    assert trades.rows.tolist() == [0, 2, 3]
    assert trades.bp.tolist() == [10.0, 20.0, 30.0]
    assert trades.long.tolist() == [True, False, True]
    assert trades.daily_bp.tolist() == [30.0], "60 bp over two symbols that had a decision"


def test_a_day_without_a_trade_counts_as_zero() -> None:
    trades = trades_of(results([(1, 0, 600, 1, 1, 50.0), (2, 0, 600, 1, 0, 0.0)]))
    assert trades.daily_bp.tolist() == [50.0, 0.0]
    figures = measure(trades, trials=1, trial_variance=None, seed=1)
    assert (figures["trades"], figures["days"], figures["turnover"]) == (1, 2, 1.0)


def test_figures_by_side() -> None:
    rng = np.random.default_rng(1)
    rows = [(d, 0, 600, 1, 1 if d % 2 else -1, float(rng.normal(5, 20))) for d in range(400)]
    figures = measure(trades_of(results(rows)), trials=5, trial_variance=0.001, seed=1)
    assert figures["long_trades"] == figures["short_trades"] == 200
    total = figures["long_bp_mean"] * 200 + figures["short_bp_mean"] * 200
    assert figures["net_bp_a_day"] == pytest.approx(total / 400)
    assert figures["net_bp_a_day_se"] == pytest.approx(1.0, rel=0.3)
    assert figures["r_mean"] == pytest.approx(figures["bp_mean"] / 100)
    assert figures["drawdown_bp"] > 0
    assert 0 < figures["deflated_sharpe"] < 1


def test_without_a_trade_only_what_is_defined_is_told() -> None:
    figures = measure(
        trades_of(results([(d, 0, 600, 1, 0, 0.0) for d in range(50)])),
        trials=1, trial_variance=None, seed=1,
    )  # fmt: skip
    assert figures["trades"] == 0
    assert "sharpe_a_day" not in figures
    assert "hit_rate" not in figures


def test_holding_all_symbols_alike() -> None:
    days = np.array([1, 2, 3, 4])
    closes = [
        (days, np.array([100.0, 101.0, 101.0, 101.0])),
        (days[1:], np.array([50.0, 51.0, 51.0])),
    ]
    held = buy_and_hold(closes, np.array([2, 3, 4]))
    assert held["buy_and_hold_bp_a_day"] == pytest.approx((100.0 + 100.0 + 0.0) / 3)
    assert held["always_flat_bp_a_day"] == 0.0
