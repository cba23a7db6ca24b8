"""Where are trades entered: every so many candles on each side, or where a signal file says.

Pure. A trade is entered at a candle's OPEN and ends by the last candle that ends by the square-off
of its day; a day candle's trade lives inside that candle. On ticks it is entered at a tick and
lives from the next one on. Every entry is a trade of its own: trades of one symbol overlap, so
that a policy is judged by all moments, not by the ones it leaves free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from flows.data.frame import DAY_MS, MINUTE_MS
from flows.labels import EVERY, LabelSettings
from flows.sweep.series import Series

Ints = npt.NDArray[np.int64]
TICKS_EVERY = 300  # about five minutes of a liquid share
_LABELS = LabelSettings()


@dataclass(frozen=True, slots=True)
class EntryRules:
    """When trades are entered and when they end at the latest; the labels' own times.

    Parameters
    ----------
    every : int or None
        Every so many candles (ticks) of a day; None is by interval, as labels do.
    sides : tuple of int, +1 LONG, -1 SHORT
    entry_from, entry_until, square_off : "HH:MM" in India
    """

    every: int | None = None
    sides: tuple[int, ...] = (1, -1)
    entry_from: str = _LABELS.entry_from
    entry_until: str = _LABELS.entry_until
    square_off: str = _LABELS.square_off


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of one symbol; int64 arrays of shape (n,), by side, then time.

    Parameters
    ----------
    at : candle (tick) of the entry
    sign : +1 or -1
    entry : `1/scale` tick
    first, last : what the trade lives in: its first candle (tick), the one after its last
    atr : at the entry, `search.ATR_PARTS` a tick; 0 while unknown
    """

    at: Ints
    sign: Ints
    entry: Ints
    first: Ints
    last: Ints
    atr: Ints

    def __len__(self) -> int:
        return len(self.at)


def regular(series: Series, rules: EntryRules, interval: str) -> Entries:
    """Return an entry every so many candles of each day, on each side.

    Raises
    ------
    SettingRefused
        If a time of the rules is none.
    """
    ends = session_ends(series, rules)
    every = rules.every or (TICKS_EVERY if series.is_ticks else EVERY.get(interval, 1))
    place = np.arange(len(series)) - np.searchsorted(series.day, series.day)
    chosen = place % every == 0
    if series.interval_ms != DAY_MS:
        minute = series.minute
        chosen &= minute >= minutes(rules, "entry_from")
        chosen &= minute <= minutes(rules, "entry_until")
    return _entered(series, np.flatnonzero(chosen), rules.sides, ends)


def signalled(series: Series, rules: EntryRules, signals: Sequence[tuple[int, int]]) -> Entries:
    """Return an entry at the first candle (tick) of the same day at or after each signal.

    Parameters
    ----------
    series : Series
    rules : EntryRules
    signals : sequence of (epoch ms, sign)
        Signals outside the sides and times of the rules are left out.
    """
    ends = session_ends(series, rules)
    found = []
    for stamp, sign in signals:
        at = int(np.searchsorted(series.ts_ms, stamp))
        if at < len(series) and series.ts_ms[at] - stamp < DAY_MS and sign in rules.sides:
            found.append((at, sign))
    if series.interval_ms != DAY_MS:
        minute, until = series.minute, minutes(rules, "entry_until")
        found = [(at, sign) for at, sign in found if minute[at] <= until]
    parts = [
        _entered(series, np.array([at for at, s in found if s == sign], np.int64), (sign,), ends)
        for sign in rules.sides
    ]
    return _joined(parts)


def session_ends(series: Series, rules: EntryRules) -> Ints:
    """Return, of each candle (tick), the index after the last one that its trade may live in."""
    n = len(series)
    if series.interval_ms == DAY_MS:
        return np.arange(1, n + 1)
    in_time = series.minute * MINUTE_MS + series.interval_ms <= (
        minutes(rules, "square_off") * MINUTE_MS
    )
    last = np.where(in_time, np.arange(n), -1)
    # the last candle in time of each day, seen from every candle of that day
    starts = np.flatnonzero(np.diff(series.day, prepend=series.day[:1] - 1))
    latest = np.maximum.reduceat(last, starts) if n else last
    return np.repeat(latest, np.diff(np.append(starts, n))) + 1


def minutes(rules: EntryRules, name: str) -> int:
    """Return one of the rules' times in minutes since midnight.

    Raises
    ------
    SettingRefused
        If it is none.
    """
    text = getattr(rules, name)
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise SettingRefused(
            f"--{name.replace('_', '-')}", given=text, allowed="HH:MM", fix="write it as 09:20"
        )
    return int(hour) * 60 + int(minute)


def _entered(series: Series, at: Ints, sides: Sequence[int], ends: Ints) -> Entries:
    first = at + 1 if series.is_ticks else at
    at, first = at[first < ends[at]], first[first < ends[at]]
    known = np.searchsorted(series.atr_at, at, side="right" if series.is_ticks else "left") - 1
    atr = np.zeros(len(at), np.int64)
    atr[known >= 0] = series.atr_value[known[known >= 0]]
    parts = [
        Entries(at, np.full(len(at), sign), series.prices[0][at], first, ends[at], atr)
        for sign in sides
    ]
    return _joined(parts)


def _joined(parts: Sequence[Entries]) -> Entries:
    names = ("at", "sign", "entry", "first", "last", "atr")
    return Entries(
        *(np.concatenate([np.asarray(getattr(p, n), np.int64) for p in parts]) for n in names)
    )
