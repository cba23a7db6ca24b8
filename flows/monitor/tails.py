"""How rare is a day: the tail of a statistic over the training days, and the alarm's threshold.

Pure. A statistic's tail is a generalised Pareto distribution above its 90 % quantile [1]_, never
lighter than exponential, so that "rarer than anything seen" has a figure, too. Statistics with
light and heavy tails then share one scale: the chance of such a day. The threshold is set so
that ALL statistics of all features together alarm at most once a month on quiet days: days are
scored by tails fitted on other days, each statistic against its own peaks, and resampled in
blocks, because days resemble their neighbours.

References
----------
.. [1] Hosking & Wallis (1987), Parameter and Quantile Estimation for the Generalized Pareto
       Distribution: probability-weighted moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TAIL_SHARE = 0.10
SHAPE_MAX = 0.5  # a heavier tail has no variance; one day of it would hide every other
DAYS_MIN = 80  # below, a tail is eight days and one fold has two blocks: nothing is claimed
MONTH_DAYS = 21
BLOCK_DAYS = 25  # a month: look-backs of 60 candles make days alike; with 10 the promise broke
RESAMPLES = 400
SURE = 0.90  # of the resampled histories must keep to the promise
SCORE_MAX = 1_000.0
PEAK_SHARE = 0.2  # with 0.1 or 0.05 more is seen, but unseen blocks of NSE days broke the promise
PEAK_MIN = 1.3  # one day in twenty


@dataclass(frozen=True, slots=True)
class Tails:
    """Upper tails of statistics; all arrays of shape (n_statistics,).

    Parameters
    ----------
    start : float64
        Where the tail begins; NaN where a statistic was hardly ever defined: it never alarms.
    scale, shape : float64
        Of the generalised Pareto distribution beyond it; shape in [0, SHAPE_MAX].
    """

    start: Floats
    scale: Floats
    shape: Floats

    def scores(self, values: Floats) -> Floats:
        """Return how rare values are: -log10 of the chance of a day as high, 0 below the tail.

        Parameters
        ----------
        values : float64 array of shape (..., n_statistics); NaN scores 0
        """
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            excess = (values - self.start) / self.scale
            light = excess / np.log(10.0)
            heavy = np.log10(1.0 + self.shape * excess) / self.shape
            beyond = np.where(self.shape > 1e-6, heavy, light) - np.log10(TAIL_SHARE)
            scores = np.where(excess > 0, np.minimum(beyond, SCORE_MAX), 0.0)
        return np.asarray(np.nan_to_num(scores, nan=0.0))


def fit(values: Floats, floor: Floats) -> Tails:
    """Fit the upper tails of statistics over days.

    Parameters
    ----------
    values : float64 array of shape (n_days, n_statistics), NaN where undefined
    floor : float64 array of shape (n_statistics,)
        The smallest scale: a statistic that never moved alarms when it moves by some of these.
    """
    known = np.isfinite(values).sum(axis=0)
    enough = known >= min(DAYS_MIN, len(values)) / 2
    usable = np.where(enough, values, 0.0)
    start = np.nanquantile(usable, 1.0 - TAIL_SHARE, axis=0)
    # probability-weighted moments of the excesses, column by column over sorted values
    excess = np.sort(np.where(usable > start, usable - start, np.nan), axis=0)  # NaN goes last
    count = np.isfinite(excess).sum(axis=0)
    place = np.arange(1, len(values) + 1)[:, None]
    some = np.maximum(count, 1)
    first = np.nansum(excess, axis=0) / some
    second = np.nansum(excess * (1.0 - (place - 0.35) / some), axis=0) / some
    with np.errstate(invalid="ignore", divide="ignore"):
        shape = 2.0 - first / (first - 2.0 * second)
    shape = np.clip(np.nan_to_num(shape, nan=0.0), 0.0, SHAPE_MAX)
    scale = np.maximum(first * (1.0 - shape), floor)
    return Tails(np.where(enough, start, np.nan), scale, shape)


def quiet_scores(values: Floats, floor: Floats) -> Floats:
    """Return each day's scores by tails that were fitted on other blocks of days.

    Parameters
    ----------
    values : float64 array of shape (n_days, n_statistics), days in order
    floor : see `fit`

    Returns
    -------
    float64 array of shape (n_days, n_statistics)
    """
    fold = np.arange(len(values)) // BLOCK_DAYS % 2
    scores = np.zeros(values.shape)
    for mine in (0, 1):
        rows = fold == mine
        scores[rows] = fit(values[~rows], floor).scores(values[rows])
    return scores


def peaks(scores: Floats) -> Floats:
    """Return what each statistic's quiet days reach at their highest, as a mean of the top ones.

    A slow statistic leaves its tail for a month whenever the market changes its mood. Measured
    against its own peaks it does not raise the threshold of all others.

    Parameters
    ----------
    scores : float64 array of shape (n_days, n_statistics), of `quiet_scores`

    Returns
    -------
    float64 array of shape (n_statistics,), at least `PEAK_MIN`
    """
    top = max(2, int(PEAK_SHARE * len(scores)))
    return np.asarray(np.maximum(np.sort(scores, axis=0)[-top:].mean(axis=0), PEAK_MIN))


def threshold(scores: Floats, *, seed: int = 0) -> float:
    """Return the score over peak that quiet days reach at most once a month.

    Parameters
    ----------
    scores : float64 array of shape (n_days,), each day's highest, days in order
    seed : int

    Returns
    -------
    float: in `SURE` of the block-resampled histories at most one day in `MONTH_DAYS` is above
    """
    draw = np.random.default_rng(seed)
    blocks = -(-len(scores) // BLOCK_DAYS)
    starts = draw.integers(0, len(scores), size=(RESAMPLES, blocks, 1))
    days = (starts + np.arange(BLOCK_DAYS)) % len(scores)
    drawn = scores[days.reshape(RESAMPLES, -1)[:, : len(scores)]]
    levels = np.quantile(drawn, 1.0 - 1.0 / MONTH_DAYS, axis=1)
    return float(np.quantile(levels, SURE))
