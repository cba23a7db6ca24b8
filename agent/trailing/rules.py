"""The numbers that a step computes with: one plan, resolved to whole numbers of `1/units` tick.

Pure data, its two roundings, and the one question asked of it alone. Everything is signed: a price
is `sign * price`, so LONG and SHORT share one formula. plan.py fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

STEPPED, LINEAR, ATR_MULTIPLE, LINEAR_WITH_FLOOR = range(4)  # the forms of the candidate
SNAP = 10**9  # a value within 1e-9 of a tick of a grid point is that grid point


def ceil_ticks(numerator: int | Fraction, denominator: int) -> int:
    """Return the tick at or above a ratio of integers (or of an off-grid price: a Fraction)."""
    return -((denominator - numerator * SNAP) // (denominator * SNAP))


def floor_ticks(numerator: int | Fraction, denominator: int) -> int:
    """Return the tick at or below a ratio."""
    return (numerator * SNAP + denominator) // (denominator * SNAP)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a step computes with. Whole numbers of `1/units` tick unless a name says ticks.

    Parameters
    ----------
    sign : int
    units : int
        How many make one tick.
    entry : int
        Signed.
    stop_distance, target_distance : int
    form : int
        `STEPPED`, `LINEAR`, `ATR_MULTIPLE` or `LINEAR_WITH_FLOOR`.
    step, move : int
        The stop of `STEPPED` moves by `move` for each whole `step`.
    gain, gain_over : int
        Ratio: how much of the favourable move a `LINEAR` stop follows.
    multiple, multiple_over : int
        Ratio: the current ATR times this is the distance (or the least one); 0: not by ATR.
    min_distance : int
        The least distance of `LINEAR_WITH_FLOOR` where it is not by ATR.
    activation, lock_from : int
        Favourable moves from which they act; `lock_from` is None without a lock.
    lock_ticks : int
        Signed level of the lock, rounded toward the market.
    max_distance, tighten : int
        -1 where there is none.
    gap_ticks : int
    floor, cap : tuple of int
        Ratios of the volatility guard; `(0, 0)` where there is none.
    drive, drive_over : int
        Ratio: how much of the favourable move drives the target, `STEPPED` apart.
    follow, follow_over, max_extension : int
        `max_extension` is -1 where there is none.
    soft_band, outlier : int
        -1 where there is none, or while it is in ATR and none is known.
    confirm_trades, confirm_ms : int
        Trades, milliseconds.
    stop_ready, target_ready, tighten_ready : bool
        Whether every ATR that the level needs is known (and, of the target, whether it follows
        at all).
    screens : bool
        Whether the policy confirms breaches or watches for outliers.
    atr : Fraction, ticks, or None
        The ATR at entry.
    """

    sign: int
    units: int
    entry: int
    stop_distance: int
    target_distance: int
    form: int
    step: int
    move: int
    gain: int
    gain_over: int
    multiple: int
    multiple_over: int
    min_distance: int
    activation: int
    lock_from: int | None
    lock_ticks: int
    max_distance: int
    tighten: int
    gap_ticks: int
    floor: tuple[int, int]
    cap: tuple[int, int]
    drive: int
    drive_over: int
    follow: int
    follow_over: int
    max_extension: int
    soft_band: int
    outlier: int
    confirm_trades: int
    confirm_ms: int
    stop_ready: bool
    target_ready: bool
    tighten_ready: bool
    screens: bool
    atr: Fraction | None


def keeps_pace(rules: Rules) -> bool:
    """Whether the target runs ahead as fast as the price, so that only a jump can reach it."""
    if not rules.target_ready or rules.max_extension >= 0:
        return False
    least = 2 * rules.units
    if rules.form == STEPPED:
        follows = rules.follow * rules.move >= rules.follow_over * rules.step
        return follows and rules.target_distance >= least + rules.step
    follows = rules.follow * rules.drive >= rules.follow_over * rules.drive_over
    return follows and rules.target_distance >= least
