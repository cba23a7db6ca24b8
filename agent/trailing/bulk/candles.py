"""Many positions over candles, compiled: certain, ambiguous or not hit, and the band. numba.

The rule is agent/trailing/candles.py's. A candle whose low is above the best stop that may be in
force and whose high can move no level says nothing: spans of such candles are skipped.
"""

# ruff: noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917  (a kernel has no objects, and one loop)
# numba infers the types, 64-bit integers all
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numba

from agent.trailing.bulk.layout import (
    END,
    R_ACTIVATION,
    R_ACTIVATION_KNOWN,
    R_ATR,
    R_CAP,
    R_CAP_OVER,
    R_ENTRY,
    R_FLOOR,
    R_FLOOR_OVER,
    R_FORM,
    R_GAP,
    R_HAS_TARGET,
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
from agent.trailing.rules import ATR_MULTIPLE

FAR = 2**62
# What `walk` answers of one position: the pessimistic and the optimistic member, candles unsure.
W_INDEX, W_REASON, W_PRICE, W_BEST_INDEX, W_BEST_REASON, W_BEST_PRICE, W_AMBIGUOUS = range(7)
WALK_SIZE = 7


@compiled
def walk(policy, rules, breakeven, level_at, candles, first, last, atr_at, atr_value, out, n):
    """Run one position whose rules are resolved over its candles; fill `out`.

    Parameters
    ----------
    policy, rules, breakeven, level_at : see `resolve`
    candles : int64 array of shape (4, n_candles)
        Open, high, low, close in `1/scale` tick.
    first, last : int
        Its first candle, and the one after its last; `first < last`.
    atr_at, atr_value : int64 arrays of shape (n_changes,)
        The candles with whose close the ATR becomes another, and what (`1/atr_parts` tick).
    out : int64 array of shape (n_positions, at least WALK_SIZE); row `n` is filled
        A price there is a favourable move, `1/scale` tick.
    """
    sign, entry, scale = rules[R_SIGN], rules[R_ENTRY], rules[R_SCALE]
    signed_entry = sign * entry
    stop, target, upper = rules[R_STOP], rules[R_TARGET], rules[R_STOP]
    has_target = rules[R_HAS_TARGET] != 0
    atr = rules[R_ATR]
    change = first_from(atr_at, first)
    until = min(last, atr_at[change]) if change < len(atr_at) else last
    move, level, stale = numba.int64(0), -FAR, True
    out[n, W_PRICE], out[n, W_BEST_PRICE], out[n, W_AMBIGUOUS] = FAR, -FAR, 0
    i = first
    while True:
        bottom = stop * scale - signed_entry  # favourable moves, as everything below
        goal = target * scale - signed_entry if has_target else FAR
        active = rules[R_ACTIVATION_KNOWN] == 0 or move >= rules[R_ACTIVATION]
        if not (active and stale):
            top = min(move if active else rules[R_ACTIVATION] - 1, goal - 1)
            if active and level > stop:
                top = min(top, bottom + rules[R_GAP] * scale)
            i = _skip(candles, i, until, sign, entry, upper * scale - signed_entry, top)
            if i >= last:
                break
        opened, closed = sign * (candles[0, i] - entry), sign * (candles[3, i] - entry)
        if sign > 0:
            high, low = candles[1, i] - entry, candles[2, i] - entry
        else:
            high, low = entry - candles[2, i], entry - candles[1, i]
        if opened <= bottom or opened >= goal:
            _take(out, n, i, STOP if opened <= bottom else TARGET, opened, opened)
            return
        before = move
        stale |= high > move
        move = max(move, high)
        stop_then, target_then = stop, target
        if rules[R_ACTIVATION_KNOWN] == 0 or move >= rules[R_ACTIVATION]:
            if stale:
                level = stop_level(rules, move, atr) if rules[R_STOP_READY] != 0 else -FAR
                if rules[R_TARGET_READY] != 0:
                    target_then = max(target, target_level(rules, move))
                stale = False
            limit = -((-(high + signed_entry)) // scale) - rules[R_GAP]
            stop_then = max(stop, min(level, limit))
            upper = max(upper, stop_then)
            if rules[R_FLOOR] != 0 and rules[R_STOP_READY] != 0 and move > before:
                upper = max(upper, _best_between(rules, before, move, limit, atr))
        certain = _judge(
            out, n, i, low, high, closed, bottom, stop_then * scale - signed_entry,
            upper * scale - signed_entry, goal, target_then * scale - signed_entry,
        )  # fmt: skip
        if certain:
            return
        stop, target = stop_then, target_then
        if change < len(atr_at) and i == atr_at[change]:
            if rules[R_ATR] == 0:
                resolve(policy, sign, entry, atr_value[change], breakeven, level_at, rules)
            atr, stale = atr_value[change], True
            change += 1
            until = min(last, atr_at[change]) if change < len(atr_at) else last
        i += 1
        if i >= last:
            break
    close = sign * (candles[3, last - 1] - entry)
    _take(out, n, last - 1, END, close, close)


@compiled
def _skip(candles, i, until, sign, entry, bottom, top):
    """Return the first candle from `i` on with a low at or below `bottom`, or a high above `top`.

    Both bounds are favourable moves.
    """
    least, most = (
        (entry + bottom + 1, entry + top) if sign > 0 else (entry - top, entry - bottom - 1)
    )
    while i < until and candles[2, i] >= least and candles[1, i] <= most:
        i += 1
    return i


@compiled
def _judge(out, n, i, low, high, closed, bottom, stop_then, upper, goal, goal_then):
    """Take in the candle's possible exits; return whether the position surely ended."""
    stopped, reached = low <= upper, high >= goal
    if not (stopped or reached):
        return False
    certain = False
    if stopped:
        certain = low <= bottom or closed <= stop_then
        _take(out, n, i, STOP, low, upper)
    if reached:
        certain = certain or high >= goal_then
        _take(out, n, i, TARGET, goal, high)
    if not certain or (stopped and reached):
        out[n, W_AMBIGUOUS] += 1
    return certain


@compiled
def _take(out, n, i, reason, low, high):
    """Keep the worst and the best member of the set; of equals the earlier."""
    if low < out[n, W_PRICE]:
        out[n, W_INDEX], out[n, W_REASON], out[n, W_PRICE] = i, reason, low
    if high > out[n, W_BEST_PRICE]:
        out[n, W_BEST_INDEX], out[n, W_BEST_REASON], out[n, W_BEST_PRICE] = i, reason, high


@compiled
def _best_between(rules, before, move, limit, atr):
    """Return the best signed stop that a best move on the way would have given (`S"`).

    Only a volatility ratio above 1 lets the candidate fall while the move grows.
    """
    best = -FAR
    over, ratio = rules[R_ATR], atr
    if ratio * rules[R_FLOOR_OVER] < rules[R_FLOOR] * over:
        ratio, over = rules[R_FLOOR], rules[R_FLOOR_OVER]
    elif ratio * rules[R_CAP_OVER] > rules[R_CAP] * over:
        ratio, over = rules[R_CAP], rules[R_CAP_OVER]
    if ratio <= over or rules[R_FORM] == ATR_MULTIPLE:
        return best
    scale, signed_entry = rules[R_SCALE], rules[R_SIGN] * rules[R_ENTRY]
    between = before
    while between < move:
        if between >= rules[R_ACTIVATION]:
            best = max(best, min(stop_level(rules, between, atr), limit))
        between = ((signed_entry + between) // scale + 1) * scale - signed_entry
    return best
