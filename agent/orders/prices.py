"""At which price does an order of ours leave? Integer ticks, one formula for both sides.

Entry: LIMIT at the best opposite price plus `max_slip`. Protection: SL whose limit lies a gap
beyond its trigger. Exit: LIMIT through the best opposite price, wider rung by rung. Every price
stays inside the day's circuit band, and an exit's rounding goes with the slip (away from us), so
that a price meant to trade does trade.
"""

from __future__ import annotations

from agent.core.rules import EntryRules, ProtectRules
from agent.core.values import Band, Quote
from agent.market.instruments import Instrument, Side

BP = 10_000


def slip_ticks(price: int, bp: int) -> int:
    """Return a share of a price in whole ticks, rounded up, at least one tick."""
    return max(1, -(-price * bp // BP))


def entry_limit(side: Side, quote: Quote, rules: EntryRules) -> int | None:
    """Return an entry's limit, ticks; None while nobody offers the other side."""
    best = quote.ask if side is Side.LONG else quote.bid
    if best is None:
        return None
    return max(1, best + side.sign * slip_ticks(best, rules.max_slip_bp))


def exit_limit(side: Side, quote: Quote, slip_bp: int, band: Band | None) -> int:
    """Return the limit of an exit of a position on `side`, ticks.

    Where nobody bids (a LONG) or offers (a SHORT), the last price stands in.
    """
    best = quote.bid if side is Side.LONG else quote.ask
    start = quote.last if best is None else best
    return within(max(1, start - side.sign * slip_ticks(start, slip_bp)), band)


def protect_gap(
    instrument: Instrument, trigger: int, atr_minute: float | None, rules: ProtectRules
) -> int:
    """Return how far a protective limit lies beyond its trigger, ticks.

    The largest of 1 %, 2 ATR (1 min) and 5 ticks; in F&O at most the exchange's 3 %.
    """
    share = rules.gap_share
    gap = max(-(-trigger * share.numerator // share.denominator), rules.gap_ticks)
    if atr_minute is not None:
        ratio = rules.gap_atr
        gap = max(gap, int(atr_minute * ratio.numerator / ratio.denominator) + 1)
    if instrument.is_derivative:
        cap = rules.derivative_gap_share
        gap = min(gap, trigger * cap.numerator // cap.denominator)
    return max(gap, 1)


def protect_limit(side: Side, trigger: int, gap: int, band: Band | None) -> int:
    """Return the limit of a protective order, ticks, inside the circuit band."""
    return within(max(1, trigger - side.sign * gap), band)


def within(price: int, band: Band | None) -> int:
    """Clamp a price into the day's circuit band."""
    return price if band is None else min(max(price, band.lower), band.upper)
