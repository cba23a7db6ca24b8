"""What may not be exceeded: yes-or-no limits, the room that amounts leave, the day's guards.

Rule 1: every no is a value: the limit's key, its figure now, what is allowed and the room left,
and a sentence with them in it.
Rule 2: orders in flight count; what an exit in flight would free does not.
Rule 3: a guard names the mode it sets, what it closes or only blocks, and what lifts it.
The net limit binds entries: an exit is never refused, so closing one side of a hedge may leave
the other above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from agent.market.instruments import LONG, SHORT
from agent.portfolio.lots import Paise, PositionState
from agent.portfolio.pnl import PRODUCTS, Slot, rounded, rupees
from agent.risk.book import Book, sector_of
from agent.risk.capital import pool_of
from agent.risk.margin import INTRADAY, fallback_margin, product_refusal
from agent.risk.settings import Amount, MoneySettings
from agent.risk.sizing import Proposal

Mode = Literal["NO_NEW", "REDUCE_ONLY", "FLATTEN"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that may not leave. `limit` is the setting's or rule's key."""

    limit: str
    figure: str
    allowed: str
    room: str
    words: str


class Room(NamedTuple):
    """What an amount limit leaves for one more entry, paise."""

    limit: str
    allowed: int
    figure: Paise

    @property
    def left(self) -> Paise:
        """What may still be added; never below 0."""
        return max(self.allowed - self.figure, 0)


@dataclass(frozen=True, slots=True)
class Breach:
    """A guard that has acted. `closes` are the positions it closes; `mode` None is a notice."""

    limit: str
    mode: Mode | None
    figure: int
    allowed: int
    words: str
    lifts: str
    closes: tuple[Slot, ...] = ()


def refusal(limit: str, what: str, figure: object, allowed: object, room: object) -> Refusal:
    """Return a refusal whose sentence carries all three figures."""
    return Refusal(
        limit,
        str(figure),
        str(allowed),
        str(room),
        f"{limit}: {what} is {figure}, allowed {allowed}, room left {room}",
    )


def flat_refusal(book: Book, proposal: Proposal, settings: MoneySettings) -> Refusal | None:
    """Return the first limit that forbids an entry of any size, or None."""
    return (
        _rule_refusal(book, proposal, settings)
        or _count_refusal(book, proposal, settings)
        or _guard_refusal(book, settings)
    )


def _rule_refusal(book: Book, proposal: Proposal, settings: MoneySettings) -> Refusal | None:
    instrument, side, risk = proposal.instrument, proposal.side, settings.risk
    why = product_refusal(instrument, side, proposal.product)
    if why is not None:
        return Refusal("product", proposal.product, "another product", "none", f"product: {why}")
    if not (risk.allow_long if side is LONG else risk.allow_short):
        key = f"allow_{side.value.lower()}"
        return Refusal(key, side.value, "the other side", "none", f"{key} is off")
    if side is SHORT and book.no_shorts:
        return Refusal("no_shorts", side.value, "LONG", "none", f"no_shorts: {book.no_shorts}")
    if not proposal.mis_allowed and proposal.product in INTRADAY:
        words = f"mis_allowed: the broker takes no MIS order in {instrument.key} today"
        return Refusal("mis_allowed", proposal.product, "CNC", "none", words)
    if proposal.limit_paise < settings.bounds.least_price and not instrument.is_derivative:
        price = rupees(proposal.limit_paise)
        return refusal("min_price", "the price", price, f"from Rs {risk.min_price}", "none")
    return _price_refusal(proposal)


def _price_refusal(proposal: Proposal) -> Refusal | None:
    price, sign = proposal.instrument.price, proposal.side.sign
    entry, stop = proposal.limit, proposal.stop_limit
    if entry <= 0 or stop <= 0:
        both = f"{price(entry)}, {price(stop)}"
        return refusal("price", "entry, stop", both, "above 0", "none")
    if sign * (entry - stop) <= 0:
        beyond = "below" if sign > 0 else "above"
        allowed = f"{beyond} the entry {price(entry)}"
        return refusal("stop", "the stop's limit", price(stop), allowed, "none")
    if proposal.band is not None:
        low, high = proposal.band
        for ticks in (entry, stop):
            if not low <= ticks <= high:
                band = f"{price(low)} to {price(high)}"
                return refusal("band", "a price", price(ticks), band, "none")
    return None


def _count_refusal(book: Book, proposal: Proposal, settings: MoneySettings) -> Refusal | None:
    risk, slots, slot = settings.risk, book.exposure.slots, proposal.slot
    position = book.portfolio.positions.get(slot)
    if slot in slots:
        adding = (
            position is not None
            and position.side is proposal.side
            and position.state is PositionState.OPEN
            and slots[slot] == 1
        )
        if not (adding and proposal.may_add):
            held = "an entry in flight"
            if position is not None:
                held = f"{position.signed} shares, {position.state.value}"
            return refusal("one_position", " ".join(slot), held, "nothing open", "none")
    elif len(slots) >= risk.max_open_positions:
        most = risk.max_open_positions
        return refusal("max_open_positions", "open and in flight", len(slots), most, 0)
    if book.entries >= risk.max_trades:
        return refusal("max_trades", "entries today", book.entries, risk.max_trades, 0)
    key = slot[0]
    trips = book.round_trips.get(key, 0)
    # one can be open in each product: with room for all of them there is no need to count
    if position is None and trips + len(PRODUCTS) >= risk.max_round_trips:
        trips += sum((key, product) in slots for product in PRODUCTS)
        if trips >= risk.max_round_trips:
            what = f"round trips of {key}, the open one counted,"
            return refusal("max_round_trips", what, trips, risk.max_round_trips, 0)
    return None


def _guard_refusal(book: Book, settings: MoneySettings) -> Refusal | None:
    for breach in guards(book, settings):
        if breach.mode is not None:
            return Refusal(
                breach.limit, str(breach.figure), str(breach.allowed), "none", breach.words
            )
    return None


def rooms(book: Book, proposal: Proposal, settings: MoneySettings) -> list[tuple[str, int, Paise]]:
    """Return each amount limit for an entry of this side, symbol and sector.

    Returns
    -------
    list of (limit, allowed, figure): the fields of a `Room`, bare, for the way of every entry.
    """
    bounds, exposure = settings.bounds, book.exposure
    side, key = proposal.side, proposal.instrument.key
    mine = exposure.side(side)
    found = [
        ("max_gross", bounds.gross, exposure.gross),
        ("max_long", bounds.long, mine) if side is LONG else ("max_short", bounds.short, mine),
        ("max_net", bounds.net, mine - exposure.decided(side.opposite)),
        ("max_symbol", bounds.symbol, exposure.symbols.get(key, 0)),
    ]
    if settings.capital.mode == "separate":
        found.append(("capital.separate", pool_of(side, bounds.gross, settings.capital), mine))
    if bounds.sector is not None and book.sectors is not None:
        figure = exposure.sectors.get(sector_of(book, key), 0)
        found.append(("max_sector", bounds.sector, figure))
    return found


def risk_room(book: Book, settings: MoneySettings) -> Room:
    """Return what today may still lose on one more stop, paise.

    The figure is what the day has lost (realised, charges paid) and what every open position and
    entry in flight loses if its stop fills at its limit: entered within it, the stops together
    keep the day inside `max_daily_loss`, gaps excepted.
    """
    total = book.portfolio.total
    lost = total.charges.total - total.day_gross
    return Room(
        "max_daily_loss",
        settings.bounds.daily_loss,
        lost + book.planned_risk_total + book.reserved_risk,
    )


def risk_left(book: Book, settings: MoneySettings) -> int:
    """Return `risk_room(...).left` in whole paise, rounded down.

    Sums of fractions look for common divisors at every step; one division at the end is enough.
    """
    total = book.portfolio.total
    figure, parts = total.charges.total, 1
    for sum_ in (-total.day_gross, book.planned_risk_total, book.reserved_risk):
        numerator, denominator = sum_.as_integer_ratio()
        figure = figure * denominator + numerator * parts
        parts *= denominator
    return max(settings.bounds.daily_loss + -figure // parts, 0)


def margin_room(book: Book, settings: MoneySettings) -> Room:
    """Return the margin that is free for one more entry, paise."""
    if book.margins is not None:
        used = sum(book.uncounted.values())
        return Room("margin", book.margins.available, used)
    exposure, rates = book.exposure, settings.margin
    intraday = exposure.long_decided + exposure.short_decided - exposure.carry_decided
    held = fallback_margin("MIS", intraday, rates)
    held += fallback_margin("CNC", exposure.carry_decided, rates)
    flying = sum(e.quantity * e.margin for e in book.reserves.values())
    return Room("margin", settings.capital.paise, held + flying + book.blocked)


def sector_note(book: Book, settings: MoneySettings) -> str | None:
    """Say that the sector limit is set but off, for want of a sector file."""
    if settings.risk.max_sector is None or book.sectors is not None:
        return None
    return "max_sector is set but off: no sector file was given"


def guards(book: Book, settings: MoneySettings) -> tuple[Breach, ...]:
    """Return every guard that has acted, the gravest first."""
    bounds = settings.bounds
    net = rounded(book.portfolio.day_net)
    found = []
    loss, most = bounds.daily_loss, bounds.drawdown
    if net <= -loss:
        words = (
            f"the day has lost {rupees(-net)}, allowed {rupees(loss)} "
            f"({_base(settings.risk.max_daily_loss, bounds.capital)}); realised, unrealised and "
            "the charges of leaving are counted"
        )
        found.append(_flatten(book, "max_daily_loss", -net, loss, words))
    if most is not None:
        fall = rounded(book.best - net)
        if fall >= most:
            best = rupees(book.best)
            words = f"{rupees(fall)} below the day's best {best}, allowed {rupees(most)}"
            found.append(_flatten(book, "max_drawdown", fall, most, words))
    return (*found, *_margin_guard(book, settings))


def _flatten(book: Book, limit: str, figure: int, allowed: int, words: str) -> Breach:
    """Return a guard that closes everything that an order may close."""
    closes, left = closable(book)
    lifts = "the next trading day, or a person's resume with a higher limit"
    return Breach(limit, "FLATTEN", figure, allowed, f"{limit}: {words}{left}", lifts, closes)


def _margin_guard(book: Book, settings: MoneySettings) -> list[Breach]:
    if book.margins is None:
        return []
    use, levels = book.margins.use_percent, settings.margin
    if use < levels.warn_at:
        return []
    mode: Mode | None = None
    closes: tuple[Slot, ...] = ()
    key, level, does = "warn_at", levels.warn_at, "a notice"
    if use >= levels.reduce_at:
        mode, key, level = "REDUCE_ONLY", "reduce_at", levels.reduce_at
        closes = worst_position(book)
        does = _reduced(book, closes)
    elif use >= levels.no_entry_at:
        mode, key, level, does = "NO_NEW", "no_entry_at", levels.no_entry_at, "no entries"
    return [
        Breach(
            f"margin.{key}",
            mode,
            int(use),
            int(level),
            f"margin.{key}: {use:.1f} % of the margin is in use, level {level} %: {does}",
            f"use of margin below {level} %",
            closes,
        )
    ]


def _base(amount: Amount, capital: int) -> str:
    """Say what a limit is measured by."""
    return "a fixed sum" if amount.share is None else f"{amount} of the capital {rupees(capital)}"


def closable(book: Book) -> tuple[tuple[Slot, ...], str]:
    """Return the positions that an order may close, and words about those that none may.

    A frozen one waits for a person, a short in delivery for the auction.
    """
    positions = book.portfolio.positions
    found = tuple(slot for slot, p in positions.items() if p.state is PositionState.OPEN)
    if len(found) == len(positions):
        return found, ""
    stuck = [f"{' '.join(slot)} {p.state.value}" for slot, p in positions.items()
             if p.state is not PositionState.OPEN]  # fmt: skip
    return found, f"; no order may close {', '.join(stuck)}"


def _reduced(book: Book, closes: tuple[Slot, ...]) -> str:
    """Say which position is closed, and why that one."""
    if not closes:
        return "nothing is open that an order may close"
    result = rounded(book.portfolio.positions[closes[0]].day_unrealised)
    return f"{' '.join(closes[0])} is closed, the worst of the day at {rupees(result)}"


def worst_position(book: Book) -> tuple[Slot, ...]:
    """Return the open position with the largest loss of the day (none frozen), as a tuple."""
    open_ = [
        (p.day_unrealised, slot)
        for slot, p in book.portfolio.positions.items()
        if p.state is PositionState.OPEN
    ]
    return (min(open_)[1],) if open_ else ()
