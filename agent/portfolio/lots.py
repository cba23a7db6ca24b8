"""What is held: lots in the order they were filled, closed first in, first out.

Rule 1: pure values. A fill goes in, a position and what it closed come out.
Rule 2: LONG and SHORT are one formula with a sign; a lot's quantity is never negative.
Rule 3: a lot remembers who opened it (signal agent, model version), and what it closes for is
that one's profit or loss, whoever closes it.
Prices are paise: whole for a trade of the exchange, a Fraction for an adopted average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from fractions import Fraction
from typing import Literal

from agent.errors import check
from agent.frozen import replace
from agent.market.charges import NO_CHARGES, Charges
from agent.market.instruments import Side

Paise = int | Fraction


def plain(paise: Paise) -> Paise:
    """Return a whole Fraction as the int that it is."""
    return paise.numerator if paise.denominator == 1 else paise


class PositionState(Enum):
    """How free we are with a position."""

    OPEN = "OPEN"
    FROZEN = "FROZEN"  # no exit by level: a person decides (corporate action, locked circuit)
    SHORT_DELIVERY = "SHORT_DELIVERY"  # a short that was not bought back: the auction settles it


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of the exchange, with the reason we know for it.

    Parameters
    ----------
    trade_id, order_id : str
        The broker's; a trade id counts once within its order.
    key, product, segment : str
        `NSE:INFY`, `MIS`, and the segment of the charges schedule (`NSE`, `NFO-FUT`).
    transaction : {"BUY", "SELL"}
    quantity : int, shares, > 0
    price : int or Fraction, paise
    on : date
        The trading day, for the schedule and for settlement.
    ts_ms : int, epoch ms
    agent, version : str
        Who asked for the entry; empty where unknown (a trade by hand).
    unit : int or Fraction, paise, optional
        The price that the entry was decided at, by which exposure is counted; the fill's own
        where it is left out.
    """

    trade_id: str
    order_id: str
    key: str
    product: str
    segment: str
    transaction: Literal["BUY", "SELL"]
    quantity: int
    price: Paise
    on: date
    ts_ms: int
    agent: str = ""
    version: str = ""
    unit: Paise | None = None

    @property
    def side(self) -> Side:
        """The side that it opens or adds to."""
        return Side.LONG if self.transaction == "BUY" else Side.SHORT


@dataclass(frozen=True, slots=True)
class Lot:
    """Shares of one fill that are still held.

    `day_price` is where the day's profit counts from: the fill's price, or the previous close for
    a lot carried over a night. `unit` is the price it was decided at.
    """

    quantity: int
    price: Paise
    day_price: Paise
    unit: Paise
    opened_on: date
    opened_ms: int
    agent: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """A part of a lot that a fill closed. `gross` counts from the entry, `day_gross` from today."""

    side: Side
    key: str
    product: str
    quantity: int
    entry: Paise
    exit: Paise
    gross: Paise
    day_gross: Paise
    charges: Charges  # the exit's share; the entry's were booked when it filled
    agent: str
    version: str
    opened_on: date
    opened_ms: int
    closed_ms: int


@dataclass(frozen=True, slots=True)
class Position:
    """All lots of one instrument in one product; the broker nets them, so they have one side.

    `cost`, `day_cost` and `unit_cost` are the sums of quantity times the lots' prices. `mark` is
    the last price seen, at first the entry's; `guard_mark` replaces it in the loss guard (a locked
    short at +20 %).
    """

    key: str
    product: str
    segment: str
    side: Side
    lots: tuple[Lot, ...]
    quantity: int
    cost: Paise
    day_cost: Paise
    unit_cost: Paise
    mark: Paise
    guard_mark: Paise | None = None
    state: PositionState = PositionState.OPEN
    why: str = ""
    scaled_out: bool = False  # shares were closed since it was flat: averages differ by method

    @property
    def average(self) -> Fraction:
        """The average entry price, paise, exact."""
        return Fraction(self.cost) / self.quantity

    @property
    def signed(self) -> int:
        """The quantity, negative for a short."""
        return self.side.sign * self.quantity

    @property
    def unrealised(self) -> Paise:
        """Profit or loss of what is held, from its entries to the mark, before charges."""
        return self._against(self.cost, self.mark)

    @property
    def day_unrealised(self) -> Paise:
        """The same from the day's starting prices: what counts as today's."""
        return self._against(self.day_cost, self.mark)

    @property
    def guarded(self) -> Paise:
        """`day_unrealised` as the loss guard counts it."""
        return self._against(
            self.day_cost, self.mark if self.guard_mark is None else self.guard_mark
        )

    def _against(self, cost: Paise, mark: Paise) -> Paise:
        return self.side.sign * (self.quantity * mark - cost)

    @property
    def value(self) -> Paise:
        """Its exposure: at the price it was decided at or at the mark, whichever is more."""
        return max(self.unit_cost, self.quantity * self.mark)


def position_of(fill: Fill, side: Side, lots: Sequence[Lot], like: Position | None) -> Position:
    """Return the position that these lots make; what else is known of it is kept."""
    position = Position(
        fill.key,
        fill.product,
        fill.segment,
        side,
        tuple(lots),
        sum(lot.quantity for lot in lots),
        sum(lot.quantity * lot.price for lot in lots),
        sum(lot.quantity * lot.day_price for lot in lots),
        sum(lot.quantity * lot.unit for lot in lots),
        mark=fill.price if like is None else like.mark,
    )
    if like is None or like.side is not side:
        return position
    return replace(
        position,
        guard_mark=like.guard_mark,
        state=like.state,
        why=like.why,
        scaled_out=like.scaled_out or position.quantity < like.quantity,
    )


def apply_fill(
    position: Position | None, fill: Fill, charges: Charges
) -> tuple[Position | None, tuple[Closed, ...], Charges]:
    """Return the position after a fill, what the fill closed, and the charges of what it opened.

    A fill against the position closes its oldest lots first; what is left over opens the other
    side. `charges` are shared out by quantity, to the paisa.

    Raises
    ------
    Broken
        If the fill has no quantity or is of another instrument or product.
    """
    check(fill.quantity > 0, "a fill has shares", fill=fill)
    if position is not None:
        check(
            (position.key, position.product) == (fill.key, fill.product),
            "a fill is of its position",
            position=position.key,
            fill=fill,
        )
    side = fill.side
    if position is None or position.side is side:
        lots = (() if position is None else position.lots) + (_lot(fill, fill.quantity),)
        return position_of(fill, side, lots, position), (), charges

    left, parts, kept = fill.quantity, [], []
    for lot in position.lots:
        taken = min(lot.quantity, left)
        left -= taken
        if taken:
            parts.append((lot, taken))
        if taken < lot.quantity:
            kept.append(lot if not taken else replace(lot, quantity=lot.quantity - taken))
    shares = split_charges(charges, [taken for _, taken in parts] + ([left] if left else []))
    closed = tuple(
        _closed(position, lot, taken, fill, share)
        for (lot, taken), share in zip(parts, shares, strict=False)
    )
    if kept:
        return position_of(fill, position.side, kept, position), closed, NO_CHARGES
    if not left:
        return None, closed, NO_CHARGES
    return position_of(fill, side, (_lot(fill, left),), None), closed, shares[-1]


def split_charges(charges: Charges, quantities: Sequence[int]) -> list[Charges]:
    """Share charges out in proportion to quantities; the parts add up to the whole."""
    if len(quantities) == 1:
        return [charges]
    total, seen, given, parts = sum(quantities), 0, NO_CHARGES, []
    for quantity in quantities:
        seen += quantity
        so_far = Charges(
            charges.brokerage * seen // total,
            charges.stt * seen // total,
            charges.exchange * seen // total,
            charges.sebi * seen // total,
            charges.stamp * seen // total,
            charges.gst * seen // total,
        )
        parts.append(so_far - given)
        given = so_far
    return parts


def _lot(fill: Fill, quantity: int) -> Lot:
    unit = fill.price if fill.unit is None else fill.unit
    return Lot(
        quantity, fill.price, fill.price, unit, fill.on, fill.ts_ms, fill.agent, fill.version
    )


def _closed(position: Position, lot: Lot, quantity: int, fill: Fill, charges: Charges) -> Closed:
    sign = position.side.sign
    return Closed(
        position.side,
        position.key,
        position.product,
        quantity,
        lot.price,
        fill.price,
        sign * quantity * (fill.price - lot.price),
        sign * quantity * (fill.price - lot.day_price),
        charges,
        lot.agent,
        lot.version,
        lot.opened_on,
        lot.opened_ms,
        fill.ts_ms,
    )
