"""The market that is replayed: sessions, tapes of ticks, circuit limits and past candles.

A tape is one instrument's day as ticks: drawn inside the candles of the source (paths.py), the
same for the same seed whatever was asked before, because each (seed, symbol, candle's day) has a
generator of its own. Prices leave here as whole paise on the day's grid, never as floats.
Order: source candles -> grid by month -> sessions -> tapes when a day is played or asked for.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from agent.errors import SettingRefused
from agent.market.candles import INTERVALS_MS, candle_end
from agent.market.instruments import Instrument
from agent.market.sessions import AUCTION_SINCE, IST, NSE, Calendar, Session, from_epoch_ms
from agent.paper import paths
from agent.paper.extra import numpy as np
from agent.paper.listings import derive, is_index, tick_on
from agent.paper.source import DAY_MS, IST_OFFSET_MS, CandleSet, Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

TICKS_PER_DAY: Final = 1_500  # a tick every 15 s of a normal session
TICKS_PER_DAY_MAX: Final = 22_500  # one a second
POINTS_MIN: Final = 4  # open, high, low and close
NORMAL_SESSION_MS: Final = 22_500_000
BAND: Final = Decimal("0.20")  # of the previous close
TAPES_KEPT: Final = 64
SHARES_UNKNOWN: Final = 200  # a tick where the source has no volume


@dataclass(frozen=True, slots=True)
class Tape:
    """One instrument's day as ticks.

    Parameters
    ----------
    times : list of int, epoch ms, rising
    prices : list of int, paise
    volumes : list of int, shares since the open, never falling
    """

    times: list[int]
    prices: list[int]
    volumes: list[int]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A tape as int64 arrays: a tenth of the memory."""

    times: Ints
    prices: Ints
    volumes: Ints


@dataclass(frozen=True, slots=True)
class Candle:
    """A past candle; prices in paise, volume in shares."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True, slots=True)
class _OnGrid:
    """The candles of one symbol in whole paise on the grid of their month."""

    ts_ms: Ints
    prices: Ints  # (4, n): open, high, low, close
    volume: Floats
    tick: Ints  # (n,), paise
    days: Ints  # (n,), days since 1970 in Asia/Kolkata
    log_range: Floats
    trailing: Floats
    tau: float


class Market:
    """Replays a set of candles as ticks.

    Parameters
    ----------
    source : CandleSet
    seed : int
    ticks_per_day : int
        Ticks in a normal session of 6 h 15 min; every candle has at least four.
    first, last : date, optional
        The days to replay. Candles before `first` are history only.
    dump : dict of str to Instrument, optional
        An instruments dump; its ticks, lots and tokens count for the symbols in it.

    Raises
    ------
    SettingRefused
        If no day is left to replay, or no candle lies inside its session.
    """

    def __init__(
        self,
        source: CandleSet,
        *,
        seed: int = 1,
        ticks_per_day: int = TICKS_PER_DAY,
        first: date | None = None,
        last: date | None = None,
        dump: dict[str, Instrument] | None = None,
    ) -> None:
        self.seed = seed
        self.interval = source.interval
        self.ticks_per_day = ticks_per_day
        self.keys = tuple(sorted(source.candles))
        self._dump = dump or {}
        library = paths.day_library if source.interval == "day" else paths.candle_library
        self._library = library(seed)
        self._candles = {key: self._on_grid(key, source.candles[key]) for key in self.keys}
        self._base = self._name_them()
        self._days = Calendar.of_days(self.candle_days())
        self.circuits: dict[str, Decimal] = {}  # shares of the previous close; BAND without one
        self.splits: dict[str, tuple[date, int]] = {}  # on that day each share became so many
        self._tapes: OrderedDict[tuple[str, date], _Drawn] = OrderedDict()
        self.days = self._replayed_days(first, last)

    def candle_days(self) -> list[date]:
        """Return every day that has a candle, oldest first."""
        listed = np.unique(np.concatenate([one.days for one in self._candles.values()]))
        return [day.astype("datetime64[D]").astype(object) for day in listed]

    def fingerprint(self, through: date = date.max) -> str:
        """Return a digest of every candle up to a day: equal exactly for the same prices."""
        digest = hashlib.sha256()
        for key in self.keys:
            own = self._candles[key]
            digest.update(key.encode())
            end = int(np.searchsorted(own.days, _day_number(through), side="right"))
            for column in (own.ts_ms[:end], own.prices[:, :end], own.volume[:end]):
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def session(self, key: str, on: date) -> Session | None:
        """Return the session of an instrument on a day of the source."""
        auction = on >= AUCTION_SINCE and self._ends_early(key, on)
        known = NSE.session(on, derivatives=auction)
        if known is not None and (known.kind != "regular" or on >= AUCTION_SINCE):
            return known
        return self._days.session(on)

    def instrument(self, key: str, on: date) -> Instrument:
        """Return an instrument with the price grid of a day's month."""
        base = self._base[key]
        if key in self._dump:
            return base
        own = self._candles[key]
        row = self._rows_before(key, on + timedelta(days=1)) - 1
        tick = Decimal(int(own.tick[max(row, 0)])) / 100
        if tick == base.tick_size:
            return base
        return derive(key, tick, (i.token for k, i in self._base.items() if k != key))

    def previous_close(self, key: str, on: date) -> int:
        """Return the last close before a day in paise; the day's own open where none is known."""
        own = self._candles[key]
        row = self._rows_before(key, on)
        close = int(own.prices[3, row - 1] if row else own.prices[0, 0])
        split, ratio = self.splits.get(key, (None, 1))
        return round(close / ratio) if split == on else close

    def band(self, key: str, on: date) -> tuple[int, int]:
        """Return the circuit limits of a day in paise, on its grid.

        20 % around the previous close, or as wide as the day's real prices need.
        """
        tick = self.instrument(key, on).tick_paise
        close = self.previous_close(key, on)
        band = self.circuits.get(key, BAND)
        lower = -(-int(close * (1 - band)) // tick) * tick
        upper = int(close * (1 + band)) // tick * tick
        rows = self._rows_of(key, on)
        if rows.size:
            own = self._candles[key].prices[:, rows]
            lower, upper = min(lower, int(own.min())), max(upper, int(own.max()))
        return max(lower, tick), upper

    def tape(self, key: str, on: date) -> Tape:
        """Return an instrument's day as ticks; empty if it did not trade."""
        drawn = self._drawn(key, on)
        return Tape(drawn.times.tolist(), drawn.prices.tolist(), drawn.volumes.tolist())

    def listed(self, key: str, on: date) -> bool:
        """Tell whether an instrument has a candle on or before a day."""
        return self._rows_before(key, on + timedelta(days=1)) > 0

    def _drawn(self, key: str, on: date) -> _Drawn:
        found = self._tapes.get((key, on))
        if found is None:
            found = self._draw(key, on)
            self._tapes[key, on] = found
            if len(self._tapes) > max(TAPES_KEPT, 2 * len(self.keys)):
                self._tapes.popitem(last=False)
        return found

    def candles(
        self, key: str, interval: str, span_ms: tuple[int, int], now_ms: int
    ) -> list[Candle]:
        """Return past candles whose start lies in a span, both ends included, oldest first.

        Day candles of days before the virtual one; shorter ones that have ended. Where the source
        is coarser than asked, they are built from the day's ticks.
        """
        asked = INTERVALS_MS[interval]
        today = from_epoch_ms(now_ms).date()
        found: list[Candle] = []
        for on in self._days_in(key, span_ms):
            if on > today or (interval == "day" and on == today):
                continue
            session = self.session(key, on)
            if session is None:
                continue
            if asked >= INTERVALS_MS[self.interval]:
                rows = self._rows_of(key, on)
                own = self._candles[key]
                built = _grouped(
                    own.ts_ms[rows], own.prices[:, rows], own.volume[rows], interval, session
                )
            else:
                built = self._from_tape(key, on, interval, session)
            split, ratio = self.splits.get(key, (None, 1))
            if split is not None and on < split <= today:  # official candles are adjusted
                built = [_divided(one, ratio) for one in built]
            found += [
                one
                for one in built
                if span_ms[0] <= one.start_ms <= span_ms[1]
                and (interval == "day" or candle_end(one.start_ms, interval, session) <= now_ms)
            ]
        return found

    def _from_tape(self, key: str, on: date, interval: str, session: Session) -> list[Candle]:
        drawn = self._drawn(key, on)
        volume = np.diff(drawn.volumes.astype(np.float64), prepend=0.0)
        return _grouped(drawn.times, np.stack([drawn.prices] * 4), volume, interval, session)

    def _on_grid(self, key: str, columns: Columns) -> _OnGrid:
        days = (columns.ts_ms + IST_OFFSET_MS) // DAY_MS
        tick = self._ticks_by_month(key, columns, days)
        rupees = np.stack([columns.open, columns.high, columns.low, columns.close])
        prices = np.rint(np.round(rupees * 100, 4) / tick).astype(np.int64) * tick
        prices = np.maximum(prices, tick)
        prices[1], prices[2] = prices.max(axis=0), prices.min(axis=0)
        reach = np.log(prices[1] / prices[2])
        log_range = np.full(reach.shape, np.nan)
        log_range[reach > 0] = np.log(reach[reach > 0])
        trailing = paths.trailing_log_ranges(log_range)
        tau = paths.prior_width(log_range, trailing, self._library)
        return _OnGrid(columns.ts_ms, prices, columns.volume, tick, days, log_range, trailing, tau)

    def _ticks_by_month(self, key: str, columns: Columns, days: Ints) -> Ints:
        """Return the grid of each candle in paise: set by the last close before its month."""
        if key in self._dump:
            return np.full(days.shape, self._dump[key].tick_paise, dtype=np.int64)
        if is_index(key.partition(":")[2]):
            return np.full(days.shape, 5, dtype=np.int64)
        months = days.astype("datetime64[D]").astype("datetime64[M]")
        starts = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
        tick = np.empty(days.shape, dtype=np.int64)
        for start, end in zip(starts, [*starts[1:], days.size], strict=True):
            price = columns.close[start - 1] if start else columns.open[0]
            on = days[start].astype("datetime64[D]").astype(object)
            tick[start:end] = int(tick_on(Decimal(repr(float(price))), on) * 100)
        return tick

    def _name_them(self) -> dict[str, Instrument]:
        named: dict[str, Instrument] = {}
        for key in self.keys:
            taken = [one.token for one in named.values()]
            tick = Decimal(int(self._candles[key].tick[-1])) / 100
            named[key] = self._dump.get(key) or derive(key, tick, taken)
        return named

    def _replayed_days(self, first: date | None, last: date | None) -> tuple[date, ...]:
        days = self.candle_days()
        chosen = [d for d in days if (first or d) <= d <= (last or d)]
        chosen = [d for d in chosen if any(self._rows_of(key, d).size for key in self.keys)]
        if not chosen:
            raise SettingRefused(
                "--candles, --first, --last",
                given=f"{first or days[0]} to {last or days[-1]}",
                allowed=f"days of the candles, {days[0]} to {days[-1]}, in session hours",
                fix="choose days that the candles have",
            )
        return tuple(chosen)

    def _rows_before(self, key: str, on: date) -> int:
        return int(np.searchsorted(self._candles[key].days, _day_number(on)))

    def _rows_of(self, key: str, on: date) -> Ints:
        """Return the rows of a day whose candles lie in its session."""
        own = self._candles[key]
        rows = np.arange(
            np.searchsorted(own.days, _day_number(on)),
            np.searchsorted(own.days, _day_number(on), side="right"),
        )
        if self.interval == "day" or not rows.size:
            return rows
        session = self.session(key, on)
        if session is None:
            return rows[:0]
        inside = (own.ts_ms[rows] >= session.opens_ms) & (own.ts_ms[rows] < session.closes_ms)
        picked: Ints = rows[inside]
        return picked

    def _ends_early(self, key: str, on: date) -> bool:
        """Tell whether a stock's candles show that it closes by auction at 15:15."""
        own = self._candles[key]
        if self.interval == "day":
            return False
        end = int(np.searchsorted(own.days, _day_number(on), side="right"))
        last = (int(own.ts_ms[end - 1]) + IST_OFFSET_MS) % DAY_MS if end else DAY_MS
        return last < (15 * 60 + 15) * 60_000

    def _days_in(self, key: str, span_ms: tuple[int, int]) -> list[date]:
        days = self._candles[key].days
        low, high = ((ms + IST_OFFSET_MS) // DAY_MS for ms in span_ms)
        picked = np.unique(
            days[np.searchsorted(days, low) : np.searchsorted(days, high, side="right")]
        )
        return [day.astype("datetime64[D]").astype(object) for day in picked]

    def _draw(self, key: str, on: date) -> _Drawn:
        session = self.session(key, on)
        rows = self._rows_of(key, on)
        if session is None or not rows.size:
            return _joined([])
        entropy = [self.seed, zlib.crc32(key.encode()), _day_number(on)]
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        return _joined([self._draw_candle(key, row, session, rng) for row in rows.tolist()])

    def _draw_candle(
        self, key: str, row: int, session: Session, rng: np.random.Generator
    ) -> _Drawn:
        """Draw one candle's ticks; its volumes count from the candle's start."""
        own = self._candles[key]
        daily = self.interval == "day"
        starts = session.opens_ms if daily else int(own.ts_ms[row])
        ends = session.closes_ms if daily else candle_end(starts, self.interval, session)
        points = max(POINTS_MIN, round(self.ticks_per_day * (ends - starts) / NORMAL_SESSION_MS))
        tick = int(own.tick[row])
        open_, high, low, close = (int(p) // tick for p in own.prices[:, row])
        candle = (open_, high, low, close)
        prior = paths.Prior(_known(float(own.trailing[row])), own.tau)
        path = paths.draw_path(self._library, candle, prior, points, rng)
        times = starts + (ends - starts) // points * np.arange(points, dtype=np.int64)
        prices = paths.on_grid(path, candle) * tick
        return _Drawn(times, prices, _spread(own.volume[row], points, daily=daily))


def _joined(candles: list[_Drawn]) -> _Drawn:
    """Return the ticks of a day's candles in a row, volumes counted from the open."""
    if not candles:
        nothing = np.zeros(0, dtype=np.int64)
        return _Drawn(nothing, nothing, nothing)
    before = np.cumsum([0, *(one.volumes[-1] for one in candles[:-1])])
    return _Drawn(
        np.concatenate([one.times for one in candles]),
        np.concatenate([one.prices for one in candles]),
        np.concatenate([one.volumes + n for one, n in zip(candles, before, strict=True)]),
    )


def _grouped(
    ts_ms: Ints, prices: Ints, volume: Floats, interval: str, session: Session
) -> list[Candle]:
    """Return candles of an interval from the rows (candles or ticks) of one session."""
    if not ts_ms.size:
        return []
    if interval == "day":
        midnight = datetime.combine(session.on, datetime.min.time(), tzinfo=IST)
        starts = np.full(ts_ms.shape, int(midnight.timestamp() * 1000), dtype=np.int64)
    else:
        length = INTERVALS_MS[interval]
        starts = session.opens_ms + (ts_ms - session.opens_ms) // length * length
    first = np.flatnonzero(np.concatenate(([True], starts[1:] != starts[:-1])))
    last = np.concatenate((first[1:], [ts_ms.size])) - 1
    columns = (
        starts[first],
        prices[0][first],
        np.maximum.reduceat(prices[1], first),
        np.minimum.reduceat(prices[2], first),
        prices[3][last],
        np.add.reduceat(np.nan_to_num(volume), first).astype(np.int64),
    )
    return [Candle(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _spread(volume: float, points: int, *, daily: bool) -> Ints:
    """Return the cumulative shares at each tick of a candle; the last is its whole volume."""
    if not np.isfinite(volume):
        return np.arange(1, points + 1, dtype=np.int64) * SHARES_UNKNOWN
    clock = paths.u_shaped_clock(points) if daily else paths.flat_clock(points)
    shares: Ints = np.floor(np.cumsum(clock) * volume + 1e-6).astype(np.int64)
    shares[-1] = int(volume)
    return np.minimum(shares, int(volume))


def _known(trailing: float) -> float:
    return trailing if np.isfinite(trailing) else -4.0  # a range of 1.8 %: nothing is known yet


def _divided(candle: Candle, ratio: int) -> Candle:
    """Return a candle in the shares that there are after a split."""
    open_, high, low, close = (
        round(price / ratio) for price in (candle.open, candle.high, candle.low, candle.close)
    )
    return Candle(candle.start_ms, open_, high, low, close, candle.volume * ratio)


def _day_number(on: date) -> int:
    return on.toordinal() - _EPOCH_ORDINAL


_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
