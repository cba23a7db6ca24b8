"""Small random markets for the tests of this room, and a sweep run in this process."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from flows.data.frame import make_frame
from flows.sweep.entries import EntryRules, regular
from flows.sweep.kernels import kernels
from flows.sweep.money import Terms
from flows.sweep.series import Series, of_candles
from flows.sweep.symbol import Bench
from tests.flows.data.candles import minute_frame

DAYS = [date(2021, 5, 10) + timedelta(days=n) for n in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 15)]
GRID = """mode = "hybrid"
stop = ["0.4%", "0.8%"]
target = "1.2%"
share = [0.3, 0.7]
min_distance = "0.2%"
lock = "breakeven"
follow = 0.5
[volatility]
floor = 0.5
cap = 2.0
"""


def walk_frame(symbol: str, *, days: int = 12, bars: int = 120, seed: int = 1) -> Any:
    """Minute candles of a random walk from 1,000 rupees, on a 0.05 grid."""
    quiet = minute_frame(symbol, DAYS[:days], bars)
    draw = np.random.default_rng(seed)
    close = 20_000 + np.cumsum(draw.integers(-25, 26, len(quiet)))
    opened = np.concatenate([close[:1], close[:-1]]) + draw.integers(-4, 5, len(quiet))
    high = np.maximum(opened, close) + draw.integers(0, 30, len(quiet))
    low = np.minimum(opened, close) - draw.integers(0, 30, len(quiet))
    ms = quiet["ts"].astype("datetime64[ns, UTC]").astype("int64").to_numpy() // 1_000_000
    values = {"open": opened, "high": high, "low": low, "close": close}
    return make_frame(
        symbol, ms, {k: np.round(v * 0.05, 2) for k, v in values.items()}
        | {"volume": np.full(len(quiet), 10.0)},
    )  # fmt: skip


def walk_series(**more: Any) -> Series:
    return of_candles(walk_frame("NSE:AAA", **more), 60_000)


def bench(series: Series, rules: EntryRules | None = None, terms: Terms | None = None) -> Bench:
    rules = rules or EntryRules(every=10)
    interval = "tick" if series.is_ticks else "minute"
    return Bench(series, regular(series, rules, interval), terms or Terms(), kernels())
