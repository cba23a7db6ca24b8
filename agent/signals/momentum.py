"""What rose goes on rising: the return of the last `span` candles against its own noise.

A baseline, not advice: it is here to be weighed against the model and to show the interface.
"""

from __future__ import annotations

import math
from itertools import pairwise

from agent.signals.signal import Context, Opinion, Signal

NAME = "momentum"


def scaled_return(closes: list[float], span: int) -> float | None:
    """Return the log return over `span` candles in units of its standard deviation.

    Parameters
    ----------
    closes : list of float, rupees, oldest first, all positive

    Returns
    -------
    float, or None with fewer than `2 * span + 1` closes or without any movement

    Examples
    --------
    >>> scaled_return([100.0] * 50, 10) is None
    True
    """
    if len(closes) < 2 * span + 1 or min(closes) <= 0:
        return None
    steps = [math.log(b / a) for a, b in pairwise(closes)]
    mean = sum(steps) / len(steps)
    variance = sum((x - mean) ** 2 for x in steps) / (len(steps) - 1)
    if variance <= 0:
        return None
    return math.log(closes[-1] / closes[-1 - span]) / math.sqrt(variance * span)


class Momentum:
    """BUY above `threshold` standard deviations, SELL below minus that, else HOLD.

    Parameters
    ----------
    span : int, candles
    threshold : float, standard deviations of a `span`-candle return
    """

    name = NAME

    def __init__(self, span: int = 20, threshold: float = 1.0) -> None:
        self.span = span
        self.threshold = threshold

    def on_candle(self, context: Context) -> Signal | None:
        """Return the trend's side."""
        score = scaled_return([c.close for c in context.candles], self.span)
        if score is None:
            return None
        opinion: Opinion = "HOLD"
        if abs(score) >= self.threshold:
            opinion = "BUY" if score > 0 else "SELL"
        words = f"momentum: {score:+.2f} sd over {self.span} candles, from {self.threshold}"
        until = context.now_ms + context.valid_ms
        return Signal(NAME, opinion, abs(score) / 10, until, words)
