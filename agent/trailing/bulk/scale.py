"""The arithmetic of the bulk path, once: which numbers are exact, and when a scale is refused.

* A price, an entry and a favourable move are whole `1/scale` ticks. `scale` is the caller's: 1 on
  the grid, 2 where an entry lies between two ticks. A price that is no whole part cannot be given.
* An ATR is a whole `1/ATR_PARTS` tick. Wilder's value never ends (each candle makes its
  denominator 14 times longer), so it is rounded to that, half to even; given that value the bulk
  path and the step function agree exactly.
* A distance is whole `1/units` tick. `units` is the least common multiple of `scale` and of what
  makes the policy's own decimals whole: "1%" of an entry in `1/scale` tick needs 100 x scale,
  "2.5atr" needs 2 x ATR_PARTS. So every distance at every entry is exact, and there is one `units`
  for a policy, not one for each position.
* A ratio (share, multiple, follow, the volatility clip) is numerator and denominator; a level is
  one division of whole numbers, with the step function's snap of 1e-9 tick applied to its rest.

Everything is a signed 64-bit integer without a check for overflow in the kernels. `vector_of`
therefore bounds every product that a kernel forms, by the largest entry, move and ATR that it is
told of, and refuses a policy whose bound reaches 2**62: ten times finer decimals than a person
writes still fit; for the rest there is the step function, which has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm

from agent.errors import SettingRefused
from agent.trailing.bulk import layout as at
from agent.trailing.distance import ATR, PERCENT, Distance
from agent.trailing.plan import needs_of
from agent.trailing.policy import Policy
from agent.trailing.policy_keys import BREAKEVEN
from agent.trailing.rules import ATR_MULTIPLE, LINEAR, LINEAR_WITH_FLOOR, STEPPED

ATR_PARTS = 1000
BOUND = 2**62
FORMS = {"percent": LINEAR, "hybrid": LINEAR_WITH_FLOOR, "atr": ATR_MULTIPLE}


@dataclass(frozen=True, slots=True)
class Range:
    """How large the numbers of a series get.

    Parameters
    ----------
    entry : int, `1/scale` tick
        The highest price.
    move : int, `1/scale` tick
        Highest less lowest price: no favourable move is larger.
    atr : int, `1/ATR_PARTS` tick
        The highest ATR; 0 where there is none.
    atr_least : int, `1/ATR_PARTS` tick
        The lowest known one, at least 1.
    """

    entry: int
    move: int
    atr: int
    atr_least: int = 1


def vector_of(policy: Policy, tick_size: Decimal, scale: int, within: Range) -> list[int]:
    """Return the policy vector of one policy.

    Parameters
    ----------
    policy : Policy
    tick_size : Decimal, rupees
    scale : int, price parts a tick
    within : Range

    Returns
    -------
    list of int, POLICY_SIZE long (layout.py)

    Raises
    ------
    SettingRefused
        If the policy has what the bulk path does not do ([whipsaw], [signal]), named; or numbers
        so fine that a product could leave 64 bits.
    """
    refuse_undone(policy)
    distances = _distances(policy)
    per = {name: _per(distance, tick_size, scale) for name, distance in distances.items()}
    units = lcm(scale, *(part.denominator for parts in per.values() for part in parts))
    vector = [0] * at.POLICY_SIZE
    vector[at.P_UNITS], vector[at.P_SCALE], vector[at.P_ATR_PARTS] = units, scale, ATR_PARTS
    for number, name in enumerate(at.DISTANCES):
        if name in per:
            place = at.D_STOP + 4 * number
            vector[place : place + 4] = [1, *(int(part * units) for part in per[name])]
    _ratios(policy, vector)
    needs_stop, needs_target = needs_of(policy)
    vector[at.P_STOP_NEEDS], vector[at.P_TARGET_NEEDS] = int(needs_stop), int(needs_target)
    vector[at.P_BREAKEVEN] = int(policy.lock == BREAKEVEN)
    largest = _largest(vector, within)
    if largest >= BOUND:
        raise SettingRefused(
            policy.source,
            given=f"distances in 1/{units} of a tick, products up to 2**{largest.bit_length()}",
            allowed="products below 2**62",
            fix="give the policy's numbers fewer decimals, or replay it through the step function",
        )
    return vector


def refuse_undone(policy: Policy) -> None:
    """Refuse by name what the bulk path does not do; [planner] and [overtrading] are not its own.

    Raises
    ------
    SettingRefused
        For [whipsaw] and [signal]: ignoring one would give another policy's result.
    """
    whipsaw, signal = policy.whipsaw, policy.signal
    found = None
    if whipsaw.soft_band is not None or whipsaw.outlier is not None:
        found = "[whipsaw]"
    elif signal.extend_only_while_agrees or signal.tighten_on_flip is not None:
        found = "[signal]"
    if found is not None:
        raise SettingRefused(
            f"{policy.source}: {found}",
            given=f"{found} in the bulk path",
            allowed="modes, guards, target, follow and the volatility table",
            fix=f"remove {found} for the search and judge it with replay or the backtest",
        )


def _distances(policy: Policy) -> dict[str, Distance]:
    found = {name: getattr(policy, name) for name in at.DISTANCES if name != "lock"}
    if isinstance(policy.lock, Distance):
        found["lock"] = policy.lock
    return {name: distance for name, distance in found.items() if distance is not None}


def _per(distance: Distance, tick_size: Decimal, scale: int) -> tuple[Fraction, Fraction, Fraction]:
    """Return what a distance is, in ticks: in itself, per entry part, per ATR part."""
    nothing = Fraction(0)
    if distance.unit == PERCENT:
        return nothing, distance.amount / scale, nothing
    if distance.unit == ATR:
        return nothing, nothing, distance.amount / ATR_PARTS
    return distance.amount / Fraction(tick_size), nothing, nothing


def _ratios(policy: Policy, vector: list[int]) -> None:
    fixed = policy.mode == "fixed"
    form = (LINEAR if policy.continuous else STEPPED) if fixed else FORMS[policy.mode]
    vector[at.P_FORM], vector[at.P_CONTINUOUS] = form, int(policy.continuous)
    share = policy.share or Fraction(0)
    nearest = policy.min_distance
    multiple = policy.multiple or Fraction(0)
    if nearest is not None and nearest.needs_atr:
        multiple = nearest.amount
    # from parts of an ATR straight to units, in lowest terms: the smallest products
    multiple *= Fraction(vector[at.P_UNITS], ATR_PARTS)
    floor, cap = policy.volatility or (Fraction(0), Fraction(0))
    for place, ratio in (
        (at.P_GAIN, share), (at.P_MULTIPLE, multiple), (at.P_FLOOR, floor), (at.P_CAP, cap),
        (at.P_FOLLOW, policy.follow),
    ):  # fmt: skip
        vector[place], vector[place + 1] = ratio.numerator, ratio.denominator


def _largest(vector: list[int], within: Range) -> int:
    """Return a bound on every product that the kernels form."""
    units, scale = vector[at.P_UNITS], vector[at.P_SCALE]
    sizes = []
    for number in range(len(at.DISTANCES)):
        _, alone, per_entry, per_atr = vector[at.D_STOP + 4 * number : at.D_STOP + 4 * number + 4]
        sizes.append(alone + per_entry * within.entry + per_atr * within.atr)
    best = (within.move * units) // scale + units
    farthest = max(*sizes, best, units)
    gain, over = vector[at.P_GAIN], vector[at.P_GAIN_OVER]
    if vector[at.P_CONTINUOUS]:
        gain, over = farthest, farthest
    by_atr, by_atr_over = vector[at.P_MULTIPLE] * within.atr, vector[at.P_MULTIPLE_OVER]
    away = max(2 * farthest * max(over, gain), by_atr)
    over = max(over, by_atr_over)
    compared = max(2 * farthest * max(over, gain) * by_atr_over, by_atr * over)
    if vector[at.P_FLOOR]:
        clip = max(vector[at.P_FLOOR : at.P_CAP_OVER + 1])
        compared = max(compared, within.atr * clip)
        ratio = max(within.atr, clip)
        away, over = away * ratio, over * ratio
    follow_over = vector[at.P_FOLLOW_OVER] * (farthest if vector[at.P_CONTINUOUS] else 1)
    driven = farthest * max(gain, 1) if vector[at.P_CONTINUOUS] else farthest
    extension = max(vector[at.P_FOLLOW] * driven, farthest * follow_over)
    return max(
        compared,
        2 * farthest * over + away,
        units * over,
        2 * farthest * follow_over + extension,
        units * follow_over,
        within.entry * units,
    )
