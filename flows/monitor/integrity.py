"""Is what the model was shown data at all: immediate alarms, no statistics of months.

Pure. A unit changed, a value stuck, a column gone, a scale ten times too large, an instrument
that the version does not know, candles that are not the official ones. One finding is enough,
and a day with one says nothing about drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flows.data.frame import Ints
from flows.monitor.usual import STATISTICS, Unit, Usual

Floats = npt.NDArray[np.float64]

MISSING_MORE = 0.10  # share of rows missing above the worst training day
STUCK_ROWS_MIN = 5
REACH = 3.0  # times as far from the middle as any training day was
REACH_SLOW = 4.0  # one election week moved 50-candle features this far for 50 NSE days
STALE_SHARE = 0.20  # of rows equal in every feature to the key's row before
DIFFER_SHARE = 0.05  # of rows whose features are not those of the official candles
DIFFER_SD = 0.10  # by more than this, in the feature's standard deviation


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the data of a day; `feature` is empty where it is not one's."""

    day: str
    kind: str
    feature: str
    why: str


def findings(unit: Unit, usual: Usual, *, whole: bool = True) -> list[Finding]:
    """Return what is wrong with the columns of a unit.

    Parameters
    ----------
    whole : bool
        False for rows that are no day yet: only what a single row can tell is looked at.
    """
    found = _outside(unit, usual)
    if whole:
        found += [*_missing(unit, usual), *_stuck(unit, usual), *_far(unit, usual)]
    return sorted(found, key=lambda f: (f.kind, f.feature))


def _missing(unit: Unit, usual: Usual) -> list[Finding]:
    worst = np.nan_to_num(usual.daily_missing, nan=0.0).max(axis=0, initial=0.0)
    return [
        Finding(
            unit.day,
            "missing",
            usual.names[i],
            f"{unit.missing[i]:.0%} of the rows have no value; on the worst training day "
            f"{worst[i]:.0%}",
        )
        for i in np.flatnonzero(unit.missing > worst + MISSING_MORE)
    ]


def _stuck(unit: Unit, usual: Usual) -> list[Finding]:
    if unit.rows < STUCK_ROWS_MIN or not usual.days:
        return []
    spreads = usual.daily[:, :, STATISTICS.index("sd")]
    always_moved = np.isfinite(spreads).all(axis=0) & (np.nan_to_num(spreads) > 0).all(axis=0)
    filled = np.where(np.isnan(unit.x), 0.0, unit.x)
    still = np.isfinite(unit.x).all(axis=0) & (filled.max(axis=0) == filled.min(axis=0))
    return [
        Finding(
            unit.day,
            "stuck",
            usual.names[i],
            f"{unit.statistics[i, 0]:.6g} in all {unit.rows} rows; it differed on every training "
            "day",
        )
        for i in np.flatnonzero(still & always_moved)
    ]


def _far(unit: Unit, usual: Usual) -> list[Finding]:
    """Find scales and units that changed: a mean or spread far beyond any training day's."""
    if not usual.days:
        return []
    low, high, middle = usual.low, usual.high, usual.middle
    floor = np.nan_to_num(usual.sd)[:, None] * 1e-3 + 1e-12
    up, down = np.maximum(high - middle, floor), np.maximum(middle - low, floor)
    with np.errstate(invalid="ignore"):
        apart = unit.statistics - middle
        reach = np.where(apart > 0, apart / up, -apart / down)
    reach[:, STATISTICS.index("psi")] = 0.0  # its tail is the drift alarm's business
    over = np.nan_to_num(reach) / np.where(usual.slow, REACH_SLOW, REACH)
    found = []
    for i in np.flatnonzero(over.max(axis=1) > 1.0):
        s = int(over[i].argmax())
        found.append(
            Finding(
                unit.day,
                "scale",
                usual.names[i],
                f"{STATISTICS[s]} {unit.statistics[i, s]:.6g}; on training days "
                f"{low[i, s]:.6g} to {high[i, s]:.6g}: another unit, or ten times too large?",
            )
        )
    return found


def _outside(unit: Unit, usual: Usual) -> list[Finding]:
    """Find single rows beyond anything in training by more than the whole width of it."""
    found = []
    for i, name in enumerate(usual.names):
        known = usual.quantiles[name]
        if not known or known[-1] <= known[0]:
            continue
        width = known[-1] - known[0]
        with np.errstate(invalid="ignore"):
            beyond = (unit.x[:, i] > known[-1] + width) | (unit.x[:, i] < known[0] - width)
        if beyond.any():
            worst = unit.x[beyond, i][0]
            why = (
                f"{int(beyond.sum())} of {unit.rows} rows far outside the training range "
                f"{known[0]:.6g} to {known[-1]:.6g} (e.g. {worst:.6g})"
            )
            found.append(Finding(unit.day, "range", name, why))
    return found


def stale_rows(day: str, keys: Sequence[str], candle_ms: Ints, x: Floats) -> list[Finding]:
    """Find rows that repeat their key's row of an earlier candle in every feature."""
    before: dict[str, tuple[int, bytes]] = {}
    repeats: Counter[str] = Counter()
    comparable = 0
    for i in np.argsort(candle_ms, kind="stable"):
        row = x[i].tobytes()
        known = before.get(keys[i])
        if known is not None and known[0] < candle_ms[i]:
            comparable += 1
            repeats[keys[i]] += known[1] == row
        before[keys[i]] = (int(candle_ms[i]), row)
    count = sum(repeats.values())
    if not comparable or count <= STALE_SHARE * comparable:
        return []
    worst = ", ".join(key for key, _ in repeats.most_common(3))
    why = f"{count} of {comparable} rows repeat the row of the candle before ({worst})"
    return [Finding(day, "stale", "", why)]


def unknown_keys(day: str, keys: Sequence[str], universe: Sequence[str]) -> list[Finding]:
    """Find instruments that the version was not trained on."""
    known = set(universe)
    strange = Counter(key for key in keys if key not in known) if known else Counter()
    if not strange:
        return []
    named = ", ".join(f"{key} ({count})" for key, count in strange.most_common(5))
    why = f"{sum(strange.values())} rows of instruments outside the version's universe: {named}"
    return [Finding(day, "wrong symbol", "", why)]


def not_official(
    day: str, served: Floats, official: Mapping[int, Floats], usual: Usual
) -> list[Finding]:
    """Compare served features with those of the official candles, as they stand in the store.

    Parameters
    ----------
    served : float64 array of shape (rows, n_features)
    official : row number to its features from the store, float64 array of shape (n_features,)
    """
    if not official:
        return []
    rows = sorted(official)
    truth = np.stack([official[row] for row in rows])
    sd = np.where(np.nan_to_num(usual.sd) > 0, usual.sd, 1.0)
    apart = np.abs(served[rows] - truth) / sd
    one_missing = np.isnan(served[rows]) != np.isnan(truth)
    differs = (np.nan_to_num(apart, nan=0.0) > DIFFER_SD) | one_missing
    count = int(differs.any(axis=1).sum())
    if count <= DIFFER_SHARE * len(rows):
        return []
    worst = np.argsort(-differs.sum(axis=0), kind="stable")[:3]
    named = ", ".join(usual.names[i] for i in worst if differs[:, i].any())
    why = f"{count} of {len(rows)} rows are not what the stored candles give (most: {named})"
    return [Finding(day, "not the official candles", "", why)]
