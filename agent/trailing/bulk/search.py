"""One policy over many positions: arrays in, arrays out, whoever compiled the kernels.

Pure, and without numba: the caller hands the kernels over (flows/sweep/kernels.py has them made
ahead of time; agent/trailing/bulk/loops.py has numba make them). numpy is imported here, so the
agent's own core imports this module nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agent.errors import check
from agent.trailing.bulk.layout import FITS, P_SCALE, P_UNITS, POLICY_SIZE, RULE_SIZE
from agent.trailing.bulk.scale import ATR_PARTS
from agent.trailing.rules import ceil_ticks

Ints = npt.NDArray[np.int64]
WALK_SIZE = 7  # columns that candles.walk fills
NO_TRACE: Ints = np.zeros((2, 0), np.int64)


class Loops(Protocol):
    """The compiled loops (loops.py says what each takes)."""

    @property
    def over_ticks(self) -> Callable[..., Any]:
        """Many positions over ticks."""

    @property
    def over_candles(self) -> Callable[..., Any]:
        """Many positions over candles."""

    @property
    def always_in(self) -> Callable[..., Any]:
        """One position after another."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions to run; int64 arrays of shape (n,) unless a name says otherwise.

    Parameters
    ----------
    sign : +1 LONG, -1 SHORT
    entry : `1/scale` tick
    first, last : its first tick or candle, and the one after its last
    atr : ATR at entry, `1/ATR_PARTS` tick; 0 while unknown
    breakeven : shape (n, 2)
        See `resolve`; zeros unless the policy locks the breakeven (`breakeven_of` fills it).
    """

    sign: Ints
    entry: Ints
    first: Ints
    last: Ints
    atr: Ints
    breakeven: Ints

    def __len__(self) -> int:
        return len(self.sign)


@dataclass(frozen=True, slots=True)
class Atr:
    """When the current ATR becomes another: int64 arrays of shape (n_changes,).

    Parameters
    ----------
    at : the tick with which it is known, or the candle with whose close it is
    value : `1/ATR_PARTS` tick
    """

    at: Ints
    value: Ints


def atr_changes(values: npt.NDArray[np.float64], per_rupee: float) -> Atr:
    """Return the changes of an ATR column.

    Parameters
    ----------
    values : float64 array of shape (n,), rupees; not positive or NaN keeps the last
    per_rupee : float, ticks a rupee
    """
    parts = np.rint(np.nan_to_num(values) * per_rupee * ATR_PARTS).astype(np.int64)
    at = np.flatnonzero(parts > 0)
    new = np.ones(len(at), np.bool_)
    new[1:] = parts[at[1:]] != parts[at[:-1]]
    return Atr(at[new], parts[at[new]])


def breakeven_of(charges: Sequence[Fraction], sign: Ints, entry: Ints, vector: Ints) -> Ints:
    """Return `Positions.breakeven` for a policy.

    Parameters
    ----------
    charges : sequence of Fraction, ticks a share
        `charges.round_trip_per_share` of each position, over the tick size.
    sign, entry : as in `Positions`
    vector : the policy vector
    """
    units, scale = int(vector[P_UNITS]), int(vector[P_SCALE])
    rows = np.zeros((len(charges), 2), np.int64)
    for n, (charge, side, price) in enumerate(
        zip(charges, sign.tolist(), entry.tolist(), strict=True)
    ):
        level = Fraction(side * price, scale) + charge
        rows[n, 0] = -(-charge.numerator * units // charge.denominator)
        rows[n, 1] = ceil_ticks(level.numerator, level.denominator)
    return rows


@dataclass(frozen=True, slots=True)
class TickExits:
    """Where positions over ticks ended; int64 arrays of shape (n,).

    Parameters
    ----------
    fits : FITS, or why the policy cannot be traded at this entry (layout.py): the rest is then 0
    index : the tick of the exit; `last` where there was none
    reason : END, STOP or TARGET
    stop, target : signed ticks, in force then
    """

    fits: Ints
    index: Ints
    reason: Ints
    stop: Ints
    target: Ints


@dataclass(frozen=True, slots=True)
class CandleExits:
    """Where positions over candles may have ended; int64 arrays of shape (n,).

    Parameters
    ----------
    fits : as in `TickExits`
    index, reason, move : the pessimistic member: candle, reason, `1/scale` tick of P&L a share
    best_index, best_reason, best_move : the optimistic one; the band is from `move` to `best_move`
    ambiguous : candles that left the exit, or its kind, unsure
    """

    fits: Ints
    index: Ints
    reason: Ints
    move: Ints
    best_index: Ints
    best_reason: Ints
    best_move: Ints
    ambiguous: Ints


def over_ticks(
    loops: Loops, vector: Ints, prices: Ints, positions: Positions, atr: Atr
) -> TickExits:
    """Run one policy over many positions on ticks.

    Parameters
    ----------
    loops : Loops
    vector : int64 array of shape (POLICY_SIZE,), `scale.vector_of`
    prices : int64 array of shape (n_ticks,), `1/scale` tick
    positions : Positions
    atr : Atr

    Raises
    ------
    Broken
        If an array has the wrong shape, or a position leaves the data (`check_prices` apart).
    """
    _check(vector, positions, len(prices))
    out = np.zeros((len(positions), 5), np.int64)
    loops.over_ticks(
        vector, prices, *_columns(positions), atr.at, atr.value, NO_TRACE, _rules(), out
    )
    return TickExits(*np.ascontiguousarray(out.T))


def trace(
    loops: Loops, vector: Ints, prices: Ints, position: Positions, atr: Atr
) -> tuple[TickExits, Ints]:
    """Run one position, and return both signed levels after each tick too.

    Returns
    -------
    (TickExits, int64 array of shape (2, ticks survived))
        A column is (stop, target) in signed ticks after that tick; the exit's own is left out.
    """
    check(len(position) == 1, "one position is traced at a time", given=len(position))
    _check(vector, position, len(prices))
    unset = -(2**63)
    levels = np.full((2, len(prices)), unset, np.int64)
    out = np.zeros((1, 5), np.int64)
    rules = _rules()
    loops.over_ticks(vector, prices, *_columns(position), atr.at, atr.value, levels, rules, out)
    first, index = int(position.first[0]), int(out[0, 1])
    levels = levels[:, first:index]
    moved = np.where(levels[0] != unset, np.arange(levels.shape[1]), 0)
    # the kernel writes the initial levels at the first tick: every later one finds one to its left
    return TickExits(*np.ascontiguousarray(out.T)), levels[:, np.maximum.accumulate(moved)]


def over_candles(
    loops: Loops, vector: Ints, candles: Ints, positions: Positions, atr: Atr
) -> CandleExits:
    """Run one policy over many positions on candles.

    Parameters
    ----------
    loops : Loops
    vector : int64 array of shape (POLICY_SIZE,), `scale.vector_of`
    candles : int64 array of shape (4, n_candles), open, high, low, close, `1/scale` tick
    positions : Positions, each with at least one candle
    atr : Atr

    Raises
    ------
    Broken
        As `over_ticks`.
    """
    _check(vector, positions, candles.shape[1])
    check(bool((positions.first < positions.last).all()), "a position needs at least one candle")
    out = np.zeros((len(positions), WALK_SIZE + 1), np.int64)
    loops.over_candles(vector, candles, *_columns(positions), atr.at, atr.value, _rules(), out)
    index, reason, move, best_index, best_reason, best_move, ambiguous, fits = out.T
    return CandleExits(fits, index, reason, move, best_index, best_reason, best_move, ambiguous)


def always_in(
    loops: Loops, vector: Ints, prices: Ints, *, sign: int, atr: Atr, atr_at_entry: int = 0
) -> Ints:
    """Run one position after another, each entered at the tick after the last one's exit.

    Returns
    -------
    int64 array of shape (n_positions, 3): entry's tick, exit's tick (n_ticks at the end), reason

    Raises
    ------
    Broken
        If the policy does not fit one of the entries.
    """
    check(len(vector) == POLICY_SIZE, "not a policy vector", length=len(vector))
    rows = 4096
    while True:
        out = np.zeros((rows + 1, 3), np.int64)
        loops.always_in(
            vector, prices, sign, atr_at_entry, atr.at, atr.value, NO_TRACE, _rules(), out
        )
        count, why = int(out[-1, 0]), int(out[-1, 1])
        check(why == FITS, "the policy does not fit an entry", refusal=why, position=count)
        if count < rows:
            return out[:count]
        rows *= 8


def check_prices(prices: Ints) -> None:
    """Check prices (of candles: the lows) once a series: a kernel looks at none twice.

    Raises
    ------
    Broken
        If one is not above 0.
    """
    check(len(prices) == 0 or int(prices.min()) > 0, "prices are above 0")


def _check(vector: Ints, positions: Positions, length: int) -> None:
    check(len(vector) == POLICY_SIZE, "not a policy vector", length=len(vector))
    inside = (positions.first >= 0) & (positions.first <= positions.last)
    inside &= (positions.last <= length) & (positions.entry > 0)
    check(bool(inside.all()), "a position lies inside the data and has an entry above 0")


def _columns(positions: Positions) -> tuple[Ints, ...]:
    return (
        positions.sign, positions.entry, positions.first, positions.last, positions.atr,
        positions.breakeven,
    )  # fmt: skip


def _rules() -> Ints:
    return np.zeros(RULE_SIZE, np.int64)
