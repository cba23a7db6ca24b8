"""Which tick grid a price stands on when no instrument dump says it.

NSE's table for cash shares (in force since 15 April 2025) goes by price, and the exchange sets a
share's tick for a month by the last close of the month before.
"""

from __future__ import annotations

import numpy as np

from flows.data.frame import Floats, Ints

# (price below which it holds in rupees, ticks in one rupee): a power of ten over a whole number,
# so that a rounded price is the float nearest to its decimal
BANDS = ((250.0, 100), (1_000.0, 20), (5_000.0, 10), (10_000.0, 2), (20_000.0, 1))
COARSEST_RUPEES = 5.0


def ticks_per_rupee(prices: Floats) -> Floats:
    """Return how many ticks make a rupee at each price, float64 of the same shape."""
    steps = np.full(prices.shape, 1.0 / COARSEST_RUPEES)
    for below, per_rupee in reversed(BANDS):
        steps[prices < below] = per_rupee
    return steps


def round_to_grid(prices: Floats, per_rupee: Floats) -> Floats:
    """Return prices on the coarser of two grids: the given one and the one of the price itself.

    Monotone in the price for one `per_rupee`, so a candle's high stays its highest price. Ties
    go to the even tick.

    Parameters
    ----------
    prices : float64 array of shape (n,), rupees
    per_rupee : float64 array of shape (n,), ticks in one rupee that the day calls for
    """
    steps = np.minimum(per_rupee, ticks_per_rupee(prices))
    return np.asarray(np.rint(prices * steps) / steps)


def month_steps(months: Ints, closes: Floats) -> Floats:
    """Return the ticks per rupee of each candle by the last close of the month before its own.

    Parameters
    ----------
    months : int64 array of shape (n,), rising; any numbering of calendar months
    closes : float64 array of shape (n,), rupees

    Returns
    -------
    float64 array of shape (n,); the first month goes by its own first close
    """
    starts = np.flatnonzero(np.diff(months, prepend=months[:1] - 1))
    before = np.where(starts > 0, closes[starts - 1], closes[:1])
    return np.repeat(ticks_per_rupee(before), np.diff(np.append(starts, len(months))))
