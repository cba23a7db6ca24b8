"""The state of the money: what is held, what is in flight, and the running sums of both.

Rule 1: a function of (book, event) to a book. Nothing is changed in place; nothing is read but
the arguments.
Rule 2: an entry in flight counts in full from `reserve` until its last share has filled or its
order is known to be dead (`release`). An exit in flight frees nothing until it fills.
Rule 3: exposure is counted at the price that an entry was decided at (a BUY's limit; a SELL's
limit or the reference, whichever is more), so a better fill or a moving market cannot push what
was decided inside a limit over it. New entries are measured against more: against
the marks where these are higher.
Rule 4: the sums make a decision O(1); a test recomputes each of them naively.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from agent.errors import check
from agent.frozen import replace
from agent.market.instruments import LONG, SHORT, Side
from agent.portfolio import pnl
from agent.portfolio.lots import Closed, Fill, Paise, Position, plain
from agent.portfolio.pnl import Portfolio, Slot, slots_of
from agent.portfolio.settlement import in_delivery
from agent.risk.margin import INTRADAY, Margins


@dataclass(frozen=True, slots=True)
class Reserve:
    """An entry in flight: what its unfilled shares may still become, per share in paise."""

    intent: str
    slot: Slot
    side: Side
    quantity: int
    unit: Paise
    risk: Paise
    margin: Paise
    filled: int = 0

    @property
    def value(self) -> Paise:
        """The exposure of the unfilled shares, paise."""
        return self.quantity * self.unit


@dataclass(frozen=True, slots=True)
class Exposure:
    """Running sums of exposure, paise.

    `long`, `short`: positions at the price decided or the mark, whichever is more;
    `long_decided`, `short_decided`: at the price decided; `carry_decided`: what of these two is
    not intraday; `long_reserved`, `short_reserved`: entries in flight. `symbols` and `sectors`
    hold positions and entries of both sides together; `slots` counts them by (symbol, product).
    """

    long: Paise = 0
    short: Paise = 0
    long_decided: Paise = 0
    short_decided: Paise = 0
    carry_decided: Paise = 0
    long_reserved: Paise = 0
    short_reserved: Paise = 0
    symbols: Mapping[str, Paise] = field(default_factory=dict)
    sectors: Mapping[str, Paise] = field(default_factory=dict)
    slots: Mapping[Slot, int] = field(default_factory=dict)

    def side(self, side: Side) -> Paise:
        """Return all exposure of one side, entries in flight included."""
        if side is LONG:
            return self.long + self.long_reserved
        return self.short + self.short_reserved

    def decided(self, side: Side) -> Paise:
        """Return the positions' exposure of one side at the prices decided."""
        return self.long_decided if side is LONG else self.short_decided

    @property
    def gross(self) -> Paise:
        """Return both sides together, entries in flight included."""
        return self.long + self.long_reserved + self.short + self.short_reserved


@dataclass(frozen=True, slots=True)
class Book:
    """All that a money decision looks at.

    Parameters
    ----------
    portfolio : Portfolio
    reserves : mapping of intent to Reserve
    exposure : Exposure
    planned_risk : mapping of slot to paise
        What each position loses if its stop fills at its limit, charges included; never below 0.
    planned_risk_total, reserved_risk : paise
    uncounted : mapping of intent to paise
        Margin of our orders that the broker's last figures do not know yet, filled or not.
    margins : Margins, optional
    sectors : mapping of key to sector, optional
        None: no sector file, the sector limit is off.
    entries : int
        Entries of the day: those that filled something, whoever sent them, and those in flight.
    round_trips : mapping of key to int
    best : paise
        The day's best `Portfolio.day_net`, at least 0.
    no_shorts : str
        Why no further shorts may be opened today; empty where they may.
    blocked : paise
        What shorts in delivery block until the auction has settled them, over nights, too.
    """

    portfolio: Portfolio
    reserves: Mapping[str, Reserve] = field(default_factory=dict)
    exposure: Exposure = Exposure()
    planned_risk: Mapping[Slot, Paise] = field(default_factory=dict)
    planned_risk_total: Paise = 0
    reserved_risk: Paise = 0
    uncounted: Mapping[str, Paise] = field(default_factory=dict)
    margins: Margins | None = None
    sectors: Mapping[str, str] | None = None
    entries: int = 0
    round_trips: Mapping[str, int] = field(default_factory=dict)
    best: Paise = 0
    no_shorts: str = ""
    blocked: Paise = 0


def open_book(on: date, sectors: Mapping[str, str] | None = None) -> Book:
    """Return the book of a day on which nothing is held."""
    return Book(Portfolio(on), sectors=sectors)


def reserve(book: Book, entry: Reserve) -> Book:
    """Return the book with an entry in flight: call it when the intent is journaled.

    Raises
    ------
    Broken
        If the intent is in flight already, or has no shares.
    """
    check(entry.intent not in book.reserves, "an intent is reserved once", intent=entry.intent)
    check(entry.quantity > 0, "an entry has shares", intent=entry.intent)
    changed = replace(
        book,
        reserves={**book.reserves, entry.intent: entry},
        reserved_risk=plain(book.reserved_risk + entry.quantity * entry.risk),
        uncounted={**book.uncounted, entry.intent: entry.quantity * entry.margin},
        entries=book.entries + 1,
    )
    return _reserved(changed, entry, entry.value, slots=1)


def release(book: Book, intent: str) -> Book:
    """Return the book without the unfilled rest of an entry whose order is known to be dead.

    Call it on a final row of the order book (cancelled, rejected, complete) only: until then it
    may still fill. An unknown intent changes nothing.
    """
    entry = book.reserves.get(intent)
    if entry is None:
        return book
    reserves, uncounted = dict(book.reserves), dict(book.uncounted)
    del reserves[intent]
    if intent in uncounted:
        uncounted[intent] -= entry.quantity * entry.margin
        if not entry.filled:
            del uncounted[intent]
    changed = replace(
        book,
        reserves=reserves,
        reserved_risk=plain(book.reserved_risk - entry.quantity * entry.risk),
        uncounted=uncounted,
        entries=book.entries - (0 if entry.filled else 1),
    )
    return _reserved(changed, entry, -entry.value, slots=-1)


def on_fill(book: Book, fill: Fill, intent: str | None = None) -> tuple[Book, tuple[Closed, ...]]:
    """Return the book after a trade, and what the trade closed.

    Parameters
    ----------
    fill : Fill
    intent : str, optional
        The entry that the trade belongs to. Its shares leave the reserve and become a position
        at the reserve's unit price.

    Raises
    ------
    Broken
        If the trade has no shares.
    """
    order = book.portfolio.orders.get(fill.order_id)
    if order is not None and fill.trade_id in order.trades:
        return book, ()
    slot = (fill.key, fill.product)
    entry = book.reserves.get(intent) if intent is not None else None
    risk: Paise = 0
    if entry is not None and fill.transaction == entry.side.entry_transaction:
        taken = min(fill.quantity, entry.quantity)
        risk = taken * entry.risk
        decided = entry.unit if taken == fill.quantity else max(entry.unit, fill.price)
        fill = replace(fill, unit=decided)
        book = _taken(book, entry, taken)
    before, charged = book.portfolio.positions.get(slot), book.portfolio.total.charges.total
    portfolio, closed = pnl.on_fill(book.portfolio, fill)
    after = portfolio.positions.get(slot)
    book = moved(replace(book, portfolio=portfolio), slot, before, after)
    # what the entry has paid is lost, no longer at risk: the sum of both stays what was planned
    paid = portfolio.total.charges.total - charged
    book = _planned(book, slot, before, max(risk - paid, 0))
    opened = after is not None and after.side is fill.side  # else: it closed some, or all
    if closed and (after is None or opened):
        trips = {**book.round_trips, fill.key: book.round_trips.get(fill.key, 0) + 1}
        book = replace(book, round_trips=trips)
    if entry is None and order is None and opened:
        book = replace(book, entries=book.entries + 1)  # late, by hand or adopted: it counts
    return settled(book), closed


def on_mark(book: Book, key: str, price: Paise) -> Book:
    """Return the book with a new last price of an instrument, paise."""
    old = book.portfolio
    new = pnl.on_mark(old, key, price)
    if new is old:
        return book
    exposure, net = book.exposure, new.day_net
    for slot in slots_of(old, key):
        side, change = (
            new.positions[slot].side,
            new.positions[slot].value - old.positions[slot].value,
        )
        if change:  # below the price decided a mark moves no exposure
            exposure = _revalued(book, exposure, key, side, change)
    return replace(book, portfolio=new, exposure=exposure, best=max(book.best, net))


def on_margins(book: Book, margins: Margins, *, unseen: frozenset[str] = frozenset()) -> Book:
    """Return the book with the broker's new margin figures.

    Parameters
    ----------
    unseen : frozenset of str
        Intents whose order was not accepted yet when the broker was asked; all others are in its
        figures.
    """
    uncounted = {intent: paise for intent, paise in book.uncounted.items() if intent in unseen}
    return replace(book, margins=margins, uncounted=uncounted)


def on_stop(book: Book, slot: Slot, risk: Paise) -> Book:
    """Return the book with what a position now loses at its stop's limit (0 once it is locked)."""
    if slot not in book.portfolio.positions:
        return book
    risk = max(risk, 0)
    total = plain(book.planned_risk_total - book.planned_risk.get(slot, 0) + risk)
    return replace(book, planned_risk={**book.planned_risk, slot: risk}, planned_risk_total=total)


def _revalued(book: Book, exposure: Exposure, key: str, side: Side, change: Paise) -> Exposure:
    """Return the sums after a mark changed what a position is worth, and nothing else of it."""
    symbols, sectors = _added(exposure.symbols, key, change), exposure.sectors
    if book.sectors is not None:
        sectors = _added(sectors, sector_of(book, key), change)
    if side is LONG:
        return replace(exposure, long=exposure.long + change, symbols=symbols, sectors=sectors)
    return replace(exposure, short=exposure.short + change, symbols=symbols, sectors=sectors)


def _reserved(book: Book, entry: Reserve, value: Paise, *, slots: int) -> Book:
    """Add a value (and count) of an entry in flight to the sums."""
    exposure = book.exposure
    long = value if entry.side is LONG else 0
    symbols, sectors = _shared(book, entry.slot[0], value)
    return replace(
        book,
        exposure=replace(
            exposure,
            long_reserved=exposure.long_reserved + long,
            short_reserved=exposure.short_reserved + value - long,
            symbols=symbols,
            sectors=sectors,
            slots=_counted(exposure.slots, entry.slot, slots),
        ),
    )


def _taken(book: Book, entry: Reserve, quantity: int) -> Book:
    """Take filled shares out of a reserve; the broker's margin figures do not know them yet."""
    left = replace(entry, quantity=entry.quantity - quantity, filled=entry.filled + quantity)
    reserves = {**book.reserves, entry.intent: left}
    if not left.quantity:
        del reserves[entry.intent]
    changed = replace(
        book, reserves=reserves, reserved_risk=plain(book.reserved_risk - quantity * entry.risk)
    )
    return _reserved(changed, entry, -quantity * entry.unit, slots=0 if left.quantity else -1)


def moved(book: Book, slot: Slot, before: Position | None, after: Position | None) -> Book:
    """Return the book with its sums moved from one state of a position to the next."""
    if before is after:
        return book
    exposure = book.exposure
    sums = {
        LONG: [exposure.long, exposure.long_decided],
        SHORT: [exposure.short, exposure.short_decided],
    }
    moved: Paise = 0
    carry, blocked = exposure.carry_decided, book.blocked
    for position, sign in ((before, -1), (after, 1)):
        if position is not None:
            value = sign * position.value
            sums[position.side][0] += value
            sums[position.side][1] += sign * position.unit_cost
            carry += 0 if position.product in INTRADAY else sign * position.unit_cost
            moved += value
            blocked += sign * in_delivery(position)
    symbols, sectors = _shared(book, slot[0], moved)
    count = (after is not None) - (before is not None)
    return replace(
        book,
        exposure=replace(
            exposure,
            long=sums[LONG][0],
            long_decided=sums[LONG][1],
            short=sums[SHORT][0],
            short_decided=sums[SHORT][1],
            carry_decided=carry,
            symbols=symbols,
            sectors=sectors,
            slots=_counted(exposure.slots, slot, count),
        ),
        blocked=blocked,
    )


def _planned(book: Book, slot: Slot, before: Position | None, added: Paise) -> Book:
    """Keep the planned risk in proportion to what is left of a position, and add an entry's."""
    after = book.portfolio.positions.get(slot)
    old = book.planned_risk.get(slot, 0)
    planned = dict(book.planned_risk)
    if after is None:
        new: Paise = 0
        planned.pop(slot, None)
    else:
        same = before is not None and before.side is after.side
        kept = old if same else 0
        if before is not None and same and after.quantity < before.quantity:
            kept = -(-old * after.quantity // before.quantity)
        new = planned[slot] = plain(kept + added)
    return replace(
        book, planned_risk=planned, planned_risk_total=plain(book.planned_risk_total - old + new)
    )


def settled(book: Book) -> Book:
    """Return the book with the day's best result kept up to date."""
    net = book.portfolio.day_net
    return replace(book, best=net) if net > book.best else book


def _shared(book: Book, key: str, value: Paise) -> tuple[Mapping[str, Paise], Mapping[str, Paise]]:
    exposure = book.exposure
    if not value:
        return exposure.symbols, exposure.sectors
    symbols = _added(exposure.symbols, key, value)
    if book.sectors is None:
        return symbols, exposure.sectors
    return symbols, _added(exposure.sectors, sector_of(book, key), value)


def sector_of(book: Book, key: str) -> str:
    """Return an instrument's sector; instruments outside the file share one, "unknown"."""
    return (book.sectors or {}).get(key, "unknown")


def _added(sums: Mapping[str, Paise], key: str, value: Paise) -> Mapping[str, Paise]:
    total = sums.get(key, 0) + value
    changed = {**sums, key: total}
    if not total:
        del changed[key]
    return changed


def _counted(counts: Mapping[Slot, int], slot: Slot, change: int) -> Mapping[Slot, int]:
    if not change:
        return counts
    total = counts.get(slot, 0) + change
    changed = {**counts, slot: total}
    if not total:
        del changed[slot]
    return changed
