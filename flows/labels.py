"""What would a trade on each side have brought: the label of a decision candle.

For a decision at a candle's close both sides enter at the NEXT candle's open, half a spread worse,
run the version's own trailing policy over the candles by its pessimistic path, to its exit, the
square-off or the horizon, and pay the spread again and the full charges. The result is in R, the
initial risk (entry to initial stop). The engine is agent/trailing; there is no second one here.
Labels know no model: the policy's [signal] rules are off, as replay without signals has them.

MIS: a trade ends with its day. A day candle is decided at its close and the trade lives inside
that symbol's next candle. Price arithmetic is exact in ticks; results are floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agent.errors import SettingRefused
from agent.market.charges import charges_on, rates_for
from agent.market.instruments import Side
from agent.trailing.candles import Bar, replay_bars
from agent.trailing.plan import needs_of
from agent.trailing.policy import Policy, plan_for
from flows.data.frame import DAY_MS, EPOCH, INTERVAL_MS, IST_MS, MINUTE_MS, day_numbers, ts_ms
from flows.data.grid import ticks_per_rupee
from flows.validation.forecast import FLAT, LONG, SHORT

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ATR_CANDLES = 14
# Decide every so many candles: a label lives for many of them, so the ones between add hours
# of work and hardly an observation.
EVERY = {"minute": 15, "3minute": 5, "5minute": 3, "10minute": 2}
OFF_GRID_PARTS = 1000  # a price off the grid counts in thousandths of a tick


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How labels trade.

    Parameters
    ----------
    theta_r : float, R
        A side must bring more than this to be a class of its own.
    spread_bps : float
        Bid to ask; half of it is paid at the entry and half at the exit, at least half a tick.
    notional_rupees : int
        Value of a trade: brokerage is capped an order, so charges in R depend on it.
    every : int or None
        Decide every so many candles; None is by interval (`EVERY`, else every one).
    horizon_candles : int or None
        A trade ends after so many candles at the latest; None is the square-off.
    entry_from, entry_until, square_off : "HH:MM" in India
        Candles inside the day: entries in between (both included), flat by the end of the last
        candle that ends by `square_off`.
    """

    theta_r: float = 0.1
    spread_bps: float = 3.0
    notional_rupees: int = 100_000
    every: int | None = None
    horizon_candles: int | None = None
    entry_from: str = "09:20"
    entry_until: str = "14:45"
    square_off: str = "15:05"

    def told(self) -> dict[str, Any]:
        """Return the settings as a document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of decisions; arrays of shape (n_decisions,), one symbol after the other.

    Parameters
    ----------
    symbol : int64, code of the symbol in the universe's order
    candle : int64, index of the decision candle among the symbol's candles
    day : int64, number of the trade's day (from 1970-01-01, in India)
    decided_ms, entry_ms : int64, close of the decision candle, open of the next
    exit_long_ms, exit_short_ms : int64, end of the candle of each side's exit
    known_ms : int64, when both results were certain: what a purge must respect
    r_long, r_short : float64, net result in R
    bp_long, bp_short : float64, net result in basis points of the entry's value
    ambiguous : bool, whether a candle left a side's exit unsure
    y : int64, the class: FLAT, LONG or SHORT
    """

    symbol: Ints
    candle: Ints
    day: Ints
    decided_ms: Ints
    entry_ms: Ints
    exit_long_ms: Ints
    exit_short_ms: Ints
    known_ms: Ints
    r_long: Floats
    r_short: Floats
    bp_long: Floats
    bp_short: Floats
    ambiguous: Bools
    y: Ints

    def __len__(self) -> int:
        return len(self.y)

    def at(self, rows: npt.NDArray[Any]) -> Labels:
        """Return some of the labels."""
        return Labels(*(getattr(self, field.name)[rows] for field in fields(self)))


def joined(parts: Sequence[Labels]) -> Labels:
    """Return the labels of several symbols as one, in the order given."""
    names = [field.name for field in fields(Labels)]
    return Labels(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def label_symbol(
    candles: pd.DataFrame,
    interval: str,
    policy: Policy,
    settings: LabelSettings,
    *,
    code: int = 0,
    only: Ints | None = None,
) -> Labels:
    """Label every decision of one symbol's history.

    Parameters
    ----------
    candles : candle frame of one symbol, sorted by time
    interval : str, in Kite's words
    policy : Policy
    settings : LabelSettings
    code : int
        What the symbol is called in the result.
    only : int64 array, rows of `candles`, optional
        Label the decisions of these candles alone; none of them need have a label.

    Returns
    -------
    Labels, by time; decisions without a next candle to trade in are left out, as are those at
    whose price the policy does not fit the tick grid (a stop of less than two ticks)

    Raises
    ------
    agent.errors.SettingRefused
        If a time of the settings is none, or, without `only`, the policy fits at no decision's
        price (the first refusal, with both its keys and numbers).
    """
    track = _Track(candles, interval, policy, settings)
    rows: list[tuple[int, _Result, _Result]] = []
    refusal: SettingRefused | None = None
    decisions = track.decisions()
    if only is not None:
        decisions = np.intersect1d(np.asarray(decisions, dtype=np.int64), only).tolist()
    for i in decisions:
        end = track.end_of(i + 1)
        try:
            both = (_trade(track, i, end, Side.LONG), _trade(track, i, end, Side.SHORT))
            rows.append((i, *both))
        except SettingRefused as fault:
            refusal = refusal or fault
    if not rows and refusal is not None and only is None:
        raise refusal
    return _labels(track, rows, settings.theta_r, code)


@dataclass(frozen=True, slots=True)
class _Result:
    r: float
    bp: float
    exit_candle: int
    known_candle: int
    ambiguous: bool


class _Track:
    """One symbol's candles in exact ticks, with what a decision needs to know of each."""

    def __init__(
        self, candles: pd.DataFrame, interval: str, policy: Policy, settings: LabelSettings
    ) -> None:
        self.ts = ts_ms(candles)
        self.day = day_numbers(self.ts)
        self.length_ms = INTERVAL_MS[interval]
        self.daily = interval == "day"
        self.policy = policy
        self.settings = settings
        self.every = settings.every or EVERY.get(interval, 1)
        self.open, self.high, self.low, self.close = (
            candles[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close")
        )
        self.atr = wilder_atr(self.high, self.low, self.close, ATR_CANDLES)
        # the tick that the decision's own price calls for, as the exchange's table has it
        self.per_rupee = ticks_per_rupee(self.close)
        minute = (self.ts + IST_MS) % DAY_MS // MINUTE_MS
        length = self.length_ms // MINUTE_MS
        first, last = _minutes(settings, "entry_from"), _minutes(settings, "entry_until")
        self._may_enter = (minute >= first) & (minute <= last)
        self._in_time = minute + length <= _minutes(settings, "square_off")
        self._moves_by_atr = any(needs_of(policy))
        self._ready: tuple[int, float, list[Bar]] = (-1, 0.0, [])  # first candle, grid, bars

    def decisions(self) -> Sequence[int]:
        """Return the candles after whose close a trade can be entered."""
        n = len(self.ts)
        if self.daily:
            return range(0, n - 1, self.every)
        same_day = self.day[1:] == self.day[:-1]
        possible = same_day & self._may_enter[1:] & self._in_time[1:]
        # counted from the day's first candle, so that a missing day shifts no other
        place = np.arange(n) - np.searchsorted(self.day, self.day)
        chosen = possible & (place[:-1] % self.every == 0)
        return [int(i) for i in np.flatnonzero(chosen)]

    def end_of(self, entry: int) -> int:
        """Return the index after the last candle that a trade entered there may live in."""
        if self.daily:
            return entry + 1
        end = int(np.searchsorted(self.day, self.day[entry], side="right"))
        if self.settings.horizon_candles is not None:
            end = min(end, entry + self.settings.horizon_candles)
        while end > entry + 1 and not self._in_time[end - 1]:
            end -= 1
        return end

    def bars(self, entry: int, end: int, per_rupee: float) -> list[Bar]:
        """Return the candles from one up to another (exclusive) of a day, in ticks.

        The whole day is made at once and kept for the day's other decisions.
        """
        start = entry if self.daily else int(np.searchsorted(self.day, self.day[entry]))
        if self._ready[:2] != (start, per_rupee):
            stop = int(np.searchsorted(self.day, self.day[entry], side="right"))
            columns = [
                _in_ticks(column[start:stop], per_rupee)
                for column in (self.open, self.high, self.low, self.close)
            ]
            # an ATR that no level asks for would only be carried along
            atr = _in_ticks(self.atr[start:stop], per_rupee) if self._moves_by_atr else repeat(None)
            made = [Bar(*row) for row in zip(*columns, atr, strict=False)]
            self._ready = (start, per_rupee, made)
        return self._ready[2][entry - start : end - start]


def _trade(track: _Track, decision: int, end: int, side: Side) -> _Result:
    """Run one side's trade.

    Raises
    ------
    agent.errors.SettingRefused
        If the policy does not fit the grid at this price.
    """
    per_rupee = float(track.per_rupee[decision])
    tick = Decimal(1) / Decimal(per_rupee) if per_rupee >= 1 else Decimal(5)
    entry_candle = decision + 1
    bars = track.bars(entry_candle, end, per_rupee)
    half = _half_spread(bars[0].open, track.settings.spread_bps)
    entry_ticks = bars[0].open + side.sign * half
    exact_tick = Fraction(tick)
    entry = entry_ticks * exact_tick
    quantity = max(1, int(track.settings.notional_rupees / float(entry)))
    on = EPOCH + timedelta(days=int(track.day[entry_candle]))
    atr = _in_ticks(track.atr[decision : decision + 1], per_rupee)[0]
    plan = plan_for(
        track.policy,
        side=side,
        entry=entry,
        tick_size=tick,
        quantity=quantity,
        on=on,
        atr=None if atr is None else atr * exact_tick,
    )
    left = replay_bars(plan, bars)
    exit_price = max(left.price - side.sign * half * exact_tick, exact_tick)
    net = side.sign * (exit_price - entry) - _charges(entry, exit_price, quantity, on, side)
    risk = abs(entry - plan.stop * exact_tick)
    at = entry_candle + left.index
    # an unsure exit was compared with what came later, up to the last candle at worst
    known = end - 1 if left.ambiguous else at
    return _Result(float(net / risk), float(net / entry) * 1e4, at, known, left.ambiguous)


def _half_spread(price: int | Fraction, spread_bps: float) -> Fraction:
    """Return half the spread in ticks: a multiple of half a tick, at least one."""
    halves = float(price) * spread_bps / 1e4
    return Fraction(max(1, int(np.ceil(halves - 1e-9))), 2)


def _charges(entry: Fraction, exit_: Fraction, quantity: int, on: date, side: Side) -> Fraction:
    """Return the charges of both orders in rupees a share."""
    rates = rates_for("MIS", "NSE", on)
    total = 0
    for transaction, price in ((side.entry_transaction, entry), (side.exit_transaction, exit_)):
        value = price * quantity * 100
        total += charges_on(rates, transaction, value.numerator, value.denominator).total
    return Fraction(total, 100 * quantity)


def _labels(
    track: _Track, rows: Sequence[tuple[int, _Result, _Result]], theta: float, code: int
) -> Labels:
    candle = np.array([row[0] for row in rows], dtype=np.int64)
    entry = candle + 1

    def column(side: int, name: str) -> Any:
        return np.array([getattr(row[side], name) for row in rows])

    r_long, r_short = column(1, "r").astype(float), column(2, "r").astype(float)
    known = np.maximum(column(1, "known_candle"), column(2, "known_candle")).astype(np.int64)

    def ends(index: Any) -> Ints:
        return np.asarray(track.ts[index.astype(np.int64)] + track.length_ms)

    return Labels(
        symbol=np.full(len(rows), code, dtype=np.int64),
        candle=candle,
        day=track.day[entry],
        decided_ms=track.ts[candle] + track.length_ms,
        entry_ms=track.ts[entry],
        exit_long_ms=ends(column(1, "exit_candle")),
        exit_short_ms=ends(column(2, "exit_candle")),
        known_ms=ends(known),
        r_long=r_long,
        r_short=r_short,
        bp_long=column(1, "bp").astype(float),
        bp_short=column(2, "bp").astype(float),
        ambiguous=column(1, "ambiguous").astype(bool) | column(2, "ambiguous").astype(bool),
        y=classes(r_long, r_short, theta),
    )


def classes(r_long: Floats, r_short: Floats, theta: float) -> Ints:
    """Return LONG where `r_long > max(r_short, theta)`, SHORT mirrored, else FLAT."""
    long = r_long > np.maximum(r_short, theta)
    short = r_short > np.maximum(r_long, theta)
    return np.where(long, LONG, np.where(short, SHORT, FLAT)).astype(np.int64)


def sample_weights(labels: Labels) -> Floats:
    """Return how much of an observation of its own each label is; the mean is 1.

    Uniqueness (Lopez de Prado 2018, ch. 4): one over the number of labels alive, averaged over
    the label's life, over ALL symbols: one day's market move is one observation, not fifty.
    A label with an ambiguous exit has half the weight.
    """
    starts, ends = labels.entry_ms, labels.known_ms
    slots = np.unique(np.concatenate([starts, ends]))
    first, last = np.searchsorted(slots, starts), np.searchsorted(slots, ends)
    change = np.bincount(first, minlength=len(slots)) - np.bincount(last, minlength=len(slots))
    alive = np.cumsum(change)[:-1]
    length = np.diff(slots)
    share = np.concatenate([[0.0], np.cumsum(length / np.maximum(alive, 1))])
    unique = (share[last] - share[first]) / (slots[last] - slots[first])
    weight = unique * np.where(labels.ambiguous, 0.5, 1.0)
    return np.asarray(weight / weight.mean())


def wilder_atr(high: Floats, low: Floats, close: Floats, window: int) -> Floats:
    """Return the average true range, Wilder smoothing [1]_.

    Parameters
    ----------
    high, low, close : float64 array of shape (n_candles,), rupees, oldest first
    window : int, candles

    Returns
    -------
    float64 array of shape (n_candles,), rupees; NaN for the first `window - 1`

    References
    ----------
    .. [1] Wilder (1978), New Concepts in Technical Trading Systems, ch. 3.
    """
    before = np.concatenate([close[:1], close[:-1]])
    true_range = np.maximum(high, before) - np.minimum(low, before)
    if len(true_range):
        true_range[0] = high[0] - low[0]
    atr = np.full(len(high), np.nan)
    if len(high) < window:
        return atr
    value = float(true_range[:window].mean())
    atr[window - 1] = value
    for i in range(window, len(high)):
        value += (float(true_range[i]) - value) / window
        atr[i] = value
    return atr


def _in_ticks(prices: Floats, per_rupee: float) -> list[Any]:
    """Return prices in ticks: ints on the grid, Fractions off it, None for NaN."""
    exact = prices * per_rupee
    nearest = np.rint(exact)
    on_grid = np.abs(exact - nearest) < 1e-6
    return [
        int(whole) if on else _off_grid(value)
        for value, whole, on in zip(exact.tolist(), nearest.tolist(), on_grid.tolist(), strict=True)
    ]


def _off_grid(ticks: float) -> Fraction | None:
    return None if np.isnan(ticks) else Fraction(round(ticks * OFF_GRID_PARTS), OFF_GRID_PARTS)


def _minutes(settings: LabelSettings, name: str) -> int:
    text = getattr(settings, name)
    try:
        at = time.fromisoformat(text)
    except ValueError as fault:
        raise SettingRefused(
            f"labels.{name}", given=text, allowed="HH:MM", fix="write it as 09:20"
        ) from fault
    return at.hour * 60 + at.minute
