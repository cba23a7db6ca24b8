"""The loops over positions that callers use, compiled. Imports numba; allocates nothing.

Three kernels: many positions over ticks, many over candles, and one position after another over
the same ticks ("always in"). flows/sweep/kernels.py compiles them ahead of time.
"""

# ruff: noqa: PLR0913, PLR0917  (a kernel has no objects, and one loop)
# numba infers the types, 64-bit integers all
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from agent.trailing.bulk.candles import WALK_SIZE, walk
from agent.trailing.bulk.layout import END, FITS, R_STOP, STOP
from agent.trailing.bulk.resolve import compiled, resolve
from agent.trailing.bulk.ticks import is_plain, run, run_plain


@compiled
def over_ticks(
    policy, prices, sign, entry, first, last, atr, breakeven, atr_at, atr_value, trace, rules, out
):
    """Run every position over the ticks; a row of `out`: fits, index, reason, stop, target."""
    for n in range(len(sign)):
        units, level = breakeven[n, 0], breakeven[n, 1]
        out[n, 0] = resolve(policy, sign[n], entry[n], atr[n], units, level, rules)
        if out[n, 0] == FITS:
            index, reason, stop, target = run(
                policy, rules, units, level, prices, first[n], last[n], atr_at, atr_value, trace
            )
            out[n, 1], out[n, 2], out[n, 3], out[n, 4] = index, reason, stop, target


@compiled
def over_candles(
    policy, candles, sign, entry, first, last, atr, breakeven, atr_at, atr_value, rules, out
):
    """Run every position over the candles; a row of `out`: as `walk` fills it, then fits."""
    for n in range(len(sign)):
        units, level = breakeven[n, 0], breakeven[n, 1]
        fits = resolve(policy, sign[n], entry[n], atr[n], units, level, rules)
        out[n, WALK_SIZE] = fits
        if fits == FITS:
            walk(policy, rules, units, level, candles, first[n], last[n], atr_at, atr_value, out, n)


@compiled
def always_in(policy, prices, sign, atr, atr_at, atr_value, trace, rules, out):
    """Run one position after another, each entered at the tick after the last one's exit.

    A row of `out`: entry's tick, exit's tick, reason. Its last row is not written: the first
    number there is the count of rows, the second why it ended early (FITS if it did not). `atr`
    is the one at the first entry; a later entry takes the last change before it.
    """
    i, count, why = 0, 0, FITS
    last = len(prices)
    change = 0
    while i < last - 1 and count < len(out) - 1:
        while change < len(atr_at) and atr_at[change] <= i:
            atr = atr_value[change]
            change += 1
        why = resolve(policy, sign, prices[i], atr, 0, 0, rules)
        if why != FITS:
            break
        if is_plain(rules):
            best = sign * prices[i]
            exit_ = run_plain(prices, i + 1, last, sign, best, best - rules[R_STOP])
            reason = STOP if exit_ < last else END
        else:
            exit_, reason, _, _ = run(
                policy, rules, 0, 0, prices, i + 1, last, atr_at, atr_value, trace
            )
        out[count, 0], out[count, 1], out[count, 2] = i, exit_, reason
        count += 1
        i = exit_ + 1
    out[len(out) - 1, 0], out[len(out) - 1, 1] = count, why
