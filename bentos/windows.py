"""How the formulas of features.py read candles: a window as plain floats, a history as arrays.

Pure, like features.py. `LastWindow` and `EveryWindow` answer the same questions with the same
bits: both start from the same series per candle, and every sum runs from the newest candle
backwards, one addition after the other, so that all look-backs are prefixes of one accumulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

WINDOW = 60  # candles
IST_MS = 19_800_000  # India has had no daylight saving since 1945: a constant offset is exact
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class CandleArrays:
    """Candles of one instrument and interval, oldest first, labelled by their open time.

    Parameters
    ----------
    ts_ms : int64 array of shape (n_candles,), epoch milliseconds, rising
    open, high, low, close : float64 array of shape (n_candles,), rupees, finite, above 0
    volume : float64 array of shape (n_candles,), shares; NaN where not known
    """

    ts_ms: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        shape = self.ts_ms.shape
        if len(shape) != 1 or any(
            a.shape != shape for a in (self.open, self.high, self.low, self.close, self.volume)
        ):
            raise ValueError(f"candle arrays must share one shape (n,); ts_ms has {shape}")

    def __len__(self) -> int:
        return int(self.ts_ms.shape[0])

    def part(self, start: int, stop: int) -> CandleArrays:
        """Return candles `start` to `stop` (exclusive), as views."""
        cut = slice(start, stop)
        return CandleArrays(
            self.ts_ms[cut],
            self.open[cut],
            self.high[cut],
            self.low[cut],
            self.close[cut],
            self.volume[cut],
        )


# Rows of the matrix of series per candle. Those from GAP on need the candle before.
(CLOSE, CLOSE_SQ, LOCATION, VOLUME, VOLUME_SQ, FLOW, TURNOVER) = range(7)
(GAP_SQ, RETURN, RETURN_SQ, RETURN_ABS, RETURN_CUBE, DOWN_SQ, UP, TRUE_RANGE) = range(7, 15)
(VOLUME_RETURN, VOLUME_ABS, LAGGED) = range(15, 18)
_N_SERIES = 18
_SUMS = (5, 10, 14, 20, 50, 59)  # look-backs of sums, candles
LAGS = (1, 2, 5, 10, 20, 40)
RANGES = (20, 60)  # look-backs of highs and lows


def _series(candles: CandleArrays) -> Floats:
    """Return what is summed, shape (series, n_candles); the first columns may be NaN (lags)."""
    o, h, low, c, v = candles.open, candles.high, candles.low, candles.close, candles.volume
    x = np.empty((_N_SERIES, len(candles)))
    x[CLOSE] = c
    np.multiply(c, c, out=x[CLOSE_SQ])
    span = h - low
    span[span == 0] = math.nan
    location = np.divide(c - low, span, out=x[LOCATION])
    location[np.isnan(location)] = 0.5  # a candle without a range closed in its middle
    x[VOLUME] = v
    np.multiply(v, v, out=x[VOLUME_SQ])
    np.multiply(v, 2.0 * location - 1.0, out=x[FLOW])
    np.multiply(v, h + low + c, out=x[TURNOVER])
    x[GAP_SQ:, 0] = math.nan
    before = c[:-1]
    gap = o[1:] / before - 1.0
    np.multiply(gap, gap, out=x[GAP_SQ, 1:])
    r = np.subtract(c[1:] / before, 1.0, out=x[RETURN, 1:])
    squared = np.multiply(r, r, out=x[RETURN_SQ, 1:])
    size = np.absolute(r, out=x[RETURN_ABS, 1:])
    np.multiply(squared, r, out=x[RETURN_CUBE, 1:])
    np.multiply(squared, r < 0, out=x[DOWN_SQ, 1:])
    np.greater(r, 0, out=x[UP, 1:])
    reach = np.maximum(h[1:], before) - np.minimum(low[1:], before)
    np.divide(reach, before, out=x[TRUE_RANGE, 1:])
    np.multiply(v[1:], r, out=x[VOLUME_RETURN, 1:])
    np.multiply(v[1:], size, out=x[VOLUME_ABS, 1:])
    x[LAGGED, 1] = math.nan
    np.multiply(r[1:], r[:-1], out=x[LAGGED, 2:])
    return x


class LastWindow:
    """One window; every value is a plain float."""

    def __init__(self, candles: CandleArrays) -> None:
        x = _series(candles)
        self._sums = np.add.accumulate(x[:, ::-1], axis=1)[:, [w - 1 for w in _SUMS]].tolist()
        ramp = np.add.accumulate(np.add.accumulate(x[CLOSE, ::-1][:50])).tolist()
        self._ramps = {20: ramp[19], 50: ramp[49]}
        self._latest = x[:, -1].tolist()
        closes = candles.close[-41:].tolist()
        self._lags = {k: closes[-1 - k] for k in LAGS}
        self.open, self.high, self.low, self.close = (
            float(a[-1]) for a in (candles.open, candles.high, candles.low, candles.close)
        )
        highs, lows = candles.high, candles.low
        self._highs = {w: float(highs[-w:].max()) for w in RANGES}
        self._lows = {w: float(lows[-w:].min()) for w in RANGES}
        self.since_high = float(highs[:-21:-1].argmax())
        self.since_low = float(lows[:-21:-1].argmin())
        local = candles.ts_ms + IST_MS
        days = local // DAY_MS
        today = int(days[-1])
        self.minute = float(int(local[-1]) % DAY_MS / 60_000)
        self.weekday = float((today + 3) % 7)
        count = len(candles) - int(days.searchsorted(today))
        self.session_candles = float(count)
        whole = count < len(candles)
        self.session_open = float(candles.open[-count]) if whole else math.nan
        self.session_before = float(candles.close[-count - 1]) if whole else math.nan

    def sum(self, series: int, look_back: int) -> Any:
        """Return the sum of a series over the last `look_back` candles."""
        return self._sums[series][_SUMS.index(look_back)]

    def ramp(self, look_back: int) -> Any:
        """Return the sum of closes weighted `look_back` (newest) down to 1."""
        return self._ramps[look_back]

    def latest(self, series: int) -> Any:
        """Return a series at the last candle."""
        return self._latest[series]

    def close_before(self, lag: int) -> Any:
        """Return the close `lag` candles earlier, rupees."""
        return self._lags[lag]

    def highest(self, look_back: int) -> Any:
        """Return the highest high of the last `look_back` candles, rupees."""
        return self._highs[look_back]

    def lowest(self, look_back: int) -> Any:
        """Return the lowest low of the last `look_back` candles, rupees."""
        return self._lows[look_back]

    @staticmethod
    def ratio(a: Any, b: Any) -> Any:
        """Return a / b; NaN where b is 0."""
        return a / b if b != 0 else math.nan

    @staticmethod
    def root(a: Any) -> Any:
        """Return the square root; 0 where rounding left less than 0."""
        return math.sqrt(a) if a > 0 else a * 0.0

    larger = staticmethod(max)


class EveryWindow:
    """Reads every window that ends in rows WINDOW-1 .. n-1: every value is an array (rows,)."""

    def __init__(self, candles: CandleArrays) -> None:
        x = _series(candles)
        n, self._x = len(candles), x
        first = WINDOW - 1
        self._first = first
        self._sums: dict[int, Floats] = {}
        self._ramps: dict[int, Floats] = {}
        total = x[:, first:].copy()
        ramp = total[CLOSE].copy()
        for age in range(1, max(_SUMS)):
            total += x[:, first - age : n - age]
            ramp += total[CLOSE]
            if age + 1 in _SUMS:
                self._sums[age + 1] = total.copy()
                self._ramps[age + 1] = ramp.copy()
        self._close = candles.close
        self.open, self.high, self.low, self.close = (
            a[first:] for a in (candles.open, candles.high, candles.low, candles.close)
        )
        self._highs, self.since_high = self._extremes(candles.high, 1.0)
        lows, self.since_low = self._extremes(candles.low, -1.0)
        self._lows = {w: -low for w, low in lows.items()}
        local = candles.ts_ms + IST_MS
        days = local // DAY_MS
        self.minute = (local[first:] % DAY_MS) / 60_000
        self.weekday = ((days[first:] + 3) % 7).astype(np.float64)
        index = np.arange(n)
        begins = np.zeros(n, dtype=np.int64)
        begins[1:] = np.where(days[1:] != days[:-1], index[1:], 0)
        start = np.maximum.accumulate(begins)[first:]
        count = np.minimum(index[first:] - start + 1, WINDOW)
        self.session_candles = count.astype(np.float64)
        whole = count < WINDOW
        self.session_open = np.where(whole, candles.open[start], math.nan)
        self.session_before = np.where(whole, candles.close[start - 1], math.nan)

    def _extremes(self, prices: Floats, sign: float) -> tuple[dict[int, Floats], Floats]:
        """Return the largest of `sign * price` per look-back, and the age of the one of 20."""
        signed = sign * prices
        first, n = self._first, prices.shape[0]
        best = signed[first:].copy()
        age_of_best = np.zeros(best.shape)
        kept: dict[int, Floats] = {}
        for age in range(1, WINDOW):
            older = signed[first - age : n - age]
            if age < 20:
                age_of_best[older > best] = age
            np.maximum(best, older, out=best)
            if age + 1 in RANGES:
                kept[age + 1] = best.copy()
        return kept, age_of_best

    def sum(self, series: int, look_back: int) -> Any:
        """Return the sum of a series over the last `look_back` candles."""
        return self._sums[look_back][series]

    def ramp(self, look_back: int) -> Any:
        """Return the sum of closes weighted `look_back` (newest) down to 1."""
        return self._ramps[look_back]

    def latest(self, series: int) -> Any:
        """Return a series at the last candle."""
        return self._x[series, self._first :]

    def close_before(self, lag: int) -> Any:
        """Return the close `lag` candles earlier, rupees."""
        return self._close[self._first - lag : self._close.shape[0] - lag]

    def highest(self, look_back: int) -> Any:
        """Return the highest high of the last `look_back` candles, rupees."""
        return self._highs[look_back]

    def lowest(self, look_back: int) -> Any:
        """Return the lowest low of the last `look_back` candles, rupees."""
        return self._lows[look_back]

    @staticmethod
    def ratio(a: Any, b: Any) -> Any:
        """Return a / b; NaN where b is 0."""
        return a / np.where(b != 0, b, math.nan)

    @staticmethod
    def root(a: Any) -> Any:
        """Return the square root; 0 where rounding left less than 0."""
        return np.where(a > 0, np.sqrt(a), a * 0.0)

    larger: Callable[[Any, Any], Any] = staticmethod(np.maximum)
