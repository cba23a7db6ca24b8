"""The market that a simulation trades in: recorded ticks, or candles as paths.

One source of candles and, for each instrument and day, a tape of prices from one of four places:

    recorded     the ticks that were recorded that day
    colour       a candle's open, low, high, close when it rose, open, high, low, close when it fell
    pessimistic  the same points, the extreme against the open position first
    drawn        the paper exchange's own path inside the candle (agent/paper/paths.py)

Sessions, price grids, circuit bands and past candles are the paper market's for all four. A leg
between two points is a straight line in ticks, as fine as `ticks_per_day`. A day candle opens
flat until entries may leave, and has closed before the square-off: a label's trade ends at the
candle's close, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Final, Self

from agent.backtest.results import COLOUR, DRAWN, PATHS_TOLD, PESSIMISTIC, RECORDED
from agent.errors import SettingRefused, check
from agent.market.candles import INTERVALS_MS, candle_end
from agent.market.instruments import Instrument
from agent.market.sessions import Session, epoch_ms
from agent.paper.extra import numpy as np
from agent.paper.market import NORMAL_SESSION_MS, SHARES_UNKNOWN, Market, Tape
from agent.paper.source import CandleSet, Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

TICKS_PER_DAY: Final = 6_000  # sixteen a minute candle, five a leg
DAY_TICKS_PER_DAY: Final = 1_500  # of a day candle: steps of a few ticks, and a quarter of the work
POINTS_MIN: Final = 4
MINUTE_MS: Final = 60_000
DAY_STEP_MS: Final = 15_000  # a packet of a flat stretch: fresher than what counts as stale
DAY_HELD_UNTIL: Final = time(9, 35)  # a day candle stands at its open until then,
DAY_CLOSES_AT: Final = time(15, 0)  # and at its close from then on


@dataclass(frozen=True, slots=True)
class Ticks:
    """One instrument's recorded day.

    Parameters
    ----------
    ts_ms : sequence of int, epoch ms, rising
    paise : sequence of int, the last price of each
    volume : sequence of int, shares since the open, never falling
    """

    ts_ms: Ints
    paise: Ints
    volume: Ints


@dataclass(frozen=True, slots=True)
class Legs:
    """Both ways through the candles of a tape.

    Parameters
    ----------
    low_first, high_first : mapping of an index of the tape to prices, paise
        What to play from there on: the candle's way to its first extreme, to its second, to its
        close.
    """

    low_first: Mapping[int, list[int]]
    high_first: Mapping[int, list[int]]


class BacktestMarket(Market):
    """Candles, and the tapes made of them or recorded beside them.

    Parameters
    ----------
    source : CandleSet
    path : {"colour", "pessimistic", "drawn"}
    recorded : mapping of (key, day) to Ticks, optional
        Given, they are the tapes, and `path` is not asked.
    instruments : dict of key to Instrument, optional
        Their price grids count; else the exchange's table by price.
    seed, ticks_per_day : int
        As the paper exchange's market has them.

    Raises
    ------
    SettingRefused
        If the path is unknown, or no day is left.
    """

    def __init__(
        self,
        source: CandleSet,
        *,
        path: str = PESSIMISTIC,
        recorded: Mapping[tuple[str, date], Ticks] | None = None,
        instruments: dict[str, Instrument] | None = None,
        seed: int = 1,
        ticks_per_day: int = TICKS_PER_DAY,
    ) -> None:
        if path not in PATHS_TOLD or (path == RECORDED and recorded is None):
            raise SettingRefused(
                "path",
                given=path,
                allowed=f"{COLOUR}, {PESSIMISTIC} or {DRAWN}, or recorded ticks",
                fix="choose one of them",
            )
        super().__init__(source, seed=seed, ticks_per_day=ticks_per_day, dump=instruments)
        self.path = path if recorded is None else RECORDED
        self._recorded = recorded
        self._legs: dict[str, Legs] = {}

    def on_day(self, on: date, keys: Iterable[str]) -> Self:
        """Return the market of one day and some of its instruments."""
        day = copy(self)
        day.days, day.keys = (on,), tuple(sorted(keys))
        return day

    def between(self, first: date, last: date) -> Self:
        """Return the market of the days between two, both included; the others are history.

        Raises
        ------
        SettingRefused
            If it has none.
        """
        days = tuple(on for on in self.days if first <= on <= last)
        if not days:
            raise SettingRefused(
                "days",
                given=f"{first} to {last}",
                allowed=f"days of the candles, {self.days[0]} to {self.days[-1]}",
                fix="choose days that the candles have",
            )
        part = copy(self)
        part.days = days
        return part

    def sold_on(self, key: str, on: date) -> bool:
        """Tell whether an instrument has prices on a day."""
        if key not in self.keys or self.session(key, on) is None:
            return False
        if self._recorded is not None:
            return (key, on) in self._recorded
        return bool(self._rows_of(key, on).size)

    def range_at(self, key: str, at_ms: int) -> tuple[int, int] | None:
        """Return lowest and highest price (paise) of the candle of an instant of the market's day.

        None where ticks were recorded, or no candle is.
        """
        if self._recorded is not None:
            return None
        rows = self._rows_of(key, self.days[0])
        own = self._candles[key]
        place = int(np.searchsorted(own.ts_ms[rows], at_ms, side="right")) - 1
        if place < 0:
            return None
        row = rows[place]
        return int(own.prices[2, row]), int(own.prices[1, row])

    def legs(self, key: str) -> Legs | None:
        """Return both ways through the tape that was played last; None where there is one."""
        return self._legs.get(key)

    def tape(self, key: str, on: date) -> Tape:
        """Return an instrument's day as ticks; empty if it did not trade."""
        if self._recorded is not None:
            return self._tape_of(key, on, self._recorded.get((key, on)))
        if self.path == DRAWN:
            return super().tape(key, on)
        session = self.session(key, on)
        rows = self._rows_of(key, on)
        if session is None or not rows.size:
            return Tape([], [], [])
        return self._laid(key, rows.tolist(), session)

    def _tape_of(self, key: str, on: date, ticks: Ticks | None) -> Tape:
        session = self.session(key, on)
        if ticks is None or session is None:
            return Tape([], [], [])
        tick = self.instrument(key, on).tick_paise
        inside = (ticks.ts_ms >= session.opens_ms) & (ticks.ts_ms < session.closes_ms)
        prices = np.rint(ticks.paise[inside] / tick).astype(np.int64) * tick
        times, first = np.unique(ticks.ts_ms[inside], return_index=True)
        return Tape(times.tolist(), prices[first].tolist(), ticks.volume[inside][first].tolist())

    def _laid(self, key: str, rows: list[int], session: Session) -> Tape:
        """Lay the candles of a day as paths, and keep both ways through each."""
        own, tape = self._candles[key], Tape([], [], [])
        low_first: dict[int, list[int]] = {}
        high_first: dict[int, list[int]] = {}
        sold = 0
        for row in rows:
            tick = int(own.tick[row])
            open_, high, low, close = (int(p) // tick for p in own.prices[:, row])
            held, times, ends = self._times(int(own.ts_ms[row]), session)
            one = _way((open_, low, high, close), len(times), tick)
            other = _way((open_, high, low, close), len(times), tick)
            at = len(tape.times) + len(held)
            if self.path == PESSIMISTIC:
                low_first[at], high_first[at] = one, other
            rising = close >= open_
            after = [close * tick] * len(ends)
            tape.times.extend([*held, *times, *ends])
            tape.prices.extend([open_ * tick] * len(held) + (one if rising else other) + after)
            points = len(held) + len(times) + len(ends)
            tape.volumes.extend(_shares(float(own.volume[row]), points, sold))
            sold = tape.volumes[-1]
        self._legs[key] = Legs(low_first, high_first)
        return tape

    def _times(self, starts: int, session: Session) -> tuple[list[int], list[int], list[int]]:
        """Return when a candle stands at its open, moves, and stands at its close, epoch ms."""
        if self.interval != "day":
            ends = candle_end(starts, self.interval, session)
            points = max(
                POINTS_MIN, round(self.ticks_per_day * (ends - starts) / NORMAL_SESSION_MS)
            )
            moving = [starts + (ends - starts) * n // points for n in range(points)]
            return moving[:1], moving[1:], []
        moves = epoch_ms(session.after_open(DAY_HELD_UNTIL))
        stands = epoch_ms(session.before_close(DAY_CLOSES_AT))
        points = self._points(stands - moves)
        return (
            list(range(session.opens_ms, moves, DAY_STEP_MS)),
            [moves + (stands - moves) * n // points for n in range(points)],
            list(range(stands, session.closes_ms, DAY_STEP_MS)),
        )

    def _points(self, length_ms: int) -> int:
        return max(POINTS_MIN, round(self.ticks_per_day * length_ms / NORMAL_SESSION_MS))


def market_of_candles(
    candles: Mapping[str, Columns], interval: str, *, path: str = PESSIMISTIC, seed: int = 1
) -> BacktestMarket:
    """Return a market of candles.

    Parameters
    ----------
    candles : mapping of key to Columns
    interval : str, in Kite's words
    path : {"colour", "pessimistic", "drawn"}
    seed : int
        Of the depth shown, and of a drawn path.

    Raises
    ------
    SettingRefused
        If there is no candle, or the interval is unknown.
    """
    if interval not in INTERVALS_MS or not any(len(one.ts_ms) for one in candles.values()):
        raise SettingRefused(
            "candles",
            given=f"{len(candles)} symbols of interval {interval!r}",
            allowed=f"candles of {', '.join(INTERVALS_MS)}",
            fix="choose a dataset with candles in it",
        )
    whole = {key: one for key, one in candles.items() if len(one.ts_ms)}
    ticks = DAY_TICKS_PER_DAY if interval == "day" else TICKS_PER_DAY
    return BacktestMarket(CandleSet(interval, whole), path=path, seed=seed, ticks_per_day=ticks)


def market_of_ticks(
    recorded: Mapping[tuple[str, date], Ticks],
    before: Mapping[str, Columns] | None = None,
    *,
    instruments: dict[str, Instrument] | None = None,
    seed: int = 1,
) -> BacktestMarket:
    """Return a market of recorded ticks.

    Parameters
    ----------
    recorded : mapping of (key, day) to Ticks
    before : mapping of key to Columns, optional
        Minute candles of earlier days: what an ATR starts from and the day's band stands on.
    instruments : dict of key to Instrument, optional
    seed : int
        Of the depth shown.

    Raises
    ------
    SettingRefused
        If there is no tick.
    """
    parts: dict[str, list[Columns]] = {}
    for (key, on), ticks in sorted(recorded.items(), key=lambda item: (item[0][0], item[0][1])):
        if key not in parts and before is not None and key in before:
            parts[key] = [_up_to(before[key], on)]
        if len(ticks.ts_ms):
            parts.setdefault(key, []).append(_minutes(ticks))
    candles = {key: _joined(found) for key, found in parts.items() if found}
    if not any(len(one.ts_ms) for one in candles.values()):
        raise SettingRefused(
            "ticks", given="none", allowed="at least one tick", fix="choose another file"
        )
    whole = CandleSet("minute", candles)
    return BacktestMarket(whole, recorded=recorded, instruments=instruments, seed=seed)


def _way(points: tuple[int, int, int, int], count: int, tick: int) -> list[int]:
    """Return so many prices in paise through four points, the first left out, the last its end."""
    corners = np.array([0, -(-count // 3), -(-2 * count // 3), count])
    check(count >= POINTS_MIN - 1, "three points after the open", count=count)
    line = np.interp(np.arange(1, count + 1), corners, points)
    prices: list[int] = (np.rint(line).astype(np.int64) * tick).tolist()
    return prices


def _shares(volume: float, points: int, before: int) -> list[int]:
    """Return the day's cumulative shares at each of a candle's points; the last has them all."""
    if not np.isfinite(volume):
        return [before + SHARES_UNKNOWN * n for n in range(1, points + 1)]
    whole = int(volume)
    return [before + whole * n // points for n in range(1, points + 1)]


def _minutes(ticks: Ticks) -> Columns:
    start = ticks.ts_ms // MINUTE_MS * MINUTE_MS
    first = np.flatnonzero(np.concatenate(([True], start[1:] != start[:-1])))
    last = np.concatenate((first[1:], [start.size])) - 1
    volume = np.diff(ticks.volume[last], prepend=0).astype(np.float64)
    rupees = ticks.paise / 100
    return Columns(
        start[first],
        rupees[first],
        np.maximum.reduceat(rupees, first),
        np.minimum.reduceat(rupees, first),
        rupees[last],
        volume,
    )


def _up_to(one: Columns, on: date) -> Columns:
    midnight = (on - date(1970, 1, 1)) // timedelta(milliseconds=1) - 19_800_000
    rows = one.ts_ms < midnight
    return Columns(*(getattr(one, name)[rows] for name in _NAMES))


def _joined(parts: list[Columns]) -> Columns:
    return Columns(*(np.concatenate([getattr(one, name) for one in parts]) for name in _NAMES))


_NAMES: Final = ("ts_ms", "open", "high", "low", "close", "volume")
