"""What came of it: the portfolio's state and its profit and loss.

Rule 1: a function of (portfolio, event) to a portfolio; nothing is changed in place.
Rule 2: charges are an order's, not a fill's (brokerage is capped once an order): each fill adds
what the order's charges have grown by.
Rule 3: running sums answer the guards without a walk over the positions; a test recomputes all
of it naively from the trade list.
A profit is gross until it says net; net is after every charge paid so far. `if_closed` also takes
off what closing all of it at the marks would cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Final, Literal

from agent.errors import check
from agent.frozen import replace
from agent.market.charges import NO_CHARGES, Charges, charges_on, rates_for, total_on
from agent.market.instruments import Side
from agent.portfolio.lots import (
    Closed,
    Fill,
    Lot,
    Paise,
    Position,
    PositionState,
    apply_fill,
    plain,
)

Slot = tuple[str, str]  # (key, product): what the broker nets
HALF: Final = Fraction(1, 2)
PRODUCTS: Final = ("MIS", "CNC", "NRML", "MTF", "CO")
By = Literal["side", "symbol", "agent", "version"]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose profit it is."""

    side: Side
    symbol: str
    product: str
    agent: str
    version: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What was realised today. `gross` counts from the entries, `day_gross` from today's start."""

    gross: Paise = 0
    day_gross: Paise = 0
    charges: Charges = NO_CHARGES
    round_trips: int = 0

    def plus(
        self,
        *,
        gross: Paise = 0,
        day_gross: Paise = 0,
        charges: Charges = NO_CHARGES,
        round_trips: int = 0,
    ) -> Tally:
        """Return the sum."""
        return Tally(
            plain(self.gross + gross),
            plain(self.day_gross + day_gross),
            self.charges + charges,
            self.round_trips + round_trips,
        )

    @property
    def net(self) -> Paise:
        """Realised profit after the charges paid so far (of open entries, too)."""
        return self.gross - self.charges.total


@dataclass(frozen=True, slots=True)
class OrderTally:
    """What an order has filled so far, and the charges of that."""

    value: Paise = 0
    charges: Charges = NO_CHARGES
    trades: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a profit and loss statement, paise, rounded half up."""

    realised: int
    unrealised: int
    charges: int
    round_trips: int

    @property
    def gross(self) -> int:
        """Realised and unrealised, before charges."""
        return self.realised + self.unrealised

    @property
    def net(self) -> int:
        """Gross less the charges paid so far."""
        return self.gross - self.charges


@dataclass(frozen=True, slots=True)
class Portfolio:
    """All positions and today's results.

    `unrealised`, `guarded` and `exit_charges` are running sums over the positions: from the
    entries to the marks; as the loss guard counts the day; what closing everything would cost.
    """

    on: date
    positions: Mapping[Slot, Position] = field(default_factory=dict)
    orders: Mapping[str, OrderTally] = field(default_factory=dict)
    tallies: Mapping[Attribution, Tally] = field(default_factory=dict)
    total: Tally = Tally()
    unrealised: Paise = 0
    guarded: Paise = 0
    exit_charges: int = 0

    @property
    def net(self) -> Paise:
        """Realised and unrealised profit from the entries, less the charges paid today."""
        return self.total.net + self.unrealised

    @property
    def day_net(self) -> Paise:
        """Today's profit as the loss guard counts it.

        From today's starting prices, less the charges paid and those of closing everything.
        """
        realised = self.total.day_gross - self.total.charges.total
        return realised + self.guarded - self.exit_charges


def on_fill(portfolio: Portfolio, fill: Fill) -> tuple[Portfolio, tuple[Closed, ...]]:
    """Return the portfolio after a trade, and what the trade closed.

    A trade that was already counted changes nothing.

    Raises
    ------
    Broken
        If the trade has no shares.
    SettingRefused
        If its product does not exist in its segment.
    """
    before = portfolio.orders.get(fill.order_id, OrderTally())
    if fill.trade_id in before.trades:
        return portfolio, ()
    value = Fraction(before.value + fill.quantity * fill.price)
    rates = rates_for(fill.product, fill.segment, fill.on)
    after = charges_on(rates, fill.transaction, value.numerator, value.denominator)
    orders = dict(portfolio.orders)
    orders[fill.order_id] = OrderTally(
        plain(value),
        after,
        (*before.trades, fill.trade_id),
    )
    slot = (fill.key, fill.product)
    old = portfolio.positions.get(slot)
    new, closed, opening = apply_fill(old, fill, after - before.charges)

    tallies, total = dict(portfolio.tallies), portfolio.total
    for part in closed:
        whose = Attribution(part.side, part.key, part.product, part.agent, part.version)
        added = {
            "gross": part.gross,
            "day_gross": part.day_gross,
            "charges": part.charges,
        }
        tallies[whose] = tallies.get(whose, Tally()).plus(**added)  # type: ignore[arg-type]
        total = total.plus(**added)  # type: ignore[arg-type]
    opened = new is not None and new.side is fill.side  # else: it closed some, or all
    if closed and (new is None or opened):
        tallies[whose] = tallies[whose].plus(round_trips=1)
        total = total.plus(round_trips=1)
    if opened:
        whose = Attribution(fill.side, fill.key, fill.product, fill.agent, fill.version)
        tallies[whose] = tallies.get(whose, Tally()).plus(charges=opening)
        total = total.plus(charges=opening)
    changed = replace(portfolio, orders=orders, tallies=tallies, total=total)
    return with_position(changed, slot, new), closed


def on_mark(portfolio: Portfolio, key: str, price: Paise) -> Portfolio:
    """Return the portfolio with a new last price of an instrument, in every product held."""
    for slot in slots_of(portfolio, key):
        position = portfolio.positions[slot]
        if position.mark != price:
            portfolio = _marked(portfolio, slot, position, price)
    return portfolio


def slots_of(portfolio: Portfolio, key: str) -> list[Slot]:
    """Return the slots in which an instrument is held, without a walk over the positions."""
    return [(key, product) for product in PRODUCTS if (key, product) in portfolio.positions]


def freeze(
    portfolio: Portfolio, slot: Slot, why: str, *, guard_mark: Paise | None = None
) -> Portfolio:
    """Return the portfolio with a position that only a person may close.

    Parameters
    ----------
    guard_mark : int or Fraction, paise, optional
        The price at which the loss guard counts it: a short locked at its upper circuit at 20 %
        above the last close (`locked_short_mark`).

    Raises
    ------
    Broken
        If there is no such position.
    """
    position = portfolio.positions.get(slot)
    check(position is not None, "only a position can be frozen", slot=slot)
    frozen = replace(position, state=PositionState.FROZEN, why=why, guard_mark=guard_mark)  # type: ignore[type-var]
    return with_position(portfolio, slot, frozen)


def unfreeze(portfolio: Portfolio, slot: Slot) -> Portfolio:
    """Return the portfolio with a frozen position open again, by a person's word."""
    position = portfolio.positions.get(slot)
    if position is None or position.state is not PositionState.FROZEN:
        return portfolio
    return with_position(
        portfolio, slot, replace(position, state=PositionState.OPEN, why="", guard_mark=None)
    )


def next_day(portfolio: Portfolio, on: date, closes: Mapping[str, Paise]) -> Portfolio:
    """Return the portfolio of the next trading day: results start anew, positions are carried.

    Parameters
    ----------
    closes : mapping of key to paise
        The official close of the day before, from which the day's profit of a carried lot
        counts. Without one its last mark stands in.

    Raises
    ------
    Broken
        If the day is not later.
    """
    check(on > portfolio.on, "days go forward", on=on, before=portfolio.on)
    fresh = Portfolio(on)
    for slot, position in portfolio.positions.items():
        close = closes.get(slot[0], position.mark)
        lots = tuple(replace(lot, day_price=close) for lot in position.lots)
        carried = replace(
            position,
            lots=lots,
            day_cost=sum(lot.quantity * lot.day_price for lot in lots),
            mark=close,
        )
        fresh = with_position(fresh, slot, carried)
    return fresh


def statement(portfolio: Portfolio, by: By) -> dict[str, Line]:
    """Return profit and loss by side, symbol, signal agent or model version."""
    rows: dict[str, list[Paise]] = {}
    for whose, tally in portfolio.tallies.items():
        row = rows.setdefault(_name(whose, by), [0, 0, 0, 0])
        row[0] += tally.gross
        row[2] += tally.charges.total
        row[3] += tally.round_trips
    for position in portfolio.positions.values():
        for lot in position.lots:
            whose = Attribution(
                position.side, position.key, position.product, lot.agent, lot.version
            )
            row = rows.setdefault(_name(whose, by), [0, 0, 0, 0])
            row[1] += _lot_unrealised(position, lot)
    return {
        name: Line(rounded(row[0]), rounded(row[1]), rounded(row[2]), int(row[3]))
        for name, row in sorted(rows.items())
    }


def whole(portfolio: Portfolio) -> Line:
    """Return the portfolio's profit and loss as one line."""
    total = portfolio.total
    return Line(
        rounded(total.gross), rounded(portfolio.unrealised), total.charges.total, total.round_trips
    )


def rounded(paise: Paise) -> int:
    """Return paise as a whole number, half up."""
    return paise if type(paise) is int else (paise + HALF).__floor__()  # nearly always an int


def rupees(paise: Paise) -> str:
    """Return paise as a person reads them: Rs 1,234.50."""
    whole_paise = rounded(paise)
    sign, shown = ("-", -whole_paise) if whole_paise < 0 else ("", whole_paise)
    return f"{sign}Rs {shown // 100:,}.{shown % 100:02d}"


def exit_cost(position: Position, on: date) -> int:
    """Return the charges of closing a position at its mark in one order, paise."""
    mark = position.mark if position.guard_mark is None else position.guard_mark
    value = position.quantity * mark
    rates = rates_for(position.product, position.segment, on)
    transaction = position.side.exit_transaction
    return total_on(rates, transaction, value)


def with_position(portfolio: Portfolio, slot: Slot, position: Position | None) -> Portfolio:
    """Return the portfolio with a position put in (or taken out of) its slot, sums included."""
    old = portfolio.positions.get(slot)
    positions = dict(portfolio.positions)
    unrealised, guarded = portfolio.unrealised, portfolio.guarded
    exit_charges = portfolio.exit_charges
    if old is not None:
        unrealised -= old.unrealised
        guarded -= old.guarded
        exit_charges -= exit_cost(old, portfolio.on)
    if position is None:
        positions.pop(slot, None)
    else:
        unrealised += position.unrealised
        guarded += position.guarded
        exit_charges += exit_cost(position, portfolio.on)
        positions[slot] = position  # in its old place: a new mark is no new order of things
    return replace(
        portfolio,
        positions=positions,
        unrealised=plain(unrealised),
        guarded=plain(guarded),
        exit_charges=exit_charges,
    )


def _marked(portfolio: Portfolio, slot: Slot, old: Position, price: Paise) -> Portfolio:
    """Return the portfolio with a position at a new mark: `with_position`, for every tick."""
    new = replace(old, mark=price)
    change = new.unrealised - old.unrealised
    guarded, exit_charges = portfolio.guarded, portfolio.exit_charges
    if old.guard_mark is None:
        guarded = plain(guarded + change)
        exit_charges += exit_cost(new, portfolio.on) - exit_cost(old, portfolio.on)
    return replace(
        portfolio,
        positions={**portfolio.positions, slot: new},
        unrealised=plain(portfolio.unrealised + change),
        guarded=guarded,
        exit_charges=exit_charges,
    )


def _name(whose: Attribution, by: By) -> str:
    return whose.side.value if by == "side" else str(getattr(whose, by))


def _lot_unrealised(position: Position, lot: Lot) -> Paise:
    return position.side.sign * lot.quantity * (position.mark - lot.price)
