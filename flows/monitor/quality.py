"""How good were the forecasts, per version and variant, now that it is known what came.

Log-loss, Brier score, and hit: the share of trades suggested (BUY or SELL) that ended above zero
after charges. And versions against the champion, row by row where both scored the same candle,
averaged by day: a confidence sequence over the days, valid however often it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flows.validation.scores import brier_scores, log_losses

if TYPE_CHECKING:
    import duckdb

Floats = npt.NDArray[np.float64]

ERROR = 0.05  # chance of a false verdict over all looks together
TIGHTEST_DAYS = 60  # where the sequence is tightest
BURN_DAYS = 20  # below, the variance is not known well enough to decide


def by_version(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return a line per version and variant; the table `outcomes` exists.

    Each with `rows`, `days`, `log_loss`, `constant` (the log-loss of the shares that came: what
    knowing nothing but them would have had), `brier`, `trades`, `hit`, `mean_r` (both None
    without a trade).
    """
    told = connection.execute(
        "SELECT version, variant, day, p_flat, p_long, p_short, side, y, r_long, r_short "
        "FROM outcomes WHERE p_flat IS NOT NULL AND y IS NOT NULL "
        "ORDER BY version, variant, day, key, candle_ms"
    ).fetchnumpy()
    version, variant = np.ma.filled(told["version"], -1), np.array(told["variant"], dtype=str)
    p = np.stack([np.ma.filled(told[name], np.nan) for name in ("p_flat", "p_long", "p_short")], 1)
    y = np.asarray(np.ma.filled(told["y"], 0), dtype=np.int64)
    side = np.array(told["side"], dtype=str)
    r = np.where(side == "BUY", told["r_long"], np.where(side == "SELL", told["r_short"], np.nan))
    day = np.array(told["day"], dtype=str)
    lines = []
    for number, name in sorted(set(zip(version.tolist(), variant.tolist(), strict=True))):
        rows = (version == number) & (variant == name)
        results = r[rows & np.isfinite(r)]
        lines.append(
            {
                "version": int(number),
                "variant": name,
                "rows": int(rows.sum()),
                "days": len(set(day[rows])),
                "log_loss": _told(log_losses(p[rows], y[rows]).mean()),
                "constant": _told(_entropy(y[rows])),
                "brier": _told(brier_scores(p[rows], y[rows]).mean()),
                "trades": len(results),
                "hit": _told((results > 0).mean()) if len(results) else None,
                "mean_r": _told(results.mean()) if len(results) else None,
            }
        )
    return lines


def against(
    connection: duckdb.DuckDBPyConnection, champion: int | None, others: Iterable[int]
) -> list[dict[str, Any]]:
    """Return each other version's log-loss less the champion's, in nats, paired and by day.

    `low` and `high` bound the mean with `1 - ERROR` at every look; None before `BURN_DAYS`.
    """
    lines = []
    for number in sorted(set(others) - {champion}):
        told = connection.execute(
            """
            SELECT a.day, a.y, a.p_flat, a.p_long, a.p_short, b.p_flat, b.p_long, b.p_short
            FROM outcomes a JOIN outcomes b USING (request_id, place, key, candle_ms)
            WHERE a.version = ? AND b.version = ? AND a.y IS NOT NULL
                  AND a.p_flat IS NOT NULL AND b.p_flat IS NOT NULL
            """,
            [number, champion],
        ).fetchall()
        if not told:
            continue
        y = np.array([row[1] for row in told], dtype=np.int64)
        p = np.array([row[2:] for row in told], dtype=np.float64)
        difference = log_losses(p[:, :3], y) - log_losses(p[:, 3:], y)
        line = _by_day(np.array([row[0] for row in told]), difference)
        lines.append({"version": number, "champion": champion} | line)
    return lines


def loss(connection: duckdb.DuckDBPyConnection, champion: int | None) -> dict[str, Any] | None:
    """Return the champion's log-loss less that of the class shares that came, in nats, by day.

    `asks` tells that the champion is surely worse than knowing nothing but the shares: a reason
    to train. None without an outcome of the champion.
    """
    told = connection.execute(
        "SELECT day, y, p_flat, p_long, p_short FROM outcomes "
        "WHERE version = ? AND y IS NOT NULL AND p_flat IS NOT NULL",
        [champion],
    ).fetchall()
    if not told:
        return None
    y = np.array([row[1] for row in told], dtype=np.int64)
    p = np.array([row[2:] for row in told], dtype=np.float64)
    shares = np.bincount(y, minlength=3) / len(y)
    worse = log_losses(p, y) + np.log(shares[y])
    line = _by_day(np.array([row[0] for row in told]), worse)
    return line | {"version": champion, "asks": line["low"] is not None and line["low"] > 0}


def _by_day(day: npt.NDArray[np.str_], values: Floats) -> dict[str, Any]:
    """Return rows, days, and the mean of the daily means with its bounds, None if too few."""
    days, index = np.unique(day, return_inverse=True)
    daily = np.bincount(index, values) / np.bincount(index)
    low, high = sequence(daily)
    known = math.isfinite(low[-1])
    return {
        "rows": len(values),
        "days": len(days),
        "mean": _told(daily.mean()),
        "low": _told(low[-1]) if known else None,
        "high": _told(high[-1]) if known else None,
    }


def sequence(x: Floats) -> tuple[Floats, Floats]:
    """Return a confidence sequence of a mean, after each observation.

    The asymptotic one of Waudby-Smith et al. (2021, arXiv:2103.06476) with a normal mixture.

    Parameters
    ----------
    x : float64 array of shape (n_days,), one paired difference a day

    Returns
    -------
    two float64 arrays of shape (n_days,); infinite for the first `BURN_DAYS`
    """
    n = np.arange(1, len(x) + 1)
    mean = np.cumsum(x) / n
    variance = np.maximum(np.cumsum(x * x) / n - mean * mean, 0.0) * n / np.maximum(n - 1, 1)
    rho = (-2.0 * math.log(ERROR) + math.log(-2.0 * math.log(ERROR) + 1.0)) / TIGHTEST_DAYS
    inside = 2.0 * (n * rho + 1.0) / (n * n * rho) * np.log(np.sqrt(n * rho + 1.0) / ERROR)
    width = np.sqrt(variance * inside)
    width[:BURN_DAYS] = np.inf
    return mean - width, mean + width


def _entropy(y: npt.NDArray[np.int64]) -> float:
    shares = np.bincount(y) / len(y)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _told(value: float) -> float:
    return round(float(value), 6)
