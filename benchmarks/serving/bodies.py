"""Requests for the load: new candles in every one, keys that spread over the plan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from bentos.features import WINDOW

DAY_MS = 86_400_000
START_MS = 1_600_021_800_000
KEYS = 500
WALK_CANDLES = 20_000


def bodies(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and body of `count` requests; no two hold the same candles."""
    draw = np.random.default_rng(seed)
    close = 500 * np.exp(np.cumsum(draw.normal(0, 0.003, WALK_CANDLES)))
    open_ = close * np.exp(draw.normal(0, 0.001, WALK_CANDLES))
    high = np.maximum(open_, close) * (1 + np.abs(draw.normal(0, 0.001, WALK_CANDLES)))
    low = np.minimum(open_, close) * (1 - np.abs(draw.normal(0, 0.001, WALK_CANDLES)))
    columns = {
        "open": open_.round(2),
        "high": high.round(2) + 0.01,
        "low": low.round(2) - 0.01,
        "close": close.round(2),
        "volume": draw.integers(1_000, 100_000, WALK_CANDLES).astype(float),
    }
    for i in range(count):
        start = (i * 7 + seed) % (WALK_CANDLES - WINDOW)
        cut = slice(start, start + WINDOW)
        key = f"NSE:S{(i * 31 + seed) % KEYS}"
        candles = {name: column[cut].tolist() for name, column in columns.items()}
        candles["volume"][-1] = float(i)  # windows repeat after a while; this never does
        candles["ts"] = [START_MS + DAY_MS * (i % 200 + j) for j in range(WINDOW)]
        yield key, orjson.dumps({"key": key, "candles": candles})
