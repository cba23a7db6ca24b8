"""Is a question sane, is an answer sane: what the served model checks on both sides.

Pure. A question that cannot be right is refused by the field that is wrong; one that is only
unusual is answered with a warning. An answer that cannot be right becomes HOLD.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bentos.problems import invalid
from bentos.windows import DAY_MS, IST_MS, CandleArrays, Floats, Ints

INTERVAL_MS = {
    "minute": 60_000,
    "3minute": 180_000,
    "5minute": 300_000,
    "10minute": 600_000,
    "15minute": 900_000,
    "30minute": 1_800_000,
    "60minute": 3_600_000,
    "day": DAY_MS,
}
CLOSE_OF_SESSION_MS = 15 * 3_600_000 + 30 * 60_000  # 15:30 in India, after midnight
# Of a session's candles most follow each other, of day candles 4 in 5: a window whose typical
# spacing is more than this many intervals is of another interval.
SPACING_INTERVALS_MAX = 4
PRICE_RUPEES_MAX = 1e9
PRICE_RUPEES_MIN = 1e-6
VOLUME_SHARES_MAX = 1e15
SUM_TOLERANCE = 1e-6
NAMED_MAX = 5
STUCK_ANSWERS = 50


def check_candles(candles: CandleArrays, interval: str, window: int, field: str) -> None:
    """Refuse candles that no market makes.

    Parameters
    ----------
    candles : CandleArrays
    interval : a key of `INTERVAL_MS`
    window : how many candles the model needs
    field : path of the candles in the request, for the message

    Raises
    ------
    bentos.problems.Problem
        `field-invalid`, naming the first candle that is wrong and why.
    """
    n = len(candles)
    if n < window:
        raise invalid(f"{field}.ts", f"at least {window} candles", f"{n} candles")
    if not _sound(candles, INTERVAL_MS[interval]):
        _name_the_fault(candles, interval, field)


def _sound(candles: CandleArrays, step_ms: int) -> bool:
    """Whether nothing is wrong; what is gets named by the slower look of `_name_the_fault`."""
    gaps = candles.ts_ms[1:] - candles.ts_ms[:-1]
    if gaps.size:
        shortest, longest = _extremes(gaps)
        limit = SPACING_INTERVALS_MAX * step_ms
        # the median lies over the limit only if half of the gaps do
        if shortest < step_ms or (
            longest > limit and 2 * np.count_nonzero(gaps > limit) >= gaps.size
        ):
            return False
    o, h, low, c, v = candles.open, candles.high, candles.low, candles.close, candles.volume
    n = len(v)
    if (
        np.count_nonzero(h >= o) < n  # so is a NaN: it is not at least another price
        or np.count_nonzero(h >= c) < n
        or np.count_nonzero(low <= o) < n
        or np.count_nonzero(low <= c) < n
        or low.item(low.argmin()) < PRICE_RUPEES_MIN
        or h.item(h.argmax()) > PRICE_RUPEES_MAX
    ):
        return False
    least, most = _extremes(v)
    if math.isnan(least):  # some volume is not known
        least, most = float(np.fmin.reduce(v)), float(np.fmax.reduce(v))
    return not (least < 0 or most > VOLUME_SHARES_MAX)


def _extremes(values: Floats | Ints) -> tuple[float, float]:
    """Return the least and the largest value, or NaN: by their places, in a third of the time."""
    return values.item(values.argmin()), values.item(values.argmax())


def _name_the_fault(candles: CandleArrays, interval: str, field: str) -> None:
    """Raise for the first fault there is.

    Raises
    ------
    bentos.problems.Problem
        `field-invalid`.
    """
    _check_times(candles, interval, field)
    prices = np.stack((candles.open, candles.high, candles.low, candles.close))
    fair = (prices >= PRICE_RUPEES_MIN) & (prices <= PRICE_RUPEES_MAX)
    if not fair.all():
        row, at = (int(x[0]) for x in np.nonzero(~fair))
        name = ("open", "high", "low", "close")[row]
        bound = f"a price from {PRICE_RUPEES_MIN:g} to {PRICE_RUPEES_MAX:g} rupees"
        raise invalid(f"{field}.{name}[{at}]", bound, float(prices[row, at]))
    if not (candles.high >= np.maximum(candles.open, candles.close)).all():
        _refuse_first(
            candles.high < np.maximum(candles.open, candles.close), candles, "high", field
        )
    if not (candles.low <= np.minimum(candles.open, candles.close)).all():
        _refuse_first(candles.low > np.minimum(candles.open, candles.close), candles, "low", field)
    strange = (candles.volume < 0) | (candles.volume > VOLUME_SHARES_MAX)  # NaN: not known
    if strange.any():
        at = int(np.argmax(strange))
        bound = f"a number from 0 to {VOLUME_SHARES_MAX:g}, or null where it is not known"
        raise invalid(f"{field}.volume[{at}]", bound, float(candles.volume[at]))


def _refuse_first(wrong: np.ndarray, candles: CandleArrays, name: str, field: str) -> None:
    at = int(np.argmax(wrong))
    bound = "at least" if name == "high" else "at most"
    o, c = float(candles.open[at]), float(candles.close[at])
    edge = max(o, c) if name == "high" else min(o, c)
    raise invalid(
        f"{field}.{name}[{at}]",
        f"{bound} open and close ({edge:g})",
        float(getattr(candles, name)[at]),
    )


def _check_times(candles: CandleArrays, interval: str, field: str) -> None:
    gaps = np.diff(candles.ts_ms)
    step = INTERVAL_MS[interval]
    if gaps.size and int(gaps.min()) < step:
        at = int(np.argmax(gaps < step)) + 1
        expected = f"{interval} candles labelled by their open time, each later than the one before"
        found = f"{int(gaps[at - 1]) / 1000:g} s after ts[{at - 1}]"
        raise invalid(f"{field}.ts[{at}]", expected, found)
    if gaps.size and float(np.median(gaps)) > SPACING_INTERVALS_MAX * step:
        found = f"a typical spacing of {float(np.median(gaps)) / 1000:g} s"
        raise invalid(f"{field}.ts", f"{interval} candles", found)


def closes_ms(ts_ms: int, interval: str) -> int:
    """Return when a candle closes, epoch milliseconds.

    A day candle, and the last one of a session that the interval does not divide, close at 15:30
    in India; there is no calendar here, so a shorter session's last candle closes late.
    """
    midnight = (ts_ms + IST_MS) // DAY_MS * DAY_MS - IST_MS
    session_close = midnight + CLOSE_OF_SESSION_MS
    if interval == "day":
        return session_close
    end = ts_ms + INTERVAL_MS[interval]
    return min(end, session_close) if ts_ms < session_close else end


def age_warnings(
    as_of_ms: int, opens_ms: int, closed_ms: int, stale_after_s: float, *, refuse: bool
) -> list[str]:
    """Return what is unusual about the time of asking.

    Raises
    ------
    bentos.problems.Problem
        If the last candle begins after `as_of`, or, with `refuse`, if it is stale.
    """
    if as_of_ms < opens_ms:
        raise invalid("as_of", "a time after the last candle's open", f"{as_of_ms} ms")
    if as_of_ms < closed_ms:
        return ["unfinished-candle: as_of lies before the last candle's close"]
    age_s = (as_of_ms - closed_ms) / 1000
    if age_s <= stale_after_s:
        return []
    if refuse:
        raise invalid(
            "as_of", f"at most {stale_after_s:g} s after the last close", f"{age_s:.3f} s"
        )
    return [f"stale: the last candle closed {age_s:.0f} s before as_of"]


def range_warnings(
    values: Floats, lowest: Floats, highest: Floats, names: Sequence[str], *, refuse: bool
) -> list[str]:
    """Return which features lie outside what training has seen; NaN lies nowhere.

    Parameters
    ----------
    values, lowest, highest : float64 arrays of shape (n_features,), in the model's order

    Raises
    ------
    bentos.problems.Problem
        With `refuse`, if any does.
    """
    outside = (values < lowest) | (values > highest)
    if not np.count_nonzero(outside):
        return []
    where = np.nonzero(outside)[0]
    told = ", ".join(names[i] for i in where[:NAMED_MAX])
    more = f" and {len(where) - NAMED_MAX} more" if len(where) > NAMED_MAX else ""
    if refuse:
        i = int(where[0])
        bound = f"a value from {lowest[i]:g} to {highest[i]:g}, the range of training"
        raise invalid(f"features.{names[i]}", bound, float(values[i]))
    return [f"outside-training-range: {told}{more}"]


def bad_output(p: Sequence[float]) -> str:
    """Return what is wrong with three probabilities, empty if nothing is."""
    if not all(math.isfinite(x) for x in p):
        return "bad-output: a probability is not a number"
    if not all(-SUM_TOLERANCE <= x <= 1 + SUM_TOLERANCE for x in p):
        return "bad-output: a probability lies outside 0 to 1"
    if abs(sum(p) - 1) > SUM_TOLERANCE:
        return f"bad-output: the probabilities sum to {sum(p):.6g}"
    return ""


class StuckWatch:
    """Notices a version that gives one answer to many different questions."""

    __slots__ = ("_answer", "_question", "_repeats", "stuck")

    def __init__(self) -> None:
        self._answer: tuple[float, ...] = ()
        self._question = b""
        self._repeats = 0
        self.stuck = False

    def seen(self, question: bytes, answer: tuple[float, ...]) -> bool:
        """Take one answer; return whether the version has just become stuck."""
        if answer != self._answer:
            self._answer, self._repeats, self.stuck = answer, 0, False
        elif question != self._question:
            self._repeats += 1
        self._question = question
        if self._repeats < STUCK_ANSWERS or self.stuck:
            return False
        self.stuck = True
        return True
