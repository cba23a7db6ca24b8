"""Candles for the tests of the served model: random walks that look like a market."""

from __future__ import annotations

import numpy as np

from bentos.features import CandleArrays

DAY = 86_400_000
START_MS = 1_600_054_200_000  # 2020-09-14 09:00 in India, a Monday


def walk(n: int, seed: int = 0, *, step_ms: int = DAY, a_day: int = 0) -> CandleArrays:
    """Return `n` candles; with `a_day`, sessions of that many candles."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, n)))
    open_ = close * np.exp(draw.normal(0, 0.003, n))
    high = np.maximum(open_, close) * (1 + np.abs(draw.normal(0, 0.004, n)))
    low = np.minimum(open_, close) * (1 - np.abs(draw.normal(0, 0.004, n)))
    volume = draw.integers(1, 100_000, n).astype(np.float64)
    index = np.arange(n)
    ts = index * step_ms if not a_day else (index // a_day) * DAY + (index % a_day) * step_ms
    return CandleArrays((ts + START_MS).astype(np.int64), open_, high, low, close, volume)
