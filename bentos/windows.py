"""How the formulas of features.py read candles: a window as plain floats, a history as arrays.

Pure, but for memory that each thread keeps to work in. `last_window` and `every_window` answer the
same questions with the same bits: both start from the same series per candle, and every sum runs
from the newest candle backwards, one addition after the other, so that all look-backs are prefixes
of one accumulation.

A window is read with every request. A call of numpy costs 0.4 us whatever it does to 60 candles, a
view 0.15, setting how numpy treats floating-point errors 1: so the steps and their views are made
once, and no step divides by 0 or meets another such error, if the candles are what they should be.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, make_dataclass
from itertools import takewhile
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
        shape, high, low = self.ts_ms.shape, self.high.shape, self.low.shape
        # one chain, as this is asked with every request: a loop over the five costs 1 us more
        if len(shape) != 1 or not (
            shape == self.open.shape == high == low == self.close.shape == self.volume.shape
        ):
            raise ValueError(f"candle arrays must share one shape (n,); ts_ms has {shape}")

    def __len__(self) -> int:
        return len(self.ts_ms)

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


# What is summed, per candle and in the order of the rows, and over how many of the newest candles
# (1: the newest one's own value). Neighbours are made by one step, see `_Series`; those whose
# look-backs are short come first, for their sums end there.
SUMS: dict[str, tuple[int, ...]] = {
    "location": (1, 5),
    "flow": (20,),
    "turnover": (20,),
    "volume_ret": (20,),
    "volume_abs": (20,),
    "ret_cube": (20,),
    "volume_sq": (20,),
    "close_sq": (20,),
    "ret_sq": (20, 50),
    "lagged": (50,),
    "gap_sq": (20,),
    "down_sq": (20,),
    "ret_abs": (10, 20, 59),
    "up": (50,),
    "true_range": (1, 5, 14, 20, 59),
    "volume": (1, 5, 20, 59),
    "close": (20, 50),
    "ret": (10, 20, 59),
}
SHORT = 20
LONG = 59
RAMPS = (20, 50)  # look-backs of the closes' sums weighted by `look_back` (newest) down to 1
LAGS = (1, 2, 5, 10, 20, 40)
RANGES = (20, 60)  # look-backs of highs and lows


def _named(series: str, look_back: int) -> str:
    return series if look_back == 1 else f"sum_{series}_{look_back}"


# What the formulas read of prices: the row it stands in, and the age of its candle.
_TAKEN: dict[str, tuple[str, int]] = {
    **{name: (name, 0) for name in ("open", "high", "low", "close")},
    **{f"close_before_{k}": ("close", k) for k in LAGS},
    **{_named(name, w): (f"sum_{name}", w - 1) for name in SUMS for w in SUMS[name]},
    **{f"ramp_{w}": ("ramp", w - 1) for w in RAMPS},
    **{f"highest_{w}": ("highest", w - 1) for w in RANGES},
    **{f"lowest_{w}": ("lowest", w - 1) for w in RANGES},
}
_AGES = ("since_high", "since_low")
_SESSION = ("minute", "weekday", "session_candles", "session_open", "session_before")
_HOW = ("nonzero", "root", "larger")  # what floats and arrays do each in their own way

# One window as plain floats, or many as arrays (rows,).
Window = make_dataclass("Window", [*_TAKEN, *_AGES, *_SESSION, *_HOW], slots=True)


Step: TypeAlias = tuple[np.ufunc, Floats, Floats, Floats]  # what to do, to what two, where to


class _Series:
    """The series of `SUMS` per candle, for `n` candles, made anew by every `fill`.

    Nothing is before the first candle: where a series needs one, its first column (of `lagged`
    the second, too) means nothing, and no sum reaches it.

    Parameters
    ----------
    n : candles
    more : names of further rows, for whoever reads the series
    """

    __slots__ = ("_columns", "_early", "_late", "_rise", "_span", "at", "memory", "summed")

    def __init__(self, n: int, more: tuple[str, ...] = ()) -> None:
        own = ("open", "high", "low", "span", "rise", "reach", "floor", "typical")
        ratios = ("close_ratio", "location_2", "open_ratio")  # less 1: ret, side and gap
        names = (*own, *ratios, *SUMS, "side", "gap", "fall", *more)
        self.at = at = {name: place for place, name in enumerate(names)}
        self.memory = memory = np.zeros((len(names), n))
        self.summed = memory[at["location"] : at["ret"] + 1]

        def row(name: str, start: int = 0) -> Floats:
            return memory[at[name], start:]

        def block(first: str, last: str) -> Floats:
            return memory[at[first] : at[last] + 1].reshape(-1)

        open_, high, low, close = row("open"), row("high"), row("low"), row("close")
        volume, ret, location = row("volume"), row("ret"), row("location")
        before, reach = close[:-1], row("reach", 1)
        one, zero = np.array(1.0), np.array(0.0)
        self._columns = (open_, high, low, close, volume)
        self._span, self._rise = row("span"), row("rise")
        self._early: tuple[Step, ...] = (
            (np.subtract, high, low, self._span),
            (np.subtract, close, low, self._rise),
        )
        # fmax and fmin, as prices are numbers and maximum and minimum take four times as long
        self._late: tuple[Step, ...] = (
            (np.divide, self._rise, self._span, location),
            (np.add, location, location, row("location_2")),
            (np.divide, close[1:], before, row("close_ratio", 1)),
            (np.divide, open_[1:], before, row("open_ratio", 1)),
            (np.subtract, block("close_ratio", "open_ratio"), one, block("ret", "gap")),
            (np.fmin, ret, zero, row("fall")),
            # volume, close, ret, side, gap and fall; side's square makes room for `lagged`
            (
                np.multiply,
                block("volume", "fall"),
                block("volume", "fall"),
                block("volume_sq", "down_sq"),
            ),
            (np.multiply, ret[1:], ret[:-1], row("lagged", 1)),
            (np.multiply, row("ret_sq"), ret, row("ret_cube")),
            (np.copysign, ret, one, row("ret_abs")),
            (np.heaviside, ret, zero, row("up")),
            (np.fmax, high[1:], before, reach),
            (np.fmin, low[1:], before, row("floor", 1)),
            (np.subtract, reach, row("floor", 1), reach),
            (np.divide, reach, before, row("true_range", 1)),
            (np.add, high, low, row("typical")),
            (np.add, row("typical"), close, row("typical")),
            (np.multiply, volume, row("typical"), row("turnover")),
            (np.multiply, volume, row("side"), row("flow")),
            (np.multiply, volume, ret, row("volume_ret")),
            (np.multiply, volume, row("ret_abs"), row("volume_abs")),
        )

    def fill(self, candles: CandleArrays) -> None:
        """Make the series of `n` candles."""
        open_, high, low, close, volume = self._columns
        open_[...] = candles.open
        high[...] = candles.high
        low[...] = candles.low
        close[...] = candles.close
        volume[...] = candles.volume
        for step, a, b, out in self._early:
            step(a, b, out)
        span = self._span
        if np.count_nonzero(span) < len(span):  # a candle without a range closed in its middle
            flat = span == 0
            self._rise[flat] = 0.5
            span[flat] = 1.0
        for step, a, b, out in self._late:
            step(a, b, out)


class _Last:
    """Reads one window after the other into the same memory."""

    __slots__ = ("_highs", "_lows", "_places", "_scans", "_series", "_values")

    def __init__(self) -> None:
        sums = tuple(f"sum_{name}" for name in SUMS)
        self._series = series = _Series(WINDOW, (*sums, "ramp", "highest", "lowest"))
        at, memory = series.at, series.memory
        first = at[sums[0]]  # from here on the newest candle comes first
        short = len(tuple(takewhile(lambda look_backs: max(look_backs) <= SHORT, SUMS.values())))
        newest = series.summed[:, ::-1]
        total = memory[first : first + len(SUMS)]
        highs, lows = memory[at["high"], ::-1], memory[at["low"], ::-1]
        self._scans = (
            (np.add.accumulate, newest[:short, :SHORT], 1, total[:short, :SHORT]),
            (np.add.accumulate, newest[short:, :LONG], 1, total[short:, :LONG]),
            (np.add.accumulate, memory[at["sum_close"], :LONG], 0, memory[at["ramp"], :LONG]),
            (np.maximum.accumulate, highs, 0, memory[at["highest"]]),
            (np.minimum.accumulate, lows, 0, memory[at["lowest"]]),
        )
        self._highs, self._lows = highs[:20], lows[:20]
        self._values = memory.reshape(-1)
        self._places = np.array(
            [
                at[name] * WINDOW + (age if at[name] >= first else WINDOW - 1 - age)
                for name, age in _TAKEN.values()
            ]
        )

    def read(self, candles: CandleArrays) -> Any:
        """Return a window; its values do not change with the next one."""
        self._series.fill(candles)
        for scan, rows, axis, out in self._scans:
            scan(rows, axis, None, out)
        today, since_midnight_ms = divmod(candles.ts_ms.item(-1) + IST_MS, DAY_MS)
        midnight_ms = today * DAY_MS - IST_MS
        count = 1  # as always with day candles
        if candles.ts_ms.item(-2) >= midnight_ms:
            count = WINDOW - int(candles.ts_ms.searchsorted(midnight_ms))
        whole = count < WINDOW
        return Window(
            *self._values[self._places].tolist(),
            float(self._highs.argmax()),
            float(self._lows.argmin()),
            since_midnight_ms / 60_000,
            float((today + 3) % 7),
            float(count),
            candles.open.item(-count) if whole else math.nan,
            candles.close.item(-count - 1) if whole else math.nan,
            _nonzero,
            _root,
            max,
        )


def _nonzero(a: float) -> float:
    return a if a != 0 else math.nan


def _root(a: float) -> float:
    return math.sqrt(a) if a > 0 else a * 0.0  # 0 where rounding left less than 0


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.last = _Last()


_OF_THREAD = _OfThread()


def last_window(candles: CandleArrays) -> Any:
    """Return the window of `WINDOW` candles: every value is a plain float."""
    return _OF_THREAD.last.read(candles)


def every_window(candles: CandleArrays) -> Any:
    """Return the same of every window that ends in rows WINDOW-1 .. n-1: arrays (rows,)."""
    n, first = len(candles), WINDOW - 1
    series = _Series(n)
    series.fill(candles)
    x, close = series.summed, candles.close
    read: dict[str, Any] = {
        name: getattr(candles, name)[first:] for name in ("open", "high", "low", "close")
    }
    for k in LAGS:
        read[f"close_before_{k}"] = close[first - k : n - k]
    total = x[:, first:].copy()
    places = {name: place for place, name in enumerate(SUMS)}
    ramp = total[places["close"]].copy()
    for age in range(WINDOW - 1):
        if age:
            total += x[:, first - age : n - age]
            ramp += total[places["close"]]
        for name, look_backs in SUMS.items():
            if age + 1 in look_backs:
                read[_named(name, age + 1)] = total[places[name]].copy()
        if age + 1 in RAMPS:
            read[f"ramp_{age + 1}"] = ramp.copy()
    highest, read["since_high"] = _extremes(candles.high, 1.0)
    lowest, read["since_low"] = _extremes(candles.low, -1.0)
    for w in RANGES:
        read[f"highest_{w}"], read[f"lowest_{w}"] = highest[w], -lowest[w]
    return Window(
        **read, **_sessions(candles),
        nonzero=_nonzero_each, root=_root_each, larger=np.maximum,
    )  # fmt: skip


def _nonzero_each(a: Floats) -> Floats:
    return np.where(a != 0, a, math.nan)


def _root_each(a: Floats) -> Floats:
    return np.where(a > 0, np.sqrt(a), a * 0.0)


def _extremes(prices: Floats, sign: float) -> tuple[dict[int, Floats], Floats]:
    """Return the largest of `sign * price` per look-back, and the age of the one of 20."""
    signed = sign * prices
    n, first = prices.shape[0], WINDOW - 1
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


def _sessions(candles: CandleArrays) -> dict[str, Floats]:
    n, first = len(candles), WINDOW - 1
    local = candles.ts_ms + IST_MS
    days = local // DAY_MS
    index = np.arange(n)
    begins = np.zeros(n, dtype=np.int64)
    begins[1:] = np.where(days[1:] != days[:-1], index[1:], 0)
    start = np.maximum.accumulate(begins)[first:]
    count = np.minimum(index[first:] - start + 1, WINDOW)
    whole = count < WINDOW
    return {
        "minute": (local[first:] % DAY_MS) / 60_000,
        "weekday": ((days[first:] + 3) % 7).astype(np.float64),
        "session_candles": count.astype(np.float64),
        "session_open": np.where(whole, candles.open[start], math.nan),
        "session_before": np.where(whole, candles.close[start - 1], math.nan),
    }
