"""Many positions over ticks, compiled: spans in which nothing can happen are skipped. numba.

Between two events the levels stand and every price from just above the stop to `high` changes
nothing: `high` is the least of the best price so far (or, before the activation, the last price
short of it), the price below the target, and the price up to which `min_gap` holds the stop. A
price outside is run through the whole step; so the thresholds decide speed, never the result.
"""

# ruff: noqa: C901, PLR0912, PLR0913, PLR0917  (a kernel has no objects, and one loop)
# numba infers the types, 64-bit integers all
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numba

from agent.trailing.bulk.layout import (
    ABSENT,
    END,
    R_ACTIVATION,
    R_ACTIVATION_KNOWN,
    R_ATR,
    R_BASE,
    R_ENTRY,
    R_FLOOR,
    R_FORM,
    R_GAIN,
    R_GAIN_OVER,
    R_GAP,
    R_HAS_TARGET,
    R_LOCK_FROM,
    R_MAX_DISTANCE,
    R_SCALE,
    R_SIGN,
    R_STOP,
    R_STOP_READY,
    R_TARGET,
    R_TARGET_READY,
    STOP,
    TARGET,
)
from agent.trailing.bulk.resolve import compiled, first_from, resolve, stop_level, target_level
from agent.trailing.rules import LINEAR

FAR = 2**62


@compiled
def run(policy, rules, breakeven, level_at, prices, first, last, atr_at, atr_value, trace):
    """Run one position whose rules are resolved; return (index, reason, stop, target).

    Parameters
    ----------
    policy, rules, breakeven, level_at : see `resolve`
    prices : int array of shape (n_ticks,), `1/scale` tick
    first, last : int
        Its first tick, and the one after its last.
    atr_at, atr_value : int64 arrays of shape (n_changes,)
        The ticks with which the ATR becomes another, and what it becomes (`1/atr_parts` tick).
    trace : int64 array of shape (2, n_ticks) or (2, 0)
        Signed stop and target after each tick that moved one are written here.

    Returns
    -------
    tuple of int: the exit's tick (or `last`), its reason, the signed levels then
    """
    sign, entry, scale = rules[R_SIGN], rules[R_ENTRY], rules[R_SCALE]
    stop, target = rules[R_STOP], rules[R_TARGET]
    has_target = rules[R_HAS_TARGET] != 0
    atr = rules[R_ATR]
    change = first_from(atr_at, first)
    until = min(last, atr_at[change]) if change < len(atr_at) else last
    move, level, stale = numba.int64(0), -FAR, True
    i = first
    if trace.shape[1] and first < last:
        trace[0, i], trace[1, i] = stop, target
    while True:
        low = stop * scale - sign * entry  # favourable moves: at or below it the stop is hit
        goal = target * scale - sign * entry if has_target else FAR
        active = rules[R_ACTIVATION_KNOWN] == 0 or move >= rules[R_ACTIVATION]
        high = min(move if active else rules[R_ACTIVATION] - 1, goal - 1)
        if active and (stale or level > stop):
            high = min(high, low + rules[R_GAP] * scale)
        if sign > 0:
            i = skip(prices, i, until, entry + low + 1, entry + high)
        else:
            i = skip(prices, i, until, entry - high, entry - low - 1)
        if i >= last:
            return last, END, stop, target
        favourable = sign * (prices[i] - entry)
        if favourable <= low:
            return i, STOP, stop, target
        if favourable >= goal:
            return i, TARGET, stop, target
        stale |= favourable > move
        move = max(move, favourable)
        if change < len(atr_at) and i == atr_at[change]:
            if rules[R_ATR] == 0:
                resolve(policy, sign, entry, atr_value[change], breakeven, level_at, rules)
            atr, stale = atr_value[change], True
            change += 1
            until = min(last, atr_at[change]) if change < len(atr_at) else last
        if rules[R_ACTIVATION_KNOWN] == 0 or move >= rules[R_ACTIVATION]:
            if stale:
                level = stop_level(rules, move, atr) if rules[R_STOP_READY] != 0 else -FAR
                if rules[R_TARGET_READY] != 0:
                    target = max(target, target_level(rules, move))
                stale = False
            # the least tick at or above the price, less the gap: nearer no stop is ever set
            limit = -((-(favourable + sign * entry)) // scale) - rules[R_GAP]
            stop = max(stop, min(level, limit))
        if trace.shape[1]:
            trace[0, i], trace[1, i] = stop, target
        i += 1


@compiled
def skip(prices, i, until, low, high):
    """Return the first tick from `i` on outside [low, high], or `until`."""
    while i + 8 <= until:
        outside = False
        for k in range(8):
            price = prices[i + k]
            outside |= (price < low) | (price > high)
        if outside:
            break
        i += 8
    while i < until and low <= prices[i] <= high:
        i += 1
    return i


@compiled
def is_plain(rules):
    """Whether the rules are a stop at one distance behind the best price, and nothing else."""
    return (
        rules[R_FORM] == LINEAR
        and rules[R_GAIN] == rules[R_GAIN_OVER]
        and rules[R_SCALE] == 1
        and rules[R_ACTIVATION_KNOWN] != 0
        and rules[R_ACTIVATION] == 0
        and rules[R_LOCK_FROM] == ABSENT
        and rules[R_MAX_DISTANCE] == ABSENT
        and rules[R_FLOOR] == 0
        and rules[R_HAS_TARGET] == 0
        and rules[R_STOP_READY] != 0
        and rules[R_GAP] <= rules[R_BASE] - rules[R_STOP]
    )


@compiled
def run_plain(prices, first, last, sign, best, distance):
    """Return the tick at which a plain trail is hit, or `last`.

    Parameters
    ----------
    prices : int array of shape (n_ticks,), ticks
    first, last : int
    sign : int
    best : int, signed ticks, the entry
    distance : int, ticks from the best price to the stop
    """
    i = first
    while i + 8 <= last:
        outside = False
        low = best - distance
        for k in range(8):
            price = sign * prices[i + k]
            outside |= (price > best) | (price <= low)
        if outside:
            for k in range(8):
                price = sign * prices[i + k]
                best = max(best, price)
                if price <= best - distance:
                    return i + k
        i += 8
    while i < last:
        price = sign * prices[i]
        best = max(best, price)
        if price <= best - distance:
            return i
        i += 1
    return last
