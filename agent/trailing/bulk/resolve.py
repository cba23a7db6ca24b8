"""A policy at one entry, compiled: what plan.py does, in 64-bit integers. Imports numba.

The arithmetic is scale.py's. Everything is signed, so LONG and SHORT share one formula; a level
is whole ticks, a distance `1/units` tick, a price and a favourable move `1/scale` tick.
"""

# ruff: noqa: PLR0913, PLR0917, PLR1714  (a kernel has no objects, and one loop)
# numba infers the types, 64-bit integers all
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numba

from agent.trailing.bulk.layout import (
    ABSENT,
    D_ACTIVATION,
    D_LOCK,
    D_MAX_DISTANCE,
    D_MAX_EXTENSION,
    D_MIN_DISTANCE,
    D_MIN_GAP,
    D_MOVE,
    D_STEP,
    D_STOP,
    D_TARGET,
    FITS,
    GAP_TOO_SMALL,
    LEVEL_NOT_POSITIVE,
    NO_ATR,
    P_BREAKEVEN,
    P_CAP,
    P_CAP_OVER,
    P_CONTINUOUS,
    P_FLOOR,
    P_FLOOR_OVER,
    P_FOLLOW,
    P_FOLLOW_OVER,
    P_FORM,
    P_GAIN,
    P_GAIN_OVER,
    P_MULTIPLE,
    P_MULTIPLE_OVER,
    P_SCALE,
    P_STOP_NEEDS,
    P_TARGET_NEEDS,
    P_UNITS,
    PAIR_CROSSED,
    R_ACTIVATION,
    R_ACTIVATION_KNOWN,
    R_ATR,
    R_BASE,
    R_BEYOND,
    R_CAP,
    R_CAP_OVER,
    R_DRIVE,
    R_DRIVE_OVER,
    R_ENTRY,
    R_FLOOR,
    R_FLOOR_OVER,
    R_FOLLOW,
    R_FOLLOW_OVER,
    R_FORM,
    R_GAIN,
    R_GAIN_OVER,
    R_GAP,
    R_HAS_TARGET,
    R_LOCK_FROM,
    R_LOCK_LEVEL,
    R_MAX_DISTANCE,
    R_MAX_EXTENSION,
    R_MIN_DISTANCE,
    R_MOVE,
    R_MULTIPLE,
    R_MULTIPLE_OVER,
    R_PER_PART,
    R_SCALE,
    R_SIGN,
    R_STEP,
    R_STOP,
    R_STOP_DISTANCE,
    R_STOP_READY,
    R_TARGET,
    R_TARGET_DISTANCE,
    R_TARGET_READY,
    R_UNITS,
    STOP_TOO_NEAR,
    TARGET_TOO_NEAR,
)
from agent.trailing.rules import ATR_MULTIPLE, LINEAR_WITH_FLOOR, SNAP, STEPPED

compiled = numba.njit(cache=True, error_model="numpy", boundscheck=False)


@compiled
def ceil_ratio(top, over):
    """Return the whole number at or above a ratio, or just below it by 1e-9 (rules.ceil_ticks)."""
    whole = top // over
    return whole + 1 if top - whole * over > over // SNAP else whole


@compiled
def floor_ratio(top, over):
    """Return the whole number at or below a ratio, or just above it by 1e-9."""
    whole = top // over
    rest = top - whole * over
    return whole + 1 if over - rest <= over // SNAP else whole


@compiled
def first_from(rising, value):
    """Return the index of the first entry of a rising array that is at least `value`."""
    low, high = 0, len(rising)
    while low < high:
        middle = (low + high) // 2
        if rising[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def size_of(policy, at, entry, atr):
    """Return a distance in `1/units` tick; ABSENT where there is none, or its ATR is unknown."""
    if policy[at] == 0 or (policy[at + 3] != 0 and atr == 0):
        return ABSENT
    return policy[at + 1] + policy[at + 2] * entry + policy[at + 3] * atr


@compiled
def resolve(policy, sign, entry, atr, breakeven, breakeven_level, rules):
    """Fill the rule vector; return FITS, or why the policy cannot be traded at this entry.

    Parameters
    ----------
    policy : int64 array of shape (POLICY_SIZE,)
    sign, entry : int, entry in `1/scale` tick
    atr : int, `1/atr_parts` tick; 0 while unknown
    breakeven, breakeven_level : int
        The round trip's charges a share, rounded up to `1/units` tick, and the level they give,
        in signed ticks; read only where the policy locks the breakeven.
    rules : int64 array of shape (RULE_SIZE,), filled
    """
    scale, units = policy[P_SCALE], policy[P_UNITS]
    per_part = units // scale
    base = (sign * entry) // scale
    beyond = (sign * entry - base * scale) * per_part
    rules[R_SIGN], rules[R_ENTRY], rules[R_PER_PART], rules[R_UNITS] = sign, entry, per_part, units
    rules[R_BASE], rules[R_BEYOND], rules[R_SCALE], rules[R_ATR] = base, beyond, scale, atr
    _distances(policy, entry, atr, rules)
    _form(policy, rules)
    _lock(policy, breakeven, breakeven_level, rules)

    stop = size_of(policy, D_STOP, entry, atr)
    target = size_of(policy, D_TARGET, entry, atr)
    has_target = policy[D_TARGET] != 0
    rules[R_STOP_DISTANCE], rules[R_TARGET_DISTANCE] = stop, target
    rules[R_HAS_TARGET] = has_target
    rules[R_STOP] = base + ceil_ratio(beyond - stop, units)
    rules[R_TARGET] = base + floor_ratio(beyond + target, units)
    rules[R_STOP_READY] = atr != 0 or policy[P_STOP_NEEDS] == 0
    rules[R_TARGET_READY] = (
        has_target and policy[P_FOLLOW] > 0 and (atr != 0 or policy[P_TARGET_NEEDS] == 0)
    )
    if stop == ABSENT or (has_target and target == ABSENT):
        return NO_ATR
    if stop < 2 * units:
        return STOP_TOO_NEAR
    if has_target and target < units:
        return TARGET_TOO_NEAR
    gap = size_of(policy, D_MIN_GAP, entry, atr)
    if gap != ABSENT and gap < units:
        return GAP_TOO_SMALL
    if sign * rules[R_STOP] <= 0 or (has_target and sign * rules[R_TARGET] <= 0):
        return LEVEL_NOT_POSITIVE
    return _pairs(policy, breakeven, rules)


@compiled
def _distances(policy, entry, atr, rules):
    for at, into in (
        (D_STEP, R_STEP), (D_MOVE, R_MOVE), (D_MIN_DISTANCE, R_MIN_DISTANCE),
        (D_MAX_DISTANCE, R_MAX_DISTANCE), (D_MAX_EXTENSION, R_MAX_EXTENSION),
    ):  # fmt: skip
        rules[into] = size_of(policy, at, entry, atr)
    rules[R_STEP] = max(rules[R_STEP], 0)
    rules[R_MOVE] = max(rules[R_MOVE], 0)
    activation = size_of(policy, D_ACTIVATION, entry, atr)
    rules[R_ACTIVATION_KNOWN] = activation != ABSENT or policy[D_ACTIVATION] == 0
    # the first favourable move, in whole price parts, that reaches it
    per_part = rules[R_PER_PART]
    rules[R_ACTIVATION] = -((-max(activation, 0)) // per_part)
    gap = size_of(policy, D_MIN_GAP, entry, atr)
    rules[R_GAP] = max(1, ceil_ratio(gap, rules[R_UNITS])) if gap != ABSENT else 1


@compiled
def _form(policy, rules):
    form = policy[P_FORM]
    rules[R_FORM] = form
    rules[R_GAIN], rules[R_GAIN_OVER] = policy[P_GAIN], policy[P_GAIN_OVER]
    rules[R_DRIVE], rules[R_DRIVE_OVER] = 1, 1
    if policy[P_CONTINUOUS] != 0:
        rules[R_GAIN], rules[R_GAIN_OVER] = rules[R_MOVE], max(rules[R_STEP], 1)
        rules[R_DRIVE], rules[R_DRIVE_OVER] = rules[R_GAIN], rules[R_GAIN_OVER]
    rules[R_MULTIPLE] = policy[P_MULTIPLE]
    rules[R_MULTIPLE_OVER] = policy[P_MULTIPLE_OVER]
    if policy[P_MULTIPLE] != 0 or rules[R_MIN_DISTANCE] == ABSENT:
        rules[R_MIN_DISTANCE] = 0
    rules[R_FLOOR], rules[R_FLOOR_OVER] = policy[P_FLOOR], policy[P_FLOOR_OVER]
    rules[R_CAP], rules[R_CAP_OVER] = policy[P_CAP], policy[P_CAP_OVER]
    rules[R_FOLLOW], rules[R_FOLLOW_OVER] = policy[P_FOLLOW], policy[P_FOLLOW_OVER]


@compiled
def _lock(policy, breakeven, breakeven_level, rules):
    rules[R_LOCK_FROM], rules[R_LOCK_LEVEL] = ABSENT, 0
    units = rules[R_UNITS]
    gap = rules[R_GAP] * units
    if policy[P_BREAKEVEN] != 0:
        rules[R_LOCK_FROM] = breakeven + gap
        rules[R_LOCK_LEVEL] = breakeven_level
        return
    lock = size_of(policy, D_LOCK, rules[R_ENTRY], rules[R_ATR])
    if lock != ABSENT:
        rules[R_LOCK_FROM] = lock + gap
        rules[R_LOCK_LEVEL] = rules[R_BASE] + ceil_ratio(rules[R_BEYOND] + lock, units)


@compiled
def _pairs(policy, breakeven, rules):
    """Refuse a pair of distances the wrong way round, where both are known (plan.py)."""
    entry, atr = rules[R_ENTRY], rules[R_ATR]
    for low, high in (
        (D_MOVE, D_STEP), (D_LOCK, D_ACTIVATION), (D_MIN_DISTANCE, D_MAX_DISTANCE),
    ):  # fmt: skip
        smaller = size_of(policy, low, entry, atr)
        larger = size_of(policy, high, entry, atr)
        if smaller != ABSENT and larger != ABSENT and smaller > larger:
            return PAIR_CROSSED
    activation = size_of(policy, D_ACTIVATION, entry, atr)
    if policy[P_BREAKEVEN] != 0 and activation != ABSENT and breakeven > activation:
        return PAIR_CROSSED
    return FITS


@compiled
def stop_level(rules, move, atr):
    """Return the signed stop by mode and every guard but `min_gap` (ratchet.guarded).

    Parameters
    ----------
    rules : int64 array of shape (RULE_SIZE,)
    move : int, `1/scale` tick
        Best favourable move, at or above the activation.
    atr : int, `1/atr_parts` tick; 0 while unknown
    """
    units = rules[R_UNITS]
    best = move * rules[R_PER_PART]
    form = rules[R_FORM]
    over = numba.int64(1)
    if form == STEPPED:
        away = rules[R_STOP_DISTANCE] + best - rules[R_MOVE] * (best // rules[R_STEP])
    elif form == ATR_MULTIPLE:
        away, over = rules[R_MULTIPLE] * atr, rules[R_MULTIPLE_OVER]
    else:
        over = rules[R_GAIN_OVER]
        away = (rules[R_STOP_DISTANCE] + best) * over - rules[R_GAIN] * best
        if form == LINEAR_WITH_FLOOR:
            least, least_over = rules[R_MIN_DISTANCE], numba.int64(1)
            if rules[R_MULTIPLE] != 0:
                least, least_over = rules[R_MULTIPLE] * atr, rules[R_MULTIPLE_OVER]
            if away * least_over < least * over:
                away, over = least, least_over
    if rules[R_FLOOR] != 0:
        ratio, ratio_over = atr, rules[R_ATR]
        if ratio * rules[R_FLOOR_OVER] < rules[R_FLOOR] * ratio_over:
            ratio, ratio_over = rules[R_FLOOR], rules[R_FLOOR_OVER]
        elif ratio * rules[R_CAP_OVER] > rules[R_CAP] * ratio_over:
            ratio, ratio_over = rules[R_CAP], rules[R_CAP_OVER]
        away *= ratio
        over *= ratio_over
    beyond = rules[R_BEYOND] + best
    level = rules[R_BASE] + ceil_ratio(beyond * over - away, units * over)
    if rules[R_LOCK_FROM] != ABSENT and best >= rules[R_LOCK_FROM]:
        level = max(level, rules[R_LOCK_LEVEL])
    if rules[R_MAX_DISTANCE] != ABSENT:
        near = rules[R_BASE] + ceil_ratio(beyond - rules[R_MAX_DISTANCE], units)
        level = max(level, near)
    return level


@compiled
def target_level(rules, move):
    """Return the signed target that a best move gives (ratchet.target_after, before the ratchet).

    Parameters as `stop_level`.
    """
    best = move * rules[R_PER_PART]
    over = rules[R_FOLLOW_OVER]
    if rules[R_FORM] == STEPPED:
        driver = rules[R_MOVE] * (best // rules[R_STEP])
    else:
        driver = rules[R_DRIVE] * best
        over *= rules[R_DRIVE_OVER]
    extension = rules[R_FOLLOW] * driver
    if rules[R_MAX_EXTENSION] != ABSENT:
        extension = min(extension, rules[R_MAX_EXTENSION] * over)
    level = rules[R_BASE] + floor_ratio(
        (rules[R_BEYOND] + rules[R_TARGET_DISTANCE]) * over + extension, rules[R_UNITS] * over
    )
    return min(level, -1) if rules[R_SIGN] < 0 else level
