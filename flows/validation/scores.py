"""Short formulas for forecasts: log-loss, Brier, AUC, rank correlation, calibration.

Pure. Every one takes row weights, so that a bootstrap replicate is the same call. Undefined
(one class only, no weight) is NaN. Classes are in the order FLAT, LONG, SHORT.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SMALLEST_P = 1e-6
BINS = 10


def mean(values: Floats, weights: Floats) -> float:
    """Return the weighted mean; NaN without weight."""
    total = weights.sum()
    return float((values * weights).sum() / total) if total > 0 else float("nan")


def log_losses(p: Floats, y: Ints) -> Floats:
    """Return each row's log-loss in nats.

    Parameters
    ----------
    p : float64 array of shape (n, n_classes), probabilities
    y : int64 array of shape (n,), the class that came
    """
    return np.asarray(-np.log(np.maximum(p[np.arange(len(y)), y], SMALLEST_P)))


def brier_scores(p: Floats, y: Ints) -> Floats:
    """Return each row's squared distance from what came, summed over the classes."""
    came = np.zeros_like(p)
    came[np.arange(len(y)), y] = 1.0
    return np.asarray(((p - came) ** 2).sum(axis=1))


class Ranking:
    """Scores sorted once; AUC for any weights of the rows then costs two passes.

    Parameters
    ----------
    scores : float64 array of shape (n,)
    positive : bool array of shape (n,)
    """

    def __init__(self, scores: Floats, positive: Bools) -> None:
        levels, self._level = np.unique(scores, return_inverse=True)
        self._n = len(levels)
        self._positive = positive

    def auc(self, weights: Floats) -> float:
        """Return the chance that a positive row scores above a negative one, ties as half."""
        up = np.bincount(self._level, weights * self._positive, self._n)
        down = np.bincount(self._level, weights * ~self._positive, self._n)
        total = up.sum() * down.sum()
        if total <= 0:
            return float("nan")
        below = np.cumsum(down) - down
        return float((up * (below + down / 2)).sum() / total)


def ranks(values: Floats) -> Floats:
    """Return ranks from 0 to 1, ties as their mean rank."""
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts + 1) / 2
    return np.asarray(middle[level] / max(len(values) - 1, 1))


def correlation(a: Floats, b: Floats, weights: Floats) -> float:
    """Return the weighted Pearson correlation; NaN where one side does not vary."""
    total = weights.sum()
    if total <= 0:
        return float("nan")
    a = a - (a * weights).sum() / total
    b = b - (b * weights).sum() / total
    size = (a * a * weights).sum() * (b * b * weights).sum()
    return float((a * b * weights).sum() / np.sqrt(size)) if size > 0 else float("nan")


def calibration_curve(p: Floats, came: Bools, weights: Floats) -> list[dict[str, float]]:
    """Return, for tenths of the forecasts by size, the mean forecast and how often it came.

    Returns
    -------
    list of {"forecast", "came", "share"}; the shares sum to 1
    """
    order = np.argsort(p, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    edges = np.searchsorted(share, np.arange(1, BINS) / BINS)
    curve = []
    for rows in np.split(order, edges):
        weight = weights[rows].sum()
        if weight > 0:
            curve.append(
                {
                    "forecast": mean(p[rows], weights[rows]),
                    "came": mean(came[rows].astype(np.float64), weights[rows]),
                    "share": float(weight / weights.sum()),
                }
            )
    return curve


def calibration_error(p: Floats, came: Bools, weights: Floats) -> float:
    """Return the mean distance between forecast and frequency over the curve (ECE)."""
    curve = calibration_curve(p, came, weights)
    return float(sum(abs(c["forecast"] - c["came"]) * c["share"] for c in curve))
