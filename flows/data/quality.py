"""Which candles are bad, and what a dataset is missing. Judges; changes nothing by itself.

Bad candles are named with the rule that they break, and refused. The rest is counted: gaps
against the dataset's own sessions and times, flat candles, jumps, unknown volumes, candles
outside NSE's session of their day. Only one thing is removed without being asked: the second of
two rows that are equal in every number, and it is counted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.market.sessions import NSE, Calendar
from flows.data.frame import (
    DAY_MS,
    INTERVAL_MS,
    IST_MS,
    MINUTE_MS,
    PRICES,
    VALUES,
    Bools,
    Floats,
    Ints,
    at,
    day_numbers,
    days_of,
    ts_ms,
)

if TYPE_CHECKING:
    import pandas as pd

JUMP = (
    0.20  # a close-to-close move above this is shown; on NSE it may be real, or an unadjusted split
)
NAMED_MAX = 20  # bad candles that a message and the report name; all are counted


@dataclass(frozen=True, slots=True)
class BadCandle:
    """A candle that cannot be used, and the rule it breaks."""

    symbol: str
    ts: str
    rule: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.ts}: {self.rule}"


@dataclass(slots=True)
class SymbolQuality:
    """Counts of one symbol; `missing_*` are known once the whole dataset was seen."""

    candles: int = 0
    bad: int = 0
    duplicates: int = 0
    flat: int = 0
    jumps: int = 0
    volume_missing: int = 0
    outside_session: int = 0
    off_grid: int = 0
    missing_days: int = 0
    missing_candles: int = 0


@dataclass(frozen=True, slots=True)
class Inspected:
    """One symbol's candles after inspection: without repeats and without the bad ones."""

    frame: pd.DataFrame
    counts: SymbolQuality
    bad: tuple[BadCandle, ...]


def inspect(frame: pd.DataFrame, interval: str, calendar: Calendar | None = NSE) -> Inspected:
    """Judge one symbol's candles.

    Parameters
    ----------
    frame : candle frame of one symbol, sorted by time, repeats allowed
    interval : str, in Kite's words
    calendar : Calendar, optional
        Whose hours count; None where the source brings its own trading days.

    Returns
    -------
    Inspected; `bad` names at most `NAMED_MAX`, `counts.bad` counts all
    """
    ms = ts_ms(frame)
    values = {name: frame[name].to_numpy(dtype=np.float64) for name in VALUES}
    repeated, conflicting = _repeats(ms, values)
    broken = _broken(values) | {"two different candles have this time": conflicting}
    bad = np.any(list(broken.values()), axis=0) & ~repeated
    named = tuple(
        BadCandle(
            str(frame["symbol"].iloc[i]), at(int(ms[i])).isoformat(), _rule(broken, values, i)
        )
        for i in np.flatnonzero(bad)[:NAMED_MAX]
    )
    keep = ~(bad | repeated)
    kept = frame if keep.all() else frame[keep].reset_index(drop=True)
    counts = _count(ms[keep], {name: column[keep] for name, column in values.items()})
    counts.bad, counts.duplicates = int(bad.sum()), int(repeated.sum())
    if interval != "day":
        counts.off_grid = int((ms[keep] % MINUTE_MS != 0).sum())
        if calendar is not None:
            counts.outside_session, off = _against_calendar(ms[keep], interval, calendar)
            counts.off_grid = max(counts.off_grid, off)
    return Inspected(kept, counts, named)


class SessionGrid:
    """When any symbol of a dataset has a candle: what the others are then missing.

    Memory: 1,440 bytes a day, whatever the number of symbols, and two numbers a symbol and day.
    Symbols may be added by several threads, and again after a retry.
    """

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._minutes: dict[int, Bools] = {}
        self._own: dict[str, tuple[Ints, Ints, int, int]] = {}

    def add(self, symbol: str, ms: Ints) -> None:
        """Take in the open times of a symbol's candles, sorted."""
        days, starts = np.unique(day_numbers(ms), return_index=True)
        minute = (ms + IST_MS) % DAY_MS // MINUTE_MS
        with self._one:
            for day, start, stop in zip(days, starts, [*starts[1:], len(ms)], strict=True):
                self._of(int(day))[minute[start:stop]] = True
        self._own[symbol] = (days, np.diff([*starts, len(ms)]), int(ms[0]), int(ms[-1]))

    def days(self) -> list[date]:
        """Return the dates on which any symbol has a candle."""
        return days_of(np.array(sorted(self._minutes), dtype=np.int64))

    def missing(self, symbol: str) -> tuple[int, int]:
        """Return (days, candles) that others have and this symbol has not, in its own span.

        Candles are counted on the days that it has.
        """
        own, counts, first_ms, last_ms = self._own[symbol]
        known = np.array(sorted(self._minutes), dtype=np.int64)
        span = (known >= own[0]) & (known <= own[-1])
        expected = {int(day): int(self._minutes[int(day)].sum()) for day in own}
        for day, ms, before in ((own[0], first_ms, True), (own[-1], last_ms, False)):
            minute = (ms + IST_MS) % DAY_MS // MINUTE_MS
            others = self._minutes[int(day)]
            outside = others[:minute] if before else others[minute + 1 :]
            expected[int(day)] -= int(outside.sum())
        return int(span.sum()) - len(own), sum(expected.values()) - int(counts.sum())

    def _of(self, day: int) -> Bools:
        if day not in self._minutes:
            self._minutes[day] = np.zeros(DAY_MS // MINUTE_MS, dtype=np.bool_)
        return self._minutes[day]


def report(
    counts: Mapping[str, SymbolQuality],
    bad: Sequence[BadCandle],
    sessions: Sequence[date],
    *,
    dropped: bool,
) -> dict[str, Any]:
    """Return the quality report: totals, then each symbol, then the bad candles by name."""
    fields = list(asdict(SymbolQuality()))
    unknown = [day.isoformat() for day in sessions if not NSE.is_open(day)]
    whole = set(NSE.days(sessions[0], sessions[-1])) if sessions else set()
    absent = sorted(day.isoformat() for day in whole - set(sessions))
    return {
        "totals": {name: sum(getattr(c, name) for c in counts.values()) for name in fields},
        "bad_candles": [asdict(candle) for candle in bad[:NAMED_MAX]],
        "bad_dropped": sum(c.bad for c in counts.values()) if dropped else 0,
        "sessions": len(sessions),
        "sessions_unknown_to_nse": len(unknown),
        "sessions_unknown_to_nse_first": unknown[:5],
        "nse_sessions_absent": len(absent),
        "nse_sessions_absent_first": absent[:5],
        "symbols": {symbol: asdict(c) for symbol, c in sorted(counts.items())},
    }


def _repeats(ms: Ints, values: dict[str, Floats]) -> tuple[Bools, Bools]:
    """Return (rows equal to the row before, rows whose time is the row before's but that differ).

    Of conflicting candles every one is marked: which of them is right is not ours to say.
    """
    same_time = np.diff(ms, prepend=ms[:1] - 1) == 0
    equal = same_time.copy()
    for column in values.values():
        before = np.roll(column, 1)
        equal &= (column == before) | (np.isnan(column) & np.isnan(before))
    conflict = same_time & ~equal
    times = np.unique(ms[conflict])
    return equal, np.isin(ms, times) if len(times) else conflict


def _broken(values: dict[str, Floats]) -> dict[str, Bools]:
    """Return rule -> rows that break it, first rule first."""
    prices = np.stack([values[name] for name in PRICES])
    finite = np.asarray(np.isfinite(prices).all(axis=0))
    with np.errstate(invalid="ignore"):
        rules = {
            "a price is missing or not finite": ~finite,
            "a price is not above 0": finite & (prices <= 0).any(axis=0),
            "high is below another price": finite & (prices > values["high"]).any(axis=0),
            "low is above another price": finite & (prices < values["low"]).any(axis=0),
            "volume is below 0 or not finite": (values["volume"] < 0) | np.isinf(values["volume"]),
        }
    return {rule: np.asarray(rows, dtype=np.bool_) for rule, rows in rules.items()}


def _rule(broken: dict[str, Bools], values: dict[str, Floats], row: int) -> str:
    numbers = ", ".join(f"{name} {values[name][row]:g}" for name in VALUES)
    rules = " and ".join(rule for rule, rows in broken.items() if rows[row])
    return f"{rules} ({numbers})"


def _count(ms: Ints, values: dict[str, Floats]) -> SymbolQuality:
    closes = values["close"]
    moves = np.abs(closes[1:] / closes[:-1] - 1.0)
    return SymbolQuality(
        candles=len(ms),
        flat=int((values["high"] == values["low"]).sum()),
        jumps=int((moves > JUMP).sum()),
        volume_missing=int(np.isnan(values["volume"]).sum()),
    )


def _against_calendar(ms: Ints, interval: str, calendar: Calendar) -> tuple[int, int]:
    """Return (candles outside the session of their day, candles that start off its grid)."""
    days, inverse = np.unique(day_numbers(ms), return_inverse=True)
    sessions = [calendar.session(day) for day in days_of(days)]
    opens = np.array([s.opens_ms if s else 0 for s in sessions], dtype=np.int64)[inverse]
    closes = np.array([s.closes_ms if s else 0 for s in sessions], dtype=np.int64)[inverse]
    inside = (ms >= opens) & (ms < closes)
    off = inside & ((ms - opens) % INTERVAL_MS[interval] != 0)
    return int((~inside).sum()), int(off.sum())
