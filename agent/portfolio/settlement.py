"""What may be delivered and what must be: settled, T1 and pledged shares, shorts not bought back.

Rule 1: a CNC position's shares are settled, T1 or of today by the day of their lots (settlement
is T+1: what was bought in the previous session arrives during this one); pledged ones are the
broker's figure. CNC exits only what is sellable.
Rule 2: an intraday short that is still open after the broker's square-off is not a position any
more that an order of ours could close: it goes to the exchange's auction (`SHORT_DELIVERY`),
with 120 % of the day's close blocked, and the loss guard counts it there at once.
Sources: NSE auction and close-out rules as in Zerodha's support pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Final, Literal

from agent.errors import check
from agent.market.instruments import Side
from agent.portfolio.lots import Fill, Paise, Position, PositionState
from agent.portfolio.pnl import Portfolio, Slot, with_position

BLOCKED: Final = Fraction(120, 100)  # of the day's close, until the auction has settled
EQUITY: Final = frozenset({"NSE", "BSE"})


@dataclass(frozen=True, slots=True)
class Settlement:
    """The shares of one CNC position by where they are; `bought` are today's."""

    key: str
    bought: int
    t1: int
    settled: int
    pledged: int

    def sellable(self, *, t1: bool = True) -> int:
        """Return the shares that a CNC SELL may have.

        Parameters
        ----------
        t1 : bool
            Whether shares that have not arrived may be sold (not in trade-to-trade series; where
            they may, a seller who was short-delivered lands in the auction in our place).
        """
        return max(self.bought + self.settled + (self.t1 if t1 else 0) - self.pledged, 0)


def settlement(portfolio: Portfolio, key: str, previous_session: date, pledged: int) -> Settlement:
    """Return where the shares of an instrument's CNC position are.

    Parameters
    ----------
    previous_session : date
        The trading day before the portfolio's.
    pledged : int, shares
        The broker's `collateral_quantity`.
    """
    position = portfolio.positions.get((key, "CNC"))
    bought = t1 = settled = 0
    for lot in position.lots if position is not None and position.side is Side.LONG else ():
        if lot.opened_on >= portfolio.on:
            bought += lot.quantity
        elif lot.opened_on >= previous_session:
            t1 += lot.quantity
        else:
            settled += lot.quantity
    return Settlement(key, bought, t1, settled, pledged)


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An intraday position that outlived the square-off, and the money it ties up, paise."""

    slot: Slot
    side: Side
    quantity: int
    blocked: int
    kind: Literal["SHORT_DELIVERY", "LONG_DELIVERY"]
    words: str


def after_square_off(
    portfolio: Portfolio, closes: Mapping[str, Paise]
) -> tuple[Portfolio, tuple[Undelivered, ...]]:
    """Return the portfolio after the broker's square-off, and what it left open in shares.

    Parameters
    ----------
    closes : mapping of key to paise
        The day's closes; without one the last mark stands in.

    Notes
    -----
    A long that was left open becomes a delivery that must be paid in full; it is reported and
    stays as it is until the broker shows it as CNC.
    """
    found: list[Undelivered] = []
    for slot, position in portfolio.positions.items():
        if position.segment not in EQUITY or position.product not in {"MIS", "CO"}:
            continue
        close = closes.get(position.key, position.mark)
        if position.side is Side.LONG:
            value = -(-position.quantity * Fraction(close) // 1)
            words = f"{position.key}: {position.quantity} bought intraday are delivered in full"
            found.append(
                Undelivered(slot, Side.LONG, position.quantity, value, "LONG_DELIVERY", words)
            )
        elif position.state is not PositionState.SHORT_DELIVERY:
            blocked, portfolio = _to_auction(portfolio, slot, position, Fraction(close))
            found.append(blocked)
    return portfolio, tuple(found)


def _to_auction(
    portfolio: Portfolio, slot: Slot, position: Position, close: Fraction
) -> tuple[Undelivered, Portfolio]:
    worst = -(-close * BLOCKED // 1)
    words = (
        f"{position.key}: {position.quantity} sold short were not bought back: auction, "
        "120 % of the close is blocked"
    )
    changed = replace(position, state=PositionState.SHORT_DELIVERY, why=words, guard_mark=worst)
    blocked = Undelivered(
        slot, Side.SHORT, position.quantity, worst * position.quantity, "SHORT_DELIVERY", words
    )
    return blocked, with_position(portfolio, slot, changed)


def in_delivery(position: Position) -> Paise:
    """Return the money that a short in delivery blocks, paise; 0 for any other position."""
    worst = position.guard_mark
    if worst is None or position.state is not PositionState.SHORT_DELIVERY:
        return 0
    return position.quantity * worst


def blocked_paise(portfolio: Portfolio) -> Paise:
    """Return the money that all shorts in delivery block, paise."""
    return sum(in_delivery(position) for position in portfolio.positions.values())


def auction_fill(position: Position, price: Paise, on: date, ts_ms: int) -> Fill:
    """Return the trade that an auction (or close-out) settles a short with.

    Raises
    ------
    Broken
        If the position is not a short in delivery.
    """
    check(
        position.state is PositionState.SHORT_DELIVERY,
        "only a short in delivery goes to the auction",
        position=position.key,
        state=position.state.value,
    )
    name = f"auction-{position.key}-{on.isoformat()}"
    return Fill(
        name, name, position.key, position.product, position.segment, "BUY", position.quantity,
        price, on, ts_ms,
    )  # fmt: skip


def close_out_price(highest_since_trade: Paise, reference_close: Paise) -> Paise:
    """Return the price where the auction found no shares, paise.

    The higher of the highest price since the trading day and 20 % above a reference close.
    """
    return max(highest_since_trade, -(-Fraction(reference_close) * BLOCKED // 1))


def locked_short_mark(last: Paise) -> int:
    """Return where the loss guard counts a short that is locked at its upper circuit: +20 %."""
    return -(-Fraction(last) * BLOCKED // 1)
