"""What the model sees of a window of candles: the ONE definition for training and serving.

Pure: no clock, no I/O, no randomness. Two faces, equal bit for bit: `features_over` a whole
history and `features_last` of a window, through the same formulas; only the reading differs
(windows.py). No transcendental function: their SIMD forms differ in the last bit, and trees do
not need a logarithm.

Every feature is causal, free of the price's and the volume's scale, and looks back at most
`WINDOW` candles. Undefined (0/0, a volume that is not known) is NaN, which LightGBM takes.
Change a formula: raise `DEFINITION`, else old versions would be served other numbers.

A formula reads a window `s`: `s.close`, `s.close_before_5` and `s.highest_20` are what they say,
`s.true_range` is the last candle's, `s.sum_true_range_14` the sum over the last 14 candles of a
series that windows.py makes, and `s.nonzero(x)` is x, but NaN where x is 0.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from bentos.windows import (
    LAGS,
    RANGES,
    WINDOW,
    CandleArrays,
    Floats,
    every_window,
    last_window,
)

__all__ = [
    "CONTEXT",
    "DEFINITION",
    "FEATURES",
    "WINDOW",
    "CandleArrays",
    "Feature",
    "features_last",
    "features_over",
    "features_sha256",
    "manifest",
]

DEFINITION = 1
CONTEXT: tuple[str, ...] = ()  # series of other instruments that the features read: none yet
CHUNK_ROWS = 8_192  # a chunk's series stay in the L2 cache (32 rows of 8k floats: 2.1 MB)


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model."""

    name: str
    unit: str
    look_back: int
    why: str


# What is said of the features, in the order of the model's inputs; the formulas stand below.
FEATURES: tuple[Feature, ...] = (
    *(
        Feature(
            f"move_{k}",
            "ATR",
            max(k + 1, 15),
            "how far the price went, measured in what it usually does in one candle",
        )
        for k in LAGS
    ),
    *(
        Feature(
            f"efficiency_{w}",
            "-1..1",
            w + 1,
            "net way over walked way: 1 is a straight rise, -1 a straight fall, 0 noise",
        )
        for w in (10, 20, 59)
    ),
    Feature(
        "rising_50",
        "share",
        51,
        "share of rising candles: the steadiness of a move, whatever its size",
    ),
    Feature(
        "persistence_50",
        "-1..1",
        52,
        "does a move continue (above 0) or come back (below 0) in the next candle",
    ),
    Feature("atr_14", "fraction of price", 15, "the level of volatility itself"),
    Feature("range_now", "ATR", 15, "did something just happen"),
    Feature("range_5_59", "ratio", 60, "volatility waking up or falling asleep"),
    Feature("range_20_59", "ratio", 60, "the same, slower: the regime is changing"),
    Feature("downside_20", "share", 21, "share of the variance made by falls"),
    Feature("skew_20", "ratio", 21, "one large move among small ones, with its sign"),
    Feature("gaps_20", "ratio", 21, "share of the variance that no stop can catch"),
    Feature("body", "-1..1", 1, "who won the candle, buyers or sellers"),
    Feature("upper_wick", "share", 1, "a rise that was sold into"),
    Feature("location", "share", 1, "where in its range the candle closed"),
    Feature("location_5", "share", 5, "closing strength over the last candles"),
    *(
        Feature(
            f"channel_{w}",
            "share",
            w,
            "place in the range of the past: 1 is a new high, 0 a new low",
        )
        for w in RANGES
    ),
    Feature(
        "to_high_60",
        "ATR",
        60,
        "room to the last high: resistance, or a breakout when near 0",
    ),
    Feature(
        "to_low_60",
        "ATR",
        60,
        "room to the last low: support, or a breakdown when near 0",
    ),
    Feature("since_high_20", "candles", 20, "age of the high"),
    Feature("since_low_20", "candles", 20, "age of the low"),
    *(
        Feature(
            f"mean_{w}",
            "ATR",
            max(w, 15),
            "stretched from its mean: trend, or a move that is due back",
        )
        for w in (20, 50)
    ),
    *(
        Feature(
            f"slope_{w}",
            "ATR a candle",
            max(w, 15),
            "slope of the line through the closes: the trend with the noise averaged out",
        )
        for w in (20, 50)
    ),
    Feature(
        "z_20",
        "standard deviations",
        20,
        "the same stretch in units of the closes' own spread",
    ),
    Feature("volume_now", "ratio", 20, "is this move traded, or is nobody there"),
    Feature("volume_5_59", "ratio", 59, "interest growing or fading"),
    Feature("volume_spread_20", "ratio", 20, "bursts of volume: news, blocks"),
    Feature("flow_20", "-1..1", 20, "volume weighted by where candles closed"),
    Feature("volume_side_20", "-1..1", 21, "is the volume in the rises or in the falls"),
    Feature("vwap_20", "ATR", 20, "above or below what the last buyers paid"),
    Feature(
        "minute",
        "minutes since midnight in India",
        1,
        "clock of the session: the open and the close behave unlike noon (0 for day candles)",
    ),
    Feature("weekday", "0 is Monday", 1, "week-end gaps, weekly expiries"),
    Feature("session_candles", "candles", 60, "how old the session is, at most 60"),
    Feature("session_gap", "ATR", 60, "overnight news; unknown past 60 candles"),
    Feature("since_open", "ATR", 60, "the session's move so far; unknown past 60 candles"),
)

# A row of values: every formula puts its own under its name, so that the order above is the only
# one. Its values are None until then.
Row: TypeAlias = dict[str, Any]
_BLANK: Row = dict.fromkeys(feature.name for feature in FEATURES)


def _moves(s: Any, atr: Any, row: Row) -> None:
    close, nonzero = s.close, s.nonzero
    row["move_1"] = (close / s.close_before_1 - 1.0) / atr
    row["move_2"] = (close / s.close_before_2 - 1.0) / atr
    row["move_5"] = (close / s.close_before_5 - 1.0) / atr
    row["move_10"] = (close / s.close_before_10 - 1.0) / atr
    row["move_20"] = (close / s.close_before_20 - 1.0) / atr
    row["move_40"] = (close / s.close_before_40 - 1.0) / atr
    row["efficiency_10"] = s.sum_ret_10 / nonzero(s.sum_ret_abs_10)
    row["efficiency_20"] = s.sum_ret_20 / nonzero(s.sum_ret_abs_20)
    row["efficiency_59"] = s.sum_ret_59 / nonzero(s.sum_ret_abs_59)
    row["rising_50"] = s.sum_up_50 / 50.0
    row["persistence_50"] = s.sum_lagged_50 / nonzero(s.sum_ret_sq_50)


def _volatility(s: Any, atr: Any, row: Row) -> None:
    spread = s.root(s.sum_ret_sq_20 / 20.0)
    squares = s.nonzero(s.sum_ret_sq_20)
    long_range = s.nonzero(s.sum_true_range_59 / 59.0)
    row["atr_14"] = s.sum_true_range_14 / 14.0
    row["range_now"] = s.true_range / atr
    row["range_5_59"] = s.sum_true_range_5 / 5.0 / long_range
    row["range_20_59"] = s.sum_true_range_20 / 20.0 / long_range
    row["downside_20"] = s.sum_down_sq_20 / squares
    row["skew_20"] = s.sum_ret_cube_20 / 20.0 / s.nonzero(spread * spread * spread)
    row["gaps_20"] = s.sum_gap_sq_20 / squares


def _shape(s: Any, row: Row) -> None:
    open_, high, close = s.open, s.high, s.close
    span = s.nonzero(high - s.low)
    row["body"] = (close - open_) / span
    row["upper_wick"] = (high - s.larger(open_, close)) / span
    row["location"] = s.location
    row["location_5"] = s.sum_location_5 / 5.0


def _place(s: Any, atr: Any, row: Row) -> None:
    close, nonzero = s.close, s.nonzero
    low_20, low_60 = s.lowest_20, s.lowest_60
    sum_20, sum_50 = s.sum_close_20, s.sum_close_50
    reach = nonzero(atr * close)
    mean_20 = sum_20 / 20.0
    spread = s.root(s.sum_close_sq_20 / 20.0 - mean_20 * mean_20)
    row["channel_20"] = (close - low_20) / nonzero(s.highest_20 - low_20)
    row["channel_60"] = (close - low_60) / nonzero(s.highest_60 - low_60)
    row["to_high_60"] = (s.highest_60 - close) / reach
    row["to_low_60"] = (close - low_60) / reach
    row["since_high_20"] = s.since_high
    row["since_low_20"] = s.since_low
    row["mean_20"] = (close - mean_20) / reach
    row["mean_50"] = (close - sum_50 / 50.0) / reach
    row["slope_20"] = _slope(20, sum_20, s.ramp_20) / reach
    row["slope_50"] = _slope(50, sum_50, s.ramp_50) / reach
    row["z_20"] = (close - mean_20) / nonzero(spread)


def _slope(w: int, closes: Any, ramp: Any) -> Any:
    """Slope of the least-squares line through `w` closes, of their sum and their ramp."""
    aged = float(w) * closes - ramp  # sum of age * close, as ramp = sum of (w - age) * close
    return (0.5 * (w - 1) * closes - aged) / (w * (w * w - 1) / 12.0)


def _volume(s: Any, atr: Any, row: Row) -> None:
    nonzero, total = s.nonzero, s.sum_volume_20
    mean = total / 20.0
    traded, usual = nonzero(total), nonzero(mean)
    price = s.sum_turnover_20 / traded / 3.0
    spread = s.root(s.sum_volume_sq_20 / 20.0 - mean * mean)
    row["volume_now"] = s.volume / usual
    row["volume_5_59"] = s.sum_volume_5 / 5.0 / nonzero(s.sum_volume_59 / 59.0)
    row["volume_spread_20"] = spread / usual
    row["flow_20"] = s.sum_flow_20 / traded
    row["volume_side_20"] = s.sum_volume_ret_20 / nonzero(s.sum_volume_abs_20)
    row["vwap_20"] = (s.close / nonzero(price) - 1.0) / atr


def _session(s: Any, atr: Any, row: Row) -> None:
    row["minute"] = s.minute
    row["weekday"] = s.weekday
    row["session_candles"] = s.session_candles
    row["session_gap"] = (s.session_open / s.session_before - 1.0) / atr
    row["since_open"] = (s.close / s.session_open - 1.0) / atr


def _formulas(s: Any) -> Row:
    """Return every feature's value by name, read from one window or from many."""
    row = _BLANK.copy()
    # the usual candle: mean true range of 14, as a fraction of the price before each
    atr = s.nonzero(s.sum_true_range_14 / 14.0)
    _moves(s, atr, row)
    _volatility(s, atr, row)
    _shape(s, row)
    _place(s, atr, row)
    _volume(s, atr, row)
    _session(s, atr, row)
    return row


# np.array of the values takes twice as long
_pack_into = struct.Struct(f"{len(FEATURES)}d").pack_into


def features_last(
    candles: CandleArrays,
    context: Mapping[str, CandleArrays] | None = None,  # noqa: ARG001  (room, see CONTEXT)
) -> Floats:
    """Return the features of the last candle.

    Parameters
    ----------
    candles : CandleArrays of at least `WINDOW` candles; older ones are not read
    context : mapping of instrument key to its candles, for features that name one (`CONTEXT`)

    Returns
    -------
    float64 array of shape (n_features,), in the order of `FEATURES`; NaN where undefined

    Raises
    ------
    ValueError
        If there are fewer than `WINDOW` candles.
    """
    n = len(candles)
    if n < WINDOW:
        raise ValueError(f"{n} candles; features need {WINDOW}")
    if n > WINDOW:
        candles = candles.part(n - WINDOW, n)
    values = _formulas(last_window(candles)).values()
    row = np.empty(len(values))
    _pack_into(row, 0, *values)  # type: ignore[arg-type]  # a buffer, whatever its stub says
    if not math.isfinite(sum(values)):  # one that is not makes the sum so
        row[~np.isfinite(row)] = math.nan
    return row


def features_over(
    candles: CandleArrays,
    context: Mapping[str, CandleArrays] | None = None,  # noqa: ARG001  (room, see CONTEXT)
) -> Floats:
    """Return the features of every candle of one instrument's history.

    Parameters
    ----------
    candles : CandleArrays of any length
    context : mapping of instrument key to its candles, for features that name one (`CONTEXT`)

    Returns
    -------
    float64 array of shape (n_candles, n_features), in the order of `FEATURES`; the first
    `WINDOW - 1` rows are NaN; row i equals `features_last` of candles 0..i bit for bit.
    Memory beyond the result is bounded by one chunk.
    """
    n = len(candles)
    out = np.full((n, len(FEATURES)), math.nan)
    with np.errstate(all="ignore"):
        for start in range(WINDOW - 1, n, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, n)
            part = candles.part(start - WINDOW + 1, stop)
            rows = out[start:stop]
            for column, value in enumerate(_formulas(every_window(part)).values()):
                rows[:, column] = value
            rows[~np.isfinite(rows)] = math.nan
    return out


def _check_names() -> None:
    """Refuse a formula that no feature is named for, and a feature without its formula."""
    ones = np.ones(WINDOW)
    flat = CandleArrays(np.arange(WINDOW, dtype=np.int64), ones, ones, ones, ones, ones)
    row = _formulas(last_window(flat))
    wrong = [name for name in row if name not in _BLANK or row[name] is None]
    if wrong or len(_BLANK) != len(FEATURES):
        raise RuntimeError(f"one formula a feature, and one feature a name: {wrong}")


_check_names()


def manifest() -> list[dict[str, Any]]:
    """Return the features as `version.json` carries them."""
    return [
        {"name": f.name, "unit": f.unit, "look_back": f.look_back, "why": f.why} for f in FEATURES
    ]


def features_sha256() -> str:
    """Return the fingerprint of names, units, look-backs, order and `DEFINITION`."""
    said = [DEFINITION, [[f.name, f.unit, f.look_back] for f in FEATURES]]
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
