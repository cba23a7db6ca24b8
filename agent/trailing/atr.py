"""The average true range as Wilder smooths it, exact, and the bars that ticks are put into.

Pure. The first value is the mean of the first N true ranges, the first bar's being high - low;
then (previous * (N - 1) + range) / N. A value of 0 is not published: what was known stays known.

References
----------
Wilder (1978), New Concepts in Technical Trading Systems, ch. 3.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from agent.errors import SettingRefused

Ticks = int | Fraction

# Each bar makes the denominator N times longer. Past this many bits (about 1,000 bars of 14) the
# value is cut to 2**-1024, which no rounding to a tick and no comparison of decimals can see.
_DENOMINATOR_BITS_MAX: Final = 4096
_CUT: Final = 1 << 1024

_DAY_MS: Final = 86_400_000
_IST_MS: Final = 19_800_000  # Asia/Kolkata is UTC + 5:30, without a change since 1945
_OPEN_MS: Final = 33_300_000  # 09:15: bars start there, plus or minus whole bars
_BAR = re.compile(r"([1-9]\d{0,4})\s*(s|sec|min|minute|h|hour)")
_UNIT_MS = {"s": 1000, "sec": 1000, "min": 60_000, "minute": 60_000, "h": 3_600_000}


class Wilder:
    """Wilder's average true range over bars given one by one, oldest first.

    Parameters
    ----------
    period : int, bars, at least 1
    """

    def __init__(self, period: int) -> None:
        if period < 1:
            raise SettingRefused(
                "--atr-period", given=period, allowed="a whole number of at least 1", fix="raise it"
            )
        self._period = period
        self._ranges = Fraction(0)
        self._bars = 0
        self._value: Fraction | None = None
        self._close: Ticks | None = None

    def add(self, high: Ticks, low: Ticks, close: Ticks) -> Fraction | None:
        """Take one closed bar; return the ATR then, or None while unknown or 0."""
        true_range = high - low
        if self._close is not None:
            above, below = high - self._close, self._close - low
            true_range = max(true_range, above, below)
        self._close = close
        self._bars += 1
        if self._value is None:
            self._ranges += true_range
            if self._bars == self._period:
                self._value = self._ranges / self._period
        else:
            self._value = (self._value * (self._period - 1) + true_range) / self._period
            if self._value.denominator.bit_length() > _DENOMINATOR_BITS_MAX:
                self._value = Fraction(round(self._value * _CUT), _CUT)
        return self._value or None


class TickBars:
    """Puts ticks into bars; says a bar's ATR with the first tick of a later one.

    Parameters
    ----------
    bar_ms : int
        Length of a bar.
    period : int, bars
    """

    def __init__(self, bar_ms: int, period: int) -> None:
        self._bar_ms = bar_ms
        self._wilder = Wilder(period)
        self._start: Ticks | None = None
        self._high: Ticks = 0
        self._low: Ticks = 0
        self._close: Ticks = 0

    def add(self, ts_ms: Ticks, price: Ticks) -> Fraction | None:
        """Take one tick, not older than the last; return the ATR if it closed a bar."""
        local = ts_ms + _IST_MS  # a bar is told by its start, so that midnight cuts none in two
        start = local - (local % _DAY_MS - _OPEN_MS) % self._bar_ms
        if start == self._start:
            self._high = max(self._high, price)
            self._low = min(self._low, price)
            self._close = price
            return None
        known = (
            self._wilder.add(self._high, self._low, self._close)
            if self._start is not None
            else None
        )
        self._start, self._high, self._low, self._close = start, price, price, price
        return known


def bar_length_ms(text: str) -> int:
    """Return the length of a bar named `1min`, `5min`, `30s` or `1h`.

    Raises
    ------
    SettingRefused
        If it is none of these, or longer than a day.
    """
    form = _BAR.fullmatch(text.strip())
    length = int(form[1]) * _UNIT_MS.get(form[2], 3_600_000) if form else 0
    if not 0 < length <= _DAY_MS:
        raise SettingRefused(
            "--bar", given=repr(text), allowed="a length as 30s, 1min or 1h", fix="write it so"
        )
    return length
