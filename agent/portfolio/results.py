"""Profit and loss of many trades: realised and unrealised, by day, side, symbol and author.

Rule 1: everything is a `Booking` in whole paise, and every table is a sum of the same bookings,
so that each of them adds up to the total to the paisa.
Rule 2: an entry's charges belong to the day of the entry, profit and the exit's charges to the
day of the exit, what is open to the day of its price.
Rule 3: a position without a price is named, not counted as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from agent.portfolio.pnl import Line
from agent.portfolio.roundtrips import Deal, Held, RoundTrip, day_of, round_trips, with_depository


@dataclass(frozen=True, slots=True)
class Price:
    """The last price known of an instrument, paise, and when it was."""

    paise: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Booking:
    """One amount of one trade on one day."""

    on: date
    deal: Deal
    realised: int = 0
    unrealised: int = 0
    charges: int = 0
    round_trips: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """A position that is held. `unrealised` is None where no price of it is known."""

    held: Held
    price: Price | None

    @property
    def unrealised(self) -> int | None:
        """Profit or loss at the last price before charges, paise."""
        if self.price is None:
            return None
        worth = self.held.quantity * self.price.paise
        return self.held.deal.side.sign * (worth - self.held.value)


@dataclass(frozen=True, slots=True)
class Results:
    """The answer: the whole, and the same by each of six questions; `positions` are still held."""

    total: Line
    tables: Mapping[str, Mapping[str, Line]]
    positions: tuple[Open, ...]

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Keys of what is held without a price: their unrealised result is not in the sums."""
        return tuple(p.held.deal.key for p in self.positions if p.price is None)

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document; amounts in paise, keys stable."""
        return {
            "total": line_document(self.total),
            **{
                f"by_{name}": {key: line_document(line) for key, line in table.items()}
                for name, table in self.tables.items()
            },
            "open": [_open_document(position) for position in self.positions],
            "unpriced": list(self.unpriced),
        }


def line_document(line: Line) -> dict[str, int]:
    """Return a line with its sums, in paise."""
    return {
        "realised_paise": line.realised,
        "unrealised_paise": line.unrealised,
        "gross_paise": line.gross,
        "charges_paise": line.charges,
        "net_paise": line.net,
        "round_trips": line.round_trips,
    }


BY: Final[Mapping[str, Callable[[Booking], str]]] = {
    "day": lambda b: b.on.isoformat(),
    "side": lambda b: b.deal.side.value,
    "symbol": lambda b: b.deal.key,
    "agent": lambda b: b.deal.agent or "unknown",
    "version": lambda b: f"{b.deal.model or 'no model'} {b.deal.version}".strip(),
    "product": lambda b: b.deal.product,
}


def results(
    deals: Iterable[Deal],
    prices: Mapping[str, Price],
    *,
    since: date | None = None,
    until: date | None = None,
) -> Results:
    """Return what trades have come to in a range of days, both ends included.

    Parameters
    ----------
    deals : iterable of Deal
    prices : mapping of key to Price
        The last prices of what is held.
    """
    closed: list[RoundTrip] = []
    held: list[Open] = []
    for deal in deals:
        parts, rest = round_trips(deal)
        closed += parts
        if rest is not None:
            held.append(Open(rest, prices.get(deal.key)))
    found = [booking for part in with_depository(closed) for booking in _of_closed(part)]
    found += [booking for position in held for booking in _of_open(position)]
    kept = [
        b for b in found if (since is None or b.on >= since) and (until is None or b.on <= until)
    ]
    tables = {name: _table(kept, key) for name, key in BY.items()}
    return Results(_line(kept), tables, tuple(held))


def _of_closed(part: RoundTrip) -> list[Booking]:
    deal = part.deal
    return [
        Booking(part.opened_on, deal, charges=part.entry_charges.total),
        Booking(
            part.closed_on,
            deal,
            realised=part.gross,
            charges=part.exit_charges.total + part.other,
            round_trips=int(part.last),
        ),
    ]


def _of_open(position: Open) -> list[Booking]:
    held, price = position.held, position.price
    found = [Booking(day_of(held.opened_ms), held.deal, charges=held.charges.total)]
    if price is not None:
        day = max(day_of(price.at_ms), day_of(held.opened_ms))
        found.append(Booking(day, held.deal, unrealised=position.unrealised or 0))
    return found


def _table(bookings: list[Booking], key: Callable[[Booking], str]) -> dict[str, Line]:
    groups: dict[str, list[Booking]] = {}
    for booking in bookings:
        groups.setdefault(key(booking), []).append(booking)
    return {name: _line(group) for name, group in sorted(groups.items())}


def _line(bookings: list[Booking]) -> Line:
    return Line(
        sum(b.realised for b in bookings),
        sum(b.unrealised for b in bookings),
        sum(b.charges for b in bookings),
        sum(b.round_trips for b in bookings),
    )


def _open_document(position: Open) -> dict[str, Any]:
    held, price = position.held, position.price
    return {
        "trade": held.deal.number,
        "key": held.deal.key,
        "product": held.deal.product,
        "side": held.deal.side.value,
        "quantity": held.quantity,
        "cost_paise": held.value,
        "price_paise": None if price is None else price.paise,
        "price_at_ms": None if price is None else price.at_ms,
        "unrealised_paise": position.unrealised,
    }
