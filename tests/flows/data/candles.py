"""Small candle frames for the tests of this room."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.data.frame import INTERVAL_MS, day_start_ms, make_frame
from flows.data.manifest import Facts

OPENS_MS = (9 * 60 + 15) * 60_000


def facts(**changed: Any) -> Facts:
    """Return the facts of a made-up source."""
    told: dict[str, Any] = {
        "source": "made", "interval": "day", "adjustment": "none", "notes": "made up for a test",
    }  # fmt: skip
    return Facts(**(told | changed))


def day_frame(symbol: str, days: list[Any], close: float = 100.0, volume: float = 1000.0) -> Any:
    """Return quiet daily candles on the given dates."""
    ms = np.array([day_start_ms(day) for day in days], dtype=np.int64)
    return _quiet(symbol, ms, close, volume)


def minute_frame(symbol: str, days: list[Any], bars: int, interval: str = "minute") -> Any:
    """Return quiet candles from 09:15 on, `bars` a day."""
    step = INTERVAL_MS[interval]
    ms = [day_start_ms(day) + OPENS_MS + i * step for day in days for i in range(bars)]
    return _quiet(symbol, np.array(ms, dtype=np.int64), 100.0, 10.0)


def _quiet(symbol: str, ms: Any, close: float, volume: float) -> Any:
    base = close + np.arange(len(ms)) * 0.05
    values = {
        "open": base,
        "high": base + 1.0,
        "low": base - 1.0,
        "close": base + 0.5,
        "volume": np.full(len(ms), volume),
    }
    return make_frame(symbol, ms, values)
