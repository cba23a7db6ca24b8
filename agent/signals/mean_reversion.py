"""What ran too far comes back: the last close's distance from its mean, in standard deviations.

A baseline, not advice, as momentum.py.
"""

from __future__ import annotations

import math

from agent.signals.signal import Context, Opinion, Signal

NAME = "mean_reversion"


def z_score(closes: list[float], span: int) -> float | None:
    """Return how far the last close lies from the mean of the last `span`, in their sd.

    Returns
    -------
    float, or None with fewer than `span` closes or without any movement

    Examples
    --------
    >>> z_score([1.0, 1.0, 1.0], 3) is None
    True
    """
    if len(closes) < span or span < 2:
        return None
    last = closes[-span:]
    mean = sum(last) / span
    variance = sum((x - mean) ** 2 for x in last) / (span - 1)
    return (last[-1] - mean) / math.sqrt(variance) if variance > 0 else None


class MeanReversion:
    """SELL above `threshold` standard deviations over the mean, BUY below, else HOLD.

    Parameters
    ----------
    span : int, candles
    threshold : float, standard deviations
    """

    name = NAME

    def __init__(self, span: int = 20, threshold: float = 2.0) -> None:
        self.span = span
        self.threshold = threshold

    def on_candle(self, context: Context) -> Signal | None:
        """Return the side back to the mean."""
        score = z_score([c.close for c in context.candles], self.span)
        if score is None:
            return None
        opinion: Opinion = "HOLD"
        if abs(score) >= self.threshold:
            opinion = "SELL" if score > 0 else "BUY"
        words = f"mean reversion: {score:+.2f} sd from the mean of {self.span} candles"
        until = context.now_ms + context.valid_ms
        return Signal(NAME, opinion, abs(score) / 10, until, words)
