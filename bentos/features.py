"""What the model sees of a window of candles: the ONE definition for training and serving.

Pure: no clock, no I/O, no randomness. Two faces, equal bit for bit: `features_over` a whole
history and `features_last` of a window, through the same formulas; only the reading differs
(windows.py). No transcendental function: their SIMD forms differ in the last bit, and trees do
not need a logarithm.

Every feature is causal, free of the price's and the volume's scale, and looks back at most
`WINDOW` candles. Undefined (0/0, a volume that is not known) is NaN, which LightGBM takes.
Change a formula: raise `DEFINITION`, else old versions would be served other numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bentos.windows import (
    CLOSE,
    CLOSE_SQ,
    DOWN_SQ,
    FLOW,
    GAP_SQ,
    LAGGED,
    LAGS,
    LOCATION,
    RANGES,
    RETURN,
    RETURN_ABS,
    RETURN_CUBE,
    RETURN_SQ,
    TRUE_RANGE,
    TURNOVER,
    UP,
    VOLUME,
    VOLUME_ABS,
    VOLUME_RETURN,
    VOLUME_SQ,
    WINDOW,
    CandleArrays,
    EveryWindow,
    Floats,
    LastWindow,
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
CHUNK_ROWS = 8_192  # a chunk's series stay in the L2 cache (18 rows of 8k floats: 1.2 MB)


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model."""

    name: str
    unit: str
    look_back: int
    why: str


_NAMED: dict[str, Feature] = {}


def _named(name: str, unit: str, look_back: int, why: str) -> Feature:
    """Return a feature, made once: making all of them anew took a third of a request's features."""
    known = _NAMED.get(name)
    return (
        known if known is not None else _NAMED.setdefault(name, Feature(name, unit, look_back, why))
    )


def _formulas(s: Any) -> list[tuple[Feature, Any]]:
    """Return every feature with its value, read from one window or from all."""
    return [*_moves(s), *_volatility(s), *_shape(s), *_place(s), *_volume(s), *_session(s)]


def _atr(s: Any) -> Any:
    """Mean true range of 14 candles as a fraction of the price before each."""
    return s.sum(TRUE_RANGE, 14) / 14.0


def _moves(s: Any) -> list[tuple[Feature, Any]]:
    atr, rows = _atr(s), []
    for k in LAGS:
        move = s.close / s.close_before(k) - 1.0
        why = "how far the price went, measured in what it usually does in one candle"
        rows.append((_named(f"move_{k}", "ATR", max(k + 1, 15), why), s.ratio(move, atr)))
    for w in (10, 20, 59):
        why = "net way over walked way: 1 is a straight rise, -1 a straight fall, 0 noise"
        value = s.ratio(s.sum(RETURN, w), s.sum(RETURN_ABS, w))
        rows.append((_named(f"efficiency_{w}", "-1..1", w + 1, why), value))
    why = "share of rising candles: the steadiness of a move, whatever its size"
    rows.append((_named("rising_50", "share", 51, why), s.sum(UP, 50) / 50.0))
    why = "does a move continue (above 0) or come back (below 0) in the next candle"
    value = s.ratio(s.sum(LAGGED, 50), s.sum(RETURN_SQ, 50))
    rows.append((_named("persistence_50", "-1..1", 52, why), value))
    return rows


def _volatility(s: Any) -> list[tuple[Feature, Any]]:
    atr, squares = _atr(s), s.sum(RETURN_SQ, 20)
    spread = s.root(squares / 20.0)
    long_range = s.sum(TRUE_RANGE, 59) / 59.0
    return [
        (_named("atr_14", "fraction of price", 15, "the level of volatility itself"), atr),
        (
            _named("range_now", "ATR", 15, "did something just happen"),
            s.ratio(s.latest(TRUE_RANGE), atr),
        ),
        (
            _named("range_5_59", "ratio", 60, "volatility waking up or falling asleep"),
            s.ratio(s.sum(TRUE_RANGE, 5) / 5.0, long_range),
        ),
        (
            _named("range_20_59", "ratio", 60, "the same, slower: the regime is changing"),
            s.ratio(s.sum(TRUE_RANGE, 20) / 20.0, long_range),
        ),
        (
            _named("downside_20", "share", 21, "share of the variance made by falls"),
            s.ratio(s.sum(DOWN_SQ, 20), squares),
        ),
        (
            _named("skew_20", "ratio", 21, "one large move among small ones, with its sign"),
            s.ratio(s.sum(RETURN_CUBE, 20) / 20.0, spread * spread * spread),
        ),
        (
            _named("gaps_20", "ratio", 21, "share of the variance that no stop can catch"),
            s.ratio(s.sum(GAP_SQ, 20), squares),
        ),
    ]


def _shape(s: Any) -> list[tuple[Feature, Any]]:
    span = s.high - s.low
    return [
        (
            _named("body", "-1..1", 1, "who won the candle, buyers or sellers"),
            s.ratio(s.close - s.open, span),
        ),
        (
            _named("upper_wick", "share", 1, "a rise that was sold into"),
            s.ratio(s.high - s.larger(s.open, s.close), span),
        ),
        (
            _named("location", "share", 1, "where in its range the candle closed"),
            s.latest(LOCATION),
        ),
        (
            _named("location_5", "share", 5, "closing strength over the last candles"),
            s.sum(LOCATION, 5) / 5.0,
        ),
    ]


def _place(s: Any) -> list[tuple[Feature, Any]]:
    atr, rows = _atr(s), []
    for w in RANGES:
        low = s.lowest(w)
        why = "place in the range of the past: 1 is a new high, 0 a new low"
        value = s.ratio(s.close - low, s.highest(w) - low)
        rows.append((_named(f"channel_{w}", "share", w, why), value))
    reach = atr * s.close
    why = "room to the last high: resistance, or a breakout when near 0"
    rows.append((_named("to_high_60", "ATR", 60, why), s.ratio(s.highest(60) - s.close, reach)))
    why = "room to the last low: support, or a breakdown when near 0"
    rows.append((_named("to_low_60", "ATR", 60, why), s.ratio(s.close - s.lowest(60), reach)))
    rows.append((_named("since_high_20", "candles", 20, "age of the high"), s.since_high))
    rows.append((_named("since_low_20", "candles", 20, "age of the low"), s.since_low))
    for w in (20, 50):
        mean = s.sum(CLOSE, w) / float(w)
        why = "stretched from its mean: trend, or a move that is due back"
        value = s.ratio(s.close - mean, reach)
        rows.append((_named(f"mean_{w}", "ATR", max(w, 15), why), value))
    for w in (20, 50):
        # sum of age * close = w * sum - ramp, as ramp = sum of (w - age) * close
        aged = float(w) * s.sum(CLOSE, w) - s.ramp(w)
        slope = (0.5 * (w - 1) * s.sum(CLOSE, w) - aged) / (w * (w * w - 1) / 12.0)
        why = "slope of the line through the closes: the trend with the noise averaged out"
        value = s.ratio(slope, reach)
        rows.append((_named(f"slope_{w}", "ATR a candle", max(w, 15), why), value))
    mean = s.sum(CLOSE, 20) / 20.0
    spread = s.root(s.sum(CLOSE_SQ, 20) / 20.0 - mean * mean)
    why = "the same stretch in units of the closes' own spread"
    rows.append((_named("z_20", "standard deviations", 20, why), s.ratio(s.close - mean, spread)))
    return rows


def _volume(s: Any) -> list[tuple[Feature, Any]]:
    volume, reach = s.sum(VOLUME, 20), _atr(s)
    mean = volume / 20.0
    price = s.ratio(s.sum(TURNOVER, 20), volume) / 3.0
    spread = s.root(s.sum(VOLUME_SQ, 20) / 20.0 - mean * mean)
    return [
        (
            _named("volume_now", "ratio", 20, "is this move traded, or is nobody there"),
            s.ratio(s.latest(VOLUME), mean),
        ),
        (
            _named("volume_5_59", "ratio", 59, "interest growing or fading"),
            s.ratio(s.sum(VOLUME, 5) / 5.0, s.sum(VOLUME, 59) / 59.0),
        ),
        (
            _named("volume_spread_20", "ratio", 20, "bursts of volume: news, blocks"),
            s.ratio(spread, mean),
        ),
        (
            _named("flow_20", "-1..1", 20, "volume weighted by where candles closed"),
            s.ratio(s.sum(FLOW, 20), volume),
        ),
        (
            _named("volume_side_20", "-1..1", 21, "is the volume in the rises or in the falls"),
            s.ratio(s.sum(VOLUME_RETURN, 20), s.sum(VOLUME_ABS, 20)),
        ),
        (
            _named("vwap_20", "ATR", 20, "above or below what the last buyers paid"),
            s.ratio(s.ratio(s.close, price) - 1.0, reach),
        ),
    ]


def _session(s: Any) -> list[tuple[Feature, Any]]:
    atr = _atr(s)
    why = "clock of the session: the open and the close behave unlike noon (0 for day candles)"
    return [
        (_named("minute", "minutes since midnight in India", 1, why), s.minute),
        (_named("weekday", "0 is Monday", 1, "week-end gaps, weekly expiries"), s.weekday),
        (
            _named("session_candles", "candles", 60, "how old the session is, at most 60"),
            s.session_candles,
        ),
        (
            _named("session_gap", "ATR", 60, "overnight news; unknown past 60 candles"),
            s.ratio(s.session_open / s.session_before - 1.0, atr),
        ),
        (
            _named("since_open", "ATR", 60, "the session's move so far; unknown past 60 candles"),
            s.ratio(s.close / s.session_open - 1.0, atr),
        ),
    ]


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
    with np.errstate(all="ignore"):
        row = np.array([value for _, value in _formulas(LastWindow(candles))])
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
            for column, (_, value) in enumerate(_formulas(EveryWindow(part))):
                rows[:, column] = value
            rows[~np.isfinite(rows)] = math.nan
    return out


def _flat_window() -> CandleArrays:
    ones = np.ones(WINDOW)
    return CandleArrays(np.arange(WINDOW, dtype=np.int64), ones, ones, ones, ones, ones)


with np.errstate(all="ignore"):
    FEATURES: tuple[Feature, ...] = tuple(f for f, _ in _formulas(LastWindow(_flat_window())))


def manifest() -> list[dict[str, Any]]:
    """Return the features as `version.json` carries them."""
    return [
        {"name": f.name, "unit": f.unit, "look_back": f.look_back, "why": f.why} for f in FEATURES
    ]


def features_sha256() -> str:
    """Return the fingerprint of names, units, look-backs, order and `DEFINITION`."""
    said = [DEFINITION, [[f.name, f.unit, f.look_back] for f in FEATURES]]
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
