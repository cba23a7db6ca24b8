"""How sure is a figure: resample whole runs of days, because a day's rows are no independent draws.

Moving blocks of days (Kuensch 1989). A replicate is a count for each day, so that every figure
is computed once more with weights, never on copied rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK_DAYS = 5  # a week: what lives longer than that in daily results is small (market-data facts)
REPLICATES = 200


def day_counts(n_days: int, *, seed: int, replicates: int = REPLICATES) -> Ints:
    """Draw how often each day occurs in each replicate.

    Parameters
    ----------
    n_days : int, >= 1
    seed, replicates : int

    Returns
    -------
    int64 array of shape (replicates, n_days); every row sums to n_days
    """
    block = min(BLOCK_DAYS, n_days)
    rng = np.random.default_rng(seed)
    n_blocks = -(-n_days // block)
    starts = rng.integers(0, n_days, size=(replicates, n_blocks))
    days = (starts[:, :, None] + np.arange(block)) % n_days  # circular: no day is drawn less
    drawn = days.reshape(replicates, -1)[:, :n_days]
    return np.array([np.bincount(one, minlength=n_days) for one in drawn], dtype=np.int64)


def spread(
    figures: Callable[[Floats], Mapping[str, float]],
    days: Ints,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, float]:
    """Return the standard error of each figure under resampling of days.

    Parameters
    ----------
    figures : callable
        From a float64 array of shape (n_rows,), how often each row counts, to named figures.
    days : int64 array of shape (n_rows,), the day of each row
    seed, replicates : int

    Returns
    -------
    dict of float; NaN where fewer than half of the replicates gave a finite figure
    """
    _, index = np.unique(days, return_inverse=True)
    drawn: dict[str, list[float]] = {}
    for counts in day_counts(int(index.max()) + 1, seed=seed, replicates=replicates):
        for name, value in figures(counts[index].astype(np.float64)).items():
            drawn.setdefault(name, []).append(value)
    return {name: _spread_of(np.array(values)) for name, values in drawn.items()}


def _spread_of(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    if len(finite) < max(2, len(values) // 2):
        return float("nan")
    return float(finite.std(ddof=1))
