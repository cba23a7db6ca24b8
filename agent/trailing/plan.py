"""A policy at one entry: every distance a whole number of small units, so that a step is integers.

Pure. Order of work: distances in exact ticks, the rules of the entry checked, then `Rules`: the
same distances multiplied by `units`, the least number that makes all of them and the entry whole.
Distances in ATR wait until an ATR is known; `rules_at` is then called again with it.
Everything in `Rules` is signed: a price is `sign * price`, so LONG and SHORT share one formula.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

from agent.errors import SettingRefused
from agent.market.charges import round_trip_per_share
from agent.market.instruments import Side
from agent.trailing.distance import ABSOLUTE, Distance
from agent.trailing.policy_keys import BREAKEVEN
from agent.trailing.rules import (
    ATR_MULTIPLE,
    LINEAR,
    LINEAR_WITH_FLOOR,
    STEPPED,
    Rules,
    ceil_ticks,
    floor_ticks,
)

if TYPE_CHECKING:
    from agent.trailing.policy import Policy


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy resolved for one position.

    Parameters
    ----------
    policy : Policy
    side : Side
    entry : Fraction, rupees
    tick_size : Decimal, rupees
    average : Fraction, rupees
        The average entry after a scale-in; only the lock looks at it.
    breakeven : Fraction, rupees a share, or None
    stop, target : int, ticks
        Initial levels; target None where there is none.
    rules : Rules
        As far as the ATR at entry is known at the open.
    """

    policy: Policy
    side: Side
    entry: Fraction
    tick_size: Decimal
    average: Fraction
    breakeven: Fraction | None
    stop: int
    target: int | None
    rules: Rules

    def price(self, ticks: int) -> Decimal:
        """Return a level in rupees, with the tick's decimals."""
        return self.tick_size * ticks

    def ticks(self, rupees: Decimal | Fraction) -> int | Fraction:
        """Return a price or an ATR in ticks: an int on the grid, else a Fraction."""
        exact = Fraction(rupees) / Fraction(self.tick_size)
        return exact.numerator if exact.denominator == 1 else exact

    def distance_ticks(self, distance: Distance, atr: Fraction | None = None) -> Fraction | None:
        """Return a distance of the policy in ticks; None where its ATR is not known."""
        return _in_ticks(
            distance, self.entry / Fraction(self.tick_size), Fraction(self.tick_size), atr
        )

    def with_average(self, average: Fraction) -> Plan:
        """Return the plan after a scale-in: the average entry moves the lock and nothing else."""
        moved = replace(self, average=Fraction(average))
        return replace(moved, rules=rules_at(moved, self.rules.atr))


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of a position when its plan is made; units as in `policy.plan_for`."""

    side: Side
    entry: Fraction | Decimal
    tick_size: Decimal
    quantity: int | None = None
    on: date | None = None
    atr: Decimal | Fraction | None = None


def build_plan(policy: Policy, opening: Opening) -> Plan:
    """Do what `policy.plan_for` promises.

    Raises
    ------
    SettingRefused
        Naming both keys and numbers of the rule that the policy breaks at this entry.
    """
    for name, value in (("entry", opening.entry), ("tick_size", opening.tick_size)):
        if not value > 0:
            raise SettingRefused(
                name, given=str(value), allowed="a price above 0", fix="give it in rupees"
            )
    exact_entry, tick = Fraction(opening.entry), Fraction(opening.tick_size)
    atr = Fraction(opening.atr) / tick if opening.atr is not None and opening.atr > 0 else None
    entry, sign = exact_entry / tick, opening.side.sign

    def at_open(key: str, distance: Distance) -> Fraction:
        size = _in_ticks(distance, entry, tick, atr)
        if size is None:
            raise SettingRefused(
                f"{policy.source}: {key}",
                given=f"{key} = {distance.text!r} and no ATR at entry",
                allowed="an ATR that is known at the open",
                fix="give --atr, or an atr column whose first accepted row has one",
            )
        return size

    stop_distance = at_open("stop", policy.stop)
    target_distance = at_open("target", policy.target) if policy.target is not None else None
    bare = Plan(
        policy=policy,
        side=opening.side,
        entry=exact_entry,
        tick_size=opening.tick_size,
        average=exact_entry,
        breakeven=_breakeven(policy, exact_entry, opening.quantity, opening.on),
        stop=sign * _ceil(sign * entry - stop_distance),
        target=None if target_distance is None else sign * _floor(sign * entry + target_distance),
        rules=None,  # type: ignore[arg-type]  # filled below, before anybody sees it
    )
    plan = replace(bare, rules=rules_at(bare, atr))
    _refuse_levels(plan, stop_distance, target_distance)
    _refuse_pairs(plan, atr)
    return plan


def rules_at(plan: Plan, atr: Fraction | None, *, units_of: int = 1) -> Rules:
    """Return what a step computes with, once an ATR at entry is known (or is not).

    Parameters
    ----------
    plan : Plan
        Its `rules` are not looked at.
    atr : Fraction, ticks, or None
    units_of : int
        The new `units` are a multiple of this, so that older whole numbers stay whole.
    """
    policy, tick, sign = plan.policy, Fraction(plan.tick_size), plan.side.sign
    entry, average = plan.entry / tick, plan.average / tick
    sizes = _sizes(plan, atr)
    lock = _lock_ticks(plan, atr)
    units = lcm(
        units_of,
        entry.denominator,
        average.denominator,
        lock.denominator if lock else 1,
        *(size.denominator for size in sizes.values() if size),
    )

    def whole(name: str, absent: int = 0) -> int:
        value = sizes[name]
        return absent if value is None else int(value * units)

    gap_size = plan.distance_ticks(policy.min_gap, atr) if policy.min_gap else None
    gap = max(1, _ceil(gap_size)) if gap_size is not None else 1
    needs = needs_of(policy)
    form, gain, gain_over = _form(policy, whole("move"), whole("step"))
    multiple = _multiple(policy)
    floor, cap = policy.volatility or (None, None)
    return Rules(
        sign=sign,
        units=units,
        entry=int(sign * entry * units),
        stop_distance=whole("stop"),
        target_distance=whole("target"),
        form=form,
        step=whole("step"),
        move=whole("move"),
        gain=gain,
        gain_over=gain_over,
        multiple=multiple.numerator,
        multiple_over=multiple.denominator,
        min_distance=0 if multiple else whole("min_distance"),
        activation=whole("activation"),
        lock_from=None if lock is None else int((lock + gap + sign * (average - entry)) * units),
        lock_ticks=0 if lock is None else _ceil(sign * average + lock),
        max_distance=whole("max_distance", -1),
        tighten=whole("tighten", -1),
        gap_ticks=gap,
        floor=(floor.numerator, floor.denominator) if floor else (0, 0),
        cap=(cap.numerator, cap.denominator) if cap else (0, 0),
        drive=gain if policy.continuous else 1,
        drive_over=gain_over if policy.continuous else 1,
        follow=policy.follow.numerator,
        follow_over=policy.follow.denominator,
        max_extension=whole("max_extension", -1),
        soft_band=whole("soft_band", -1),
        outlier=whole("outlier", -1),
        confirm_trades=policy.whipsaw.confirm_trades or 1,
        confirm_ms=policy.whipsaw.confirm_ms or 0,
        stop_ready=atr is not None or not needs[0],
        target_ready=plan.target is not None
        and policy.follow > 0
        and (atr is not None or not needs[1]),
        tighten_ready=policy.signal.tighten_on_flip is None or sizes["tighten"] is not None,
        screens=policy.whipsaw.soft_band is not None or policy.whipsaw.outlier is not None,
        atr=atr,
    )


def _sizes(plan: Plan, atr: Fraction | None) -> dict[str, Fraction | None]:
    """Return every distance that a step compares with, in ticks; None: absent, or ATR unknown."""
    policy = plan.policy
    distances = {
        "stop": policy.stop,
        "target": policy.target,
        "step": policy.step,
        "move": policy.move,
        "min_distance": policy.min_distance,
        "activation": policy.activation,
        "max_distance": policy.max_distance,
        "max_extension": policy.max_extension,
        "tighten": policy.signal.tighten_on_flip,
        "soft_band": policy.whipsaw.soft_band,
        "outlier": policy.whipsaw.outlier,
    }
    return {
        name: None if distance is None else plan.distance_ticks(distance, atr)
        for name, distance in distances.items()
    }


def needs_of(policy: Policy) -> tuple[bool, bool]:
    """Return whether the stop, and whether the target, needs an ATR to move (trailing: ATR forms).

    The initial distances are not among them: an ATR that they need is known at the open.
    """
    lock = policy.lock if isinstance(policy.lock, Distance) else None
    of_stop = (
        policy.step, policy.move, policy.min_distance, policy.activation, lock,
        policy.max_distance, policy.min_gap,
    )  # fmt: skip
    of_target = (policy.activation, policy.step, policy.move, policy.max_extension)
    return (
        policy.mode == "atr"
        or policy.volatility is not None
        or any(d is not None and d.needs_atr for d in of_stop),
        any(d is not None and d.needs_atr for d in of_target),
    )


def _form(policy: Policy, move: int, step: int) -> tuple[int, int, int]:
    if policy.mode == "fixed":
        return (LINEAR, move, max(step, 1)) if policy.continuous else (STEPPED, 0, 1)
    share = policy.share or Fraction(0)
    if policy.mode == "percent":
        return LINEAR, share.numerator, share.denominator
    if policy.mode == "hybrid":
        return LINEAR_WITH_FLOOR, share.numerator, share.denominator
    return ATR_MULTIPLE, 0, 1


def _multiple(policy: Policy) -> Fraction:
    if policy.multiple is not None:
        return policy.multiple
    nearest = policy.min_distance
    return nearest.amount if nearest is not None and nearest.needs_atr else Fraction(0)


def _in_ticks(
    distance: Distance, entry: Fraction, tick: Fraction, atr: Fraction | None
) -> Fraction | None:
    return distance.amount / tick if distance.unit == ABSOLUTE else distance.over(entry, atr)


def _lock_ticks(plan: Plan, atr: Fraction | None) -> Fraction | None:
    if plan.policy.lock == BREAKEVEN:
        return None if plan.breakeven is None else plan.breakeven / Fraction(plan.tick_size)
    if isinstance(plan.policy.lock, Distance):
        return plan.distance_ticks(plan.policy.lock, atr)
    return None


def _breakeven(
    policy: Policy, entry: Fraction, quantity: int | None, on: date | None
) -> Fraction | None:
    if policy.lock != BREAKEVEN:
        return None
    if quantity is None or on is None:
        raise SettingRefused(
            f"{policy.source}: lock",
            given='lock = "breakeven" without a quantity',
            allowed="a quantity: the charges a share depend on it",
            fix="give --qty N",
        )
    return round_trip_per_share(entry, quantity, on)


def _ceil(value: Fraction) -> int:
    return ceil_ticks(value.numerator, value.denominator)


def _floor(value: Fraction) -> int:
    return floor_ticks(value.numerator, value.denominator)


def rupees(value: Fraction) -> str:
    """Return an exact amount as a person reads it."""
    return f"{float(value):.10g}"


def _refuse_levels(plan: Plan, stop_distance: Fraction, target_distance: Fraction | None) -> None:
    policy, tick = plan.policy, Fraction(plan.tick_size)
    least: list[tuple[str, Distance, Fraction, int]] = [("stop", policy.stop, stop_distance, 2)]
    if policy.target is not None and target_distance is not None:
        least.append(("target", policy.target, target_distance, 1))
    gap = plan.distance_ticks(policy.min_gap, plan.rules.atr) if policy.min_gap else None
    if policy.min_gap is not None and gap is not None:
        least.append(("min_gap", policy.min_gap, gap, 1))
    for key, distance, size, ticks in least:
        if size < ticks:
            raise SettingRefused(
                f"{policy.source}: {key}",
                given=f"{key} = {distance.text} ({rupees(size * tick)} rupees)",
                allowed=f"at least {ticks} tick{'s' * (ticks > 1)} of tick_size = "
                f"{plan.tick_size} ({plan.tick_size * ticks} rupees)",
                fix=f"raise {key}",
            )
    levels: tuple[tuple[str, Distance | None, int | None, Fraction | None], ...] = (
        ("stop", policy.stop, plan.stop, stop_distance),
        ("target", policy.target, plan.target, target_distance),
    )
    for key, given, level, away in levels:
        if given is not None and away is not None and level is not None and level <= 0:
            raise SettingRefused(
                f"{policy.source}: {key}",
                given=f"{key} = {given.text}, which is at {rupees(plan.entry - away * tick)} "
                f"for entry = {rupees(plan.entry)}",
                allowed=f"a {key} above 0",
                fix=f"lower {key}",
            )


def _refuse_pairs(plan: Plan, atr: Fraction | None) -> None:
    policy = plan.policy
    tick = Fraction(plan.tick_size)
    pairs: tuple[tuple[str, Distance | str | None, str, Distance | None], ...] = (
        ("move", policy.move, "step", policy.step),
        ("lock", policy.lock, "activation", policy.activation),
        ("min_distance", policy.min_distance, "max_distance", policy.max_distance),
    )
    for low, lower, high, upper in pairs:
        if lower is None or upper is None:
            continue
        smaller = (
            plan.distance_ticks(lower, atr)
            if isinstance(lower, Distance)
            else _lock_ticks(plan, atr)
        )
        larger = plan.distance_ticks(upper, atr)
        if smaller is not None and larger is not None and smaller > larger:
            told = lower.text if isinstance(lower, Distance) else lower
            raise SettingRefused(
                f"{policy.source}: {low}",
                given=f"{low} = {told} ({rupees(smaller * tick)} rupees)",
                allowed=f"at most {high} = {upper.text} ({rupees(larger * tick)} rupees)",
                fix=f"lower {low} or raise {high}",
            )
