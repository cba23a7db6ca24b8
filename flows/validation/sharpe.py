"""Is a Sharpe ratio more than luck and search: probabilistic and deflated Sharpe, and PBO.

Pure. Sharpe ratios are per period (a day), not annualised; kurtosis is raw (3 for a normal).

References
----------
.. [1] Bailey, Lopez de Prado (2014), The Deflated Sharpe Ratio, J. of Portfolio Management 40(5).
.. [2] Bailey, Borwein, Lopez de Prado, Zhu (2017), The Probability of Backtest Overfitting,
   J. of Computational Finance 20(4).
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NORMAL = NormalDist()
EULER = 0.5772156649015329
PERIODS_MIN = 3


def sharpe(returns: Floats) -> float:
    """Return mean over standard deviation (ddof 1) per period; NaN where it is not defined."""
    if len(returns) < PERIODS_MIN:
        return math.nan
    sd = float(returns.std(ddof=1))
    return float(returns.mean()) / sd if sd > 0 else math.nan


def moments(returns: Floats) -> tuple[float, float]:
    """Return skewness and raw kurtosis; (0, 3) where the returns do not vary."""
    centred = returns - returns.mean()
    variance = float((centred**2).mean())
    if variance <= 0:
        return 0.0, 3.0
    skew = float((centred**3).mean()) / variance**1.5
    return skew, float((centred**4).mean()) / variance**2


def luckiest_sharpe(trials: int, variance: float) -> float:
    """Return the Sharpe that the best of so many skilless trials is expected to show [1]_.

    Parameters
    ----------
    trials : int, >= 1
    variance : float
        Of the trials' Sharpe ratios, per period.
    """
    if trials < 2 or variance <= 0:
        return 0.0
    one = _NORMAL.inv_cdf(1 - 1 / trials)
    other = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER) * one + EULER * other)


def probabilistic_sharpe(
    observed: float, periods: int, skew: float, kurtosis: float, benchmark: float = 0.0
) -> float:
    """Return the probability that the true Sharpe is above the benchmark [1]_.

    Parameters
    ----------
    observed, benchmark : float, per period
    periods : int
    skew, kurtosis : float, of the returns; raw kurtosis
    """
    if periods < PERIODS_MIN or not math.isfinite(observed):
        return math.nan
    spread = 1 - skew * observed + (kurtosis - 1) / 4 * observed**2
    if spread <= 0:
        return math.nan
    return _NORMAL.cdf((observed - benchmark) * math.sqrt(periods - 1) / math.sqrt(spread))


def deflated_sharpe(returns: Floats, *, trials: int, variance: float) -> float:
    """Return the probability that the Sharpe beats the luckiest of all trials [1]_.

    Parameters
    ----------
    returns : float64 array of shape (n_periods,)
    trials : int
        All that were ever tried on these data, this one included.
    variance : float
        Of the trials' Sharpe ratios; where fewer than two are known, give `1 / n_periods`, the
        variance of a skilless estimate.
    """
    skew, kurtosis = moments(returns)
    return probabilistic_sharpe(
        sharpe(returns), len(returns), skew, kurtosis, luckiest_sharpe(trials, variance)
    )


def overfitting_probability(returns: Floats, *, blocks: int = 10) -> float:
    """Return how often the best in one half of the time is below the median in the other [2]_.

    Combinatorially symmetric cross-validation over sums of blocks, so that a combination costs
    one small product.

    Parameters
    ----------
    returns : float64 array of shape (n_periods, n_strategies), n_strategies >= 2
    blocks : int, even

    Raises
    ------
    ValueError
        If there are fewer periods than blocks, one strategy, or an odd number of blocks.
    """
    n, strategies = returns.shape
    if blocks % 2 or n < blocks or strategies < 2:
        raise ValueError(f"{n} periods, {strategies} strategies, {blocks} blocks")
    parts = np.array_split(returns, blocks)
    sums = np.array([part.sum(axis=0) for part in parts])
    squares = np.array([(part**2).sum(axis=0) for part in parts])
    sizes = np.array([len(part) for part in parts])

    def ratio(chosen: list[int]) -> Floats:
        count = sizes[chosen].sum()
        centre = sums[chosen].sum(axis=0) / count
        variance = squares[chosen].sum(axis=0) / count - centre**2
        return np.asarray(centre / np.sqrt(np.maximum(variance, 1e-300)))

    below = total = 0
    for chosen in combinations(range(blocks), blocks // 2):
        rest = [i for i in range(blocks) if i not in chosen]
        best = int(np.argmax(ratio(list(chosen))))
        outside = ratio(rest)
        below += bool((outside < outside[best]).sum() <= (strategies - 1) / 2)
        total += 1
    return below / total
