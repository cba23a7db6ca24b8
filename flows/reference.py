"""What the training days looked like: ranges for the served model's warnings, statistics for drift.

Pure. The unit of drift is the day: for each feature the day's own mean, spread, share missing and
PSI against the pooled sample, for the last `DAYS_KEPT` training days in order, so that a monitor
can resample blocks of real days.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flows.data.frame import Ints, days_of

Floats = npt.NDArray[np.float64]

DAYS_KEPT = 500  # two years: what is usual changes over longer times, and the file stays small
BINS = 10
SMALLEST_SHARE = 1e-3
DIGITS = 6


def training_range(x: Floats, names: list[str]) -> dict[str, list[float]]:
    """Return lowest and highest value of each feature; a feature never known is left out.

    Parameters
    ----------
    x : float64 array of shape (n, n_features), NaN where unknown
    """
    ranges = {}
    for name, column in zip(names, x.T, strict=True):
        known = column[np.isfinite(column)]
        if len(known):
            ranges[name] = [float(known.min()), float(known.max())]
    return ranges


def reference(x: Floats, day: Ints, names: list[str]) -> dict[str, Any]:
    """Return the document `reference.json`.

    Parameters
    ----------
    x : float64 array of shape (n, n_features), NaN where unknown
    day : int64 array of shape (n,), number of the decision's trading day
    names : names of the features

    Returns
    -------
    dict with `days` (ISO dates, oldest first), `rows` (of each day), and per feature `mean`, `sd`,
    `missing`, `quantiles` (0 to 1 in twentieths), `bins` (inner edges of tenths, for PSI) and
    `daily`: lists along `days` of `mean`, `sd`, `missing`, `psi`; null where undefined
    """
    order = np.argsort(day, kind="stable")
    x, day = x[order], day[order]
    numbers, starts, rows = np.unique(day, return_index=True, return_counts=True)
    kept = slice(max(0, len(numbers) - DAYS_KEPT), len(numbers))
    spans = list(zip(starts[kept].tolist(), rows[kept].tolist(), strict=True))
    return {
        "days": [on.isoformat() for on in days_of(numbers[kept])],
        "rows": rows[kept].tolist(),
        "features": {
            name: _of_feature(column, spans) for name, column in zip(names, x.T, strict=True)
        },
    }


def psi(values: Floats, edges: Floats) -> float:
    """Return the population stability index of values against tenths of a reference.

    Parameters
    ----------
    values : float64 array of shape (n,), finite, n >= 1
    edges : float64 array, inner edges of the reference's tenths
    """
    tenths = len(edges) + 1
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=tenths)
    share = np.maximum(counts / len(values), SMALLEST_SHARE)
    expected = 1 / tenths
    return float(((share - expected) * np.log(share / expected)).sum())


def _of_feature(column: Floats, spans: list[tuple[int, int]]) -> dict[str, Any]:
    known = column[np.isfinite(column)]
    missing = 1 - len(known) / len(column)
    if not len(known):
        return {"mean": None, "sd": None, "missing": _told(missing), "daily": {}}
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS))
    daily: dict[str, list[float | None]] = {"mean": [], "sd": [], "missing": [], "psi": []}
    for start, rows in spans:
        values = column[start : start + rows]
        values = values[np.isfinite(values)]
        daily["missing"].append(_told(1 - len(values) / rows))
        daily["mean"].append(_told(values.mean()) if len(values) else None)
        daily["sd"].append(_told(values.std(ddof=1)) if len(values) > 1 else None)
        daily["psi"].append(_told(psi(values, edges)) if len(values) else None)
    return {
        "mean": _told(known.mean()),
        "sd": _told(known.std(ddof=1)) if len(known) > 1 else None,
        "missing": _told(missing),
        "quantiles": [_told(q) for q in np.quantile(known, np.arange(21) / 20)],
        "bins": [float(edge) for edge in edges],
        "daily": daily,
    }


def _told(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
