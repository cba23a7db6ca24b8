"""What would the rule have earned: the labels' own trades, net of spread and charges.

Pure. A trade is the label of the side that the rule takes; while a symbol's trade is open its
later decisions are passed over. Each symbol has an equal share of the capital and puts all of it
into a trade, so a day's return is the mean over the symbols that had a decision that day.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flows.validation.bootstrap import day_counts
from flows.validation.sharpe import deflated_sharpe, sharpe

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DAYS_A_YEAR = 252


@dataclass(frozen=True, slots=True)
class Results:
    """What each decision would have brought; arrays of shape (n,).

    Parameters
    ----------
    side : int64, +1 LONG, -1 SHORT, 0 HOLD: what the rule says
    r_long, r_short : float64, net results in R
    bp_long, bp_short : float64, net results in basis points of the entry's value
    symbol : int64, code of the symbol
    day : int64, number of the trade's day
    entry_ms, exit_long_ms, exit_short_ms : int64, epoch milliseconds
    """

    side: Ints
    r_long: Floats
    r_short: Floats
    bp_long: Floats
    bp_short: Floats
    symbol: Ints
    day: Ints
    entry_ms: Ints
    exit_long_ms: Ints
    exit_short_ms: Ints


@dataclass(frozen=True, slots=True)
class Trades:
    """The decisions that became trades; rows index `Results`."""

    rows: Ints
    r: Floats
    bp: Floats
    long: Bools
    days: Ints
    daily_bp: Floats


def trades_of(results: Results) -> Trades:
    """Take the trades one after another in each symbol and add up the days.

    Returns
    -------
    Trades; `days` and `daily_bp` of shape (n_days,) have every day with a decision
    """
    taken = np.zeros(len(results.side), dtype=np.bool_)
    exits = np.where(results.side > 0, results.exit_long_ms, results.exit_short_ms)
    free: dict[int, int] = {}
    for row in np.argsort(results.entry_ms, kind="stable"):
        if not results.side[row]:
            continue
        symbol = int(results.symbol[row])
        if results.entry_ms[row] >= free.get(symbol, -(2**62)):
            taken[row] = True
            free[symbol] = int(exits[row])
    rows = np.flatnonzero(taken)
    long = results.side[rows] > 0
    bp = np.where(long, results.bp_long[rows], results.bp_short[rows])
    days, index = np.unique(results.day, return_inverse=True)
    symbols = np.unique(np.column_stack([index, results.symbol]), axis=0)
    available = np.bincount(symbols[:, 0], minlength=len(days))
    daily = np.bincount(index[rows], bp, len(days)) / available
    r = np.where(long, results.r_long[rows], results.r_short[rows])
    return Trades(rows, r, bp, long, days, daily)


def measure(
    trades: Trades, *, trials: int, trial_variance: float | None, seed: int
) -> dict[str, float]:
    """Return the figures of the trades; those that are not defined are left out.

    Parameters
    ----------
    trades : Trades
    trials : int
        All recipes ever tried on these data, this one included.
    trial_variance : float or None
        Of their daily Sharpe ratios; None where fewer than two are known.
    seed : int
    """
    daily = trades.daily_bp
    ratio = sharpe(daily)
    variance = 1 / len(daily) if trial_variance is None else trial_variance
    means = (day_counts(len(daily), seed=seed) * daily).mean(axis=1)
    wealth = np.cumsum(daily)
    figures = {
        "trades": float(len(trades.rows)),
        "days": float(len(daily)),
        "turnover": 2 * len(trades.rows) / len(daily),
        "r_mean": _mean(trades.r),
        "bp_mean": _mean(trades.bp),
        "hit_rate": _mean(trades.r > 0),
        "net_bp_a_day": float(daily.mean()),
        "net_bp_a_day_se": float(means.std(ddof=1)),
        "sharpe_a_year": ratio * math.sqrt(DAYS_A_YEAR),
        "sharpe_a_day": ratio,
        "deflated_sharpe": deflated_sharpe(daily, trials=trials, variance=variance),
        "drawdown_bp": float((np.maximum.accumulate(wealth) - wealth).max()),
        "trials": float(trials),
    }
    for name, rows in (("long", trades.long), ("short", ~trades.long)):
        figures |= {
            f"{name}_trades": float(rows.sum()),
            f"{name}_r_mean": _mean(trades.r[rows]),
            f"{name}_bp_mean": _mean(trades.bp[rows]),
            f"{name}_hit_rate": _mean(trades.r[rows] > 0),
        }
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def buy_and_hold(closes: Sequence[tuple[Ints, Floats]], days: Ints) -> dict[str, float]:
    """Return what holding all symbols alike would have earned on those days, before charges.

    Parameters
    ----------
    closes : sequence of (day numbers, last prices), one pair a symbol
    days : int64 array of shape (n_days,), rising
    """
    total, symbols = np.zeros(len(days)), np.zeros(len(days))
    for number, price in closes:
        place = np.searchsorted(number, days)
        known = (place > 0) & (place < len(number))
        known[known] = number[place[known]] == days[known]
        at = place[known]
        total[known] += (price[at] / price[at - 1] - 1) * 1e4
        symbols[known] += 1
    daily = total / np.maximum(symbols, 1)
    ratio = sharpe(daily)
    figures = {
        "buy_and_hold_bp_a_day": float(daily.mean()),
        "buy_and_hold_sharpe_a_year": ratio * math.sqrt(DAYS_A_YEAR),
        "always_flat_bp_a_day": 0.0,
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _mean(values: Floats | Bools) -> float:
    return float(values.mean()) if len(values) else math.nan
