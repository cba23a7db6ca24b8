"""What the exchange's own book says about whoever traded there, told from outside.

A fold over events in their order: an order was placed, stands with so many shares and such a
trigger, is gone, traded, was charged. No clock, no I/O: the same events give the same audit, so a
restarted exchange folds its stored events again. It believes no summary of the trader.

Unprotected: from a fill until live exit orders for the whole open quantity stand at the exchange.
Surplus: live exit quantity rose above the open quantity. Moved back: a stop came to stand worse
for the position than the best stop that stood for it before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

Event = dict[str, Any]
BETTER: Final = {"BUY": -1, "SELL": 1}  # a rising trigger helps a sell stop
TAGS_MAX: Final = 50_000  # ten days of as many orders as a day may have
TRIPS_MAX: Final = 20_000  # listed; of those before only counts are kept
CHARGED_MAX: Final = 100  # a charge comes with its fill


@dataclass(slots=True)
class Trip:
    """One position from its first fill until it is flat; money in paise."""

    symbol: str
    product: str
    side: str
    opened_ms: int
    closed_ms: int | None = None
    quantity_max: int = 0
    bought: list[int] = field(default_factory=lambda: [0, 0])  # shares, paise
    sold: list[int] = field(default_factory=lambda: [0, 0])
    charges: int = 0
    best_trigger: int = 0
    naked_since: int | None = None
    unprotected: list[list[int]] = field(default_factory=list)

    def document(self, now_ms: int) -> Event:
        """Return the trip as a document; an interval still open ends now."""
        spans = list(self.unprotected)
        if self.naked_since is not None and now_ms > self.naked_since:
            spans.append([self.naked_since, now_ms])
        gross = self.sold[1] - self.bought[1] if self.closed_ms is not None else None
        return {
            "symbol": self.symbol,
            "product": self.product,
            "side": self.side,
            "opened_ms": self.opened_ms,
            "closed_ms": self.closed_ms,
            "quantity_max": self.quantity_max,
            "unprotected": spans,
            "max_unprotected_ms": max((end - start for start, end in spans), default=0),
            "gross_pnl_paise": gross,
            "charges_paise": self.charges,
            "net_pnl_paise": None if gross is None else gross - self.charges,
        }


@dataclass(slots=True)
class _Standing:
    transaction: str
    pending: int
    trigger: int


@dataclass(slots=True)
class _Leg:
    """What is open in one symbol and product, and the orders that stand there."""

    net: int = 0
    trip: Trip | None = None
    standing: dict[str, _Standing] = field(default_factory=dict)
    surplus: bool = False

    def exits(self, transaction: str) -> int:
        return sum(one.pending for one in self.standing.values() if one.transaction == transaction)


class Audit:
    """Folds events into the findings."""

    def __init__(self) -> None:
        self.trips: list[Trip] = []
        self.trips_before = 0  # over and not listed any more
        self._unprotected_before_ms = 0  # the longest interval of those
        self.surplus_exits = 0
        self.stops_moved_back = 0
        self.duplicate_tags = 0
        self.orders = 0
        self.trades = 0
        self.charges = 0
        self.flow: dict[str, int] = {}
        self._legs: dict[tuple[str, str], _Leg] = {}
        self._tags: dict[str, None] = {}  # the latest, oldest first
        self._charged: dict[str, Trip] = {}  # the trip that an order last traded for

    def apply(self, event: Event) -> None:
        """Take one event.

        Parameters
        ----------
        event : dict
            `kind` (placed, stands, gone, fill, charge), `ms`, `order_id`, `symbol`, `product`,
            `transaction`, and `tag`; `pending`, `trigger`; `quantity`, `price`, `pending`; or
            `paise`.
        """
        match event["kind"]:
            case "placed":
                self._placed(event)
            case "charge":
                self._charge(event)
            case kind:
                self._moved(kind, event)

    def document(self, now_ms: int, last_prices: dict[str, int]) -> Event:
        """Return all findings.

        Parameters
        ----------
        now_ms : int
        last_prices : dict of str to int, paise, by key
            What open positions are valued at.
        """
        trips = [trip.document(now_ms) for trip in self.trips]
        final: dict[str, int] = {}
        for (symbol, _), leg in self._legs.items():
            final[symbol] = final.get(symbol, 0) + leg.net
        open_value = sum(shares * last_prices.get(symbol, 0) for symbol, shares in final.items())
        gross = sum(self.flow.values()) + open_value
        return {
            "positions": trips,
            "positions_before": self.trips_before,
            "max_unprotected_ms": max(
                [trip["max_unprotected_ms"] for trip in trips] + [self._unprotected_before_ms]
            ),
            "surplus_exits": self.surplus_exits,
            "stops_moved_back": self.stops_moved_back,
            "duplicate_tags": self.duplicate_tags,
            "final_position": {symbol: net for symbol, net in sorted(final.items()) if net},
            "gross_pnl_paise": gross,
            "charges_paise": self.charges,
            "net_pnl_paise": gross - self.charges,
            "orders": self.orders,
            "trades": self.trades,
        }

    def _placed(self, event: Event) -> None:
        self.orders += 1
        tag = event["tag"]
        if tag:
            self.duplicate_tags += tag in self._tags
            self._tags[tag] = None
            _trim(self._tags, TAGS_MAX)

    def _charge(self, event: Event) -> None:
        self.charges += event["paise"]
        trip = self._charged.get(event["order_id"])
        if trip is not None:
            trip.charges += event["paise"]

    def _moved(self, kind: str, event: Event) -> None:
        leg = self._legs.setdefault((event["symbol"], event["product"]), _Leg())
        order_id = event["order_id"]
        if kind in {"fill", "moved"}:
            if order_id in leg.standing:
                leg.standing[order_id].pending = event["pending"]
            self._trade(leg, event)
        elif kind == "gone":
            leg.standing.pop(order_id, None)
        else:
            self._stand(leg, order_id, event)
        self._judge(leg, event["ms"])

    def _trade(self, leg: _Leg, event: Event) -> None:
        self.trades += event["kind"] == "fill"  # not what a conversion or an auction moved
        sign = 1 if event["transaction"] == "BUY" else -1
        quantity, price = event["quantity"], event["price"]
        self.flow[event["symbol"]] = self.flow.get(event["symbol"], 0) - sign * quantity * price
        closing = min(quantity, max(-sign * leg.net, 0))
        if closing and leg.trip is not None:
            trip = leg.trip
            _book(trip, sign, closing, price)
            leg.net += sign * closing
            self._owes(event["order_id"], trip)
            if leg.net == 0:
                self._close(leg, event["ms"])
        if quantity > closing:
            if leg.trip is None:
                side = "LONG" if sign > 0 else "SHORT"
                leg.trip = Trip(event["symbol"], event["product"], side, event["ms"])
                self.trips.append(leg.trip)
                self._forget()
            _book(leg.trip, sign, quantity - closing, price)
            leg.net += sign * (quantity - closing)
            leg.trip.quantity_max = max(leg.trip.quantity_max, abs(leg.net))
            self._owes(event["order_id"], leg.trip)

    def _forget(self) -> None:
        """Let go of the oldest trip that is over, beyond what is listed."""
        if len(self.trips) <= TRIPS_MAX:
            return
        over = (n for n, trip in enumerate(self.trips) if trip.closed_ms is not None)
        oldest = next(over, None)
        if oldest is not None:
            longest = max((end - since for since, end in self.trips[oldest].unprotected), default=0)
            self._unprotected_before_ms = max(self._unprotected_before_ms, longest)
            self.trips_before += 1
            del self.trips[oldest]

    def _owes(self, order_id: str, trip: Trip) -> None:
        """Let the next charge of an order be the trip's."""
        self._charged[order_id] = trip
        _trim(self._charged, CHARGED_MAX)

    @staticmethod
    def _close(leg: _Leg, ms: int) -> None:
        trip = leg.trip
        if trip is not None:
            trip.closed_ms = ms
            _covered(trip, ms)
        leg.trip = None

    def _stand(self, leg: _Leg, order_id: str, event: Event) -> None:
        before = leg.standing.get(order_id)
        now = _Standing(event["transaction"], event["pending"], event["trigger"])
        leg.standing[order_id] = now
        trip = leg.trip
        exit_side = "SELL" if leg.net > 0 else "BUY"
        if trip is None or not now.trigger or now.transaction != exit_side:
            return
        better = BETTER[exit_side]
        fresh = before is None or before.trigger != now.trigger
        if trip.best_trigger and fresh and better * (now.trigger - trip.best_trigger) < 0:
            self.stops_moved_back += 1
        if not trip.best_trigger or better * (now.trigger - trip.best_trigger) > 0:
            trip.best_trigger = now.trigger

    def _judge(self, leg: _Leg, ms: int) -> None:
        trip = leg.trip
        exits = leg.exits("SELL" if leg.net > 0 else "BUY") if leg.net else 0
        surplus = exits > abs(leg.net) and leg.net != 0
        if surplus and not leg.surplus:
            self.surplus_exits += 1
        leg.surplus = surplus
        if trip is None:
            return
        if not trip.best_trigger:
            self._first_stop(leg, trip)
        if exits >= abs(leg.net):
            _covered(trip, ms)
        elif trip.naked_since is None:
            trip.naked_since = ms

    @staticmethod
    def _first_stop(leg: _Leg, trip: Trip) -> None:
        """Count a stop that stood before the first fill as the first that the position has."""
        exit_side = "SELL" if leg.net > 0 else "BUY"
        triggers = [
            one.trigger
            for one in leg.standing.values()
            if one.trigger and one.transaction == exit_side
        ]
        if triggers:
            trip.best_trigger = max(triggers, key=lambda t: BETTER[exit_side] * t)


def _trim(kept: dict[str, Any], most: int) -> None:
    if len(kept) > most:
        del kept[next(iter(kept))]


def _book(trip: Trip, sign: int, quantity: int, price: int) -> None:
    side = trip.bought if sign > 0 else trip.sold
    side[0] += quantity
    side[1] += quantity * price


def _covered(trip: Trip, ms: int) -> None:
    if trip.naked_since is not None and ms > trip.naked_since:
        trip.unprotected.append([trip.naked_since, ms])
    trip.naked_since = None
