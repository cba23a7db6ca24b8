"""Own orders against the depth shown: who trades, how much, at which price.

Rule 1: pure. Integer ticks and shares in, events out; no clock, no I/O, no randomness.
Rule 2: the life of an order is the table NEXT; no state is written anywhere else. A pair that is
not in it is a bug of ours and changes nothing.
Rule 3: this room knows limits and stop limits only. A protected MARKET order is a limit at its
band, an SL-M a stop limit at its band: the exchange has no other kind since April 2026, and the
names are the desk's business (desk.py).
Order of an instant: resting orders trade at their own limit, by price, then time; then stops are
triggered by the last traded price, in the order of their arrival, and take what is left of the
depth. What an order takes is gone until the next depth is shown.
Two orders of one account never trade with each other: what comes to an own order is cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent.errors import check

BUY: Final = 1
SELL: Final = -1

LOCKED_QUEUE: Final = 10_000_000  # shares before an order that comes to a locked circuit limit

Levels = tuple[tuple[int, int], ...]


class State(StrEnum):
    """Where an order stands at the exchange; the values are the broker's words."""

    SENT = "OPEN PENDING"
    OPEN = "OPEN"
    ARMED = "TRIGGER PENDING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class Evidence(StrEnum):
    """What happened to an order."""

    ENTERED = "entered"
    ENTERED_STOP = "entered as a stop"
    REFUSED = "refused"
    TRIGGERED = "triggered"
    PART_FILLED = "part filled"
    FILLED = "filled"
    AMENDED = "amended"
    RETYPED = "made a plain limit"
    NOT_AMENDED = "not amended"
    WITHDRAWN = "withdrawn"
    NOT_WITHDRAWN = "not withdrawn"
    EXPIRED = "expired"
    OWN_ORDER_AHEAD = "would trade with an own order"


FINAL: Final = frozenset({State.COMPLETE, State.CANCELLED, State.REJECTED})

NEXT: Final[dict[tuple[State, Evidence], State]] = {
    (State.SENT, Evidence.ENTERED): State.OPEN,
    (State.SENT, Evidence.ENTERED_STOP): State.ARMED,
    (State.SENT, Evidence.REFUSED): State.REJECTED,
    (State.SENT, Evidence.NOT_AMENDED): State.SENT,
    (State.SENT, Evidence.WITHDRAWN): State.CANCELLED,  # before it reached the exchange
    (State.SENT, Evidence.EXPIRED): State.CANCELLED,  # the session closed on its way
    (State.OPEN, Evidence.PART_FILLED): State.OPEN,
    (State.OPEN, Evidence.FILLED): State.COMPLETE,
    (State.OPEN, Evidence.AMENDED): State.OPEN,
    (State.OPEN, Evidence.NOT_AMENDED): State.OPEN,  # its trigger won the race
    (State.OPEN, Evidence.WITHDRAWN): State.CANCELLED,
    (State.OPEN, Evidence.EXPIRED): State.CANCELLED,
    (State.OPEN, Evidence.OWN_ORDER_AHEAD): State.CANCELLED,  # self-trade prevention
    (State.ARMED, Evidence.TRIGGERED): State.OPEN,
    (State.ARMED, Evidence.RETYPED): State.OPEN,
    (State.ARMED, Evidence.AMENDED): State.ARMED,
    (State.ARMED, Evidence.NOT_AMENDED): State.ARMED,
    (State.ARMED, Evidence.WITHDRAWN): State.CANCELLED,
    (State.ARMED, Evidence.EXPIRED): State.CANCELLED,
    (State.COMPLETE, Evidence.NOT_AMENDED): State.COMPLETE,  # the fill won the race
    (State.COMPLETE, Evidence.NOT_WITHDRAWN): State.COMPLETE,
    (State.CANCELLED, Evidence.NOT_AMENDED): State.CANCELLED,
    (State.CANCELLED, Evidence.NOT_WITHDRAWN): State.CANCELLED,
    (State.REJECTED, Evidence.NOT_AMENDED): State.REJECTED,
    (State.REJECTED, Evidence.NOT_WITHDRAWN): State.REJECTED,
}


@dataclass(slots=True)
class Order:
    """One order as the exchange holds it.

    Parameters
    ----------
    id : str
    side : int
        `BUY` (+1) or `SELL` (-1).
    quantity : int, shares, the total ever asked for
    limit : int, ticks
    trigger : int, ticks
        0 for a plain limit order.
    ioc : bool
        What does not trade at once is cancelled.
    disclosed : int, shares
        What the others see of it; each part shown joins the queue anew. 0 shows all.
    """

    id: str
    side: int
    quantity: int
    limit: int
    trigger: int = 0
    ioc: bool = False
    state: State = State.SENT
    filled: int = 0
    rank: int = 0  # arrival; the time of price-time
    ahead: int = 0  # others' shares that stand before it at its price
    void: bool = False  # the exchange cancels it when its trigger is reached: a fault
    disclosed: int = 0
    shown_left: int = 0  # of the part shown

    @property
    def pending(self) -> int:
        """Shares not yet traded."""
        return self.quantity - self.filled

    @property
    def live(self) -> bool:
        """Whether it stands at the exchange."""
        return self.state in (State.OPEN, State.ARMED)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an amendment asks for; None leaves a term as it is.

    `plain` turns a stop into a limit order; `trigger` asks for another trigger; `ioc` lets an
    order trade at once or be cancelled, or rest again.
    """

    quantity: int | None = None
    limit: int | None = None
    trigger: int | None = None
    plain: bool = False
    ioc: bool | None = None
    disclosed: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What the market shows at an instant.

    Parameters
    ----------
    last : int, ticks
        The last traded price.
    traded : int, shares
        What others traded at that price since the instant before.
    bids, asks : tuple of (ticks, shares), best first
    """

    last: int
    traded: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class Change:
    """An order moved in NEXT; `why` says what a refusal was for."""

    order: Order
    evidence: Evidence
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """Shares of an order traded at a price in ticks; `passive` if it was resting."""

    order: Order
    quantity: int
    price: int
    passive: bool


Event = Change | Fill


class Book:
    """The live orders of one instrument."""

    def __init__(self) -> None:
        self.shown: Shown | None = None
        self.orders: dict[str, Order] = {}
        self.collecting = False  # an auction's orders are collected: none trades on arrival
        self._taken: dict[int, int] = {}
        self._arrivals = 0

    def enter(self, order: Order) -> list[Event]:
        """Take an order that reached the exchange; it trades, rests or arms.

        A stop whose trigger the last price has reached already is triggered at once.

        Raises
        ------
        Broken
            If the order was here before.
        """
        check(order.state is State.SENT, "only an order on its way enters", order=order)
        events: list[Event] = []
        self.orders[order.id] = order
        if order.trigger:
            self._move(order, Evidence.ENTERED_STOP, events)
            self._rank(order)
            self._trigger_if_reached(order, events)
        else:
            self._move(order, Evidence.ENTERED, events)
            self._arrive(order, events)
        return events

    def refuse(self, order: Order) -> list[Event]:
        """Turn an order away on its arrival."""
        events: list[Event] = []
        self._move(order, Evidence.REFUSED, events)
        return events

    def adopt(self, order: Order) -> None:
        """Take back an order that stood here before a restart, as it stood."""
        check(order.live, "only an order that stands is taken back", order=order)
        self.orders[order.id] = order
        self._arrivals = max(self._arrivals, order.rank)

    def amend(self, order: Order, terms: Terms) -> list[Event]:
        """Change an order's terms as far as its state still allows.

        A change of price or more quantity loses the place in the queue, less quantity keeps it;
        to IOC, it trades at once or is cancelled.
        `terms.quantity` is the new total, what has traded included.
        """
        events: list[Event] = []
        why = _not_amendable(order, terms)
        if why:
            self._move(order, Evidence.NOT_AMENDED, events, why)
            return events
        requeue = order.state is State.ARMED or _loses_priority(order, terms) or bool(terms.ioc)
        order.quantity = order.quantity if terms.quantity is None else terms.quantity
        order.limit = order.limit if terms.limit is None else terms.limit
        order.ioc = order.ioc if terms.ioc is None else terms.ioc
        order.disclosed = order.disclosed if terms.disclosed is None else terms.disclosed
        if order.state is State.ARMED and terms.plain:
            order.trigger = 0
            self._move(order, Evidence.RETYPED, events)
        else:
            order.trigger = order.trigger if terms.trigger is None else terms.trigger
            self._move(order, Evidence.AMENDED, events)
        if order.state is State.ARMED:
            self._trigger_if_reached(order, events)
        elif requeue:
            self._arrive(order, events)
        return events

    def withdraw(self, order: Order, why: str = "") -> list[Event]:
        """Cancel an order, or say that it was final already."""
        events: list[Event] = []
        final = order.state in FINAL
        self._move(order, Evidence.NOT_WITHDRAWN if final else Evidence.WITHDRAWN, events, why)
        return events

    def force(self, order: Order) -> list[Event]:
        """Trade all of a standing order now, at the last price or its limit: a race lost."""
        shown, events = self.shown, list[Event]()
        if shown is None or not order.live:
            return events
        if order.state is State.ARMED:
            self._move(order, Evidence.TRIGGERED, events)
        beyond = order.side * (shown.last - order.limit) > 0
        price = order.limit if beyond else shown.last
        self._fill(order, order.pending, price, events, passive=True)
        return events

    def expire(self, order: Order, why: str = "") -> list[Event]:
        """End an order that the exchange no longer holds."""
        events: list[Event] = []
        self._move(order, Evidence.EXPIRED, events, why)
        return events

    def show(self, shown: Shown) -> list[Event]:
        """Meet the market of the next instant: resting orders, then triggers."""
        self.shown = shown
        self._taken.clear()
        if not self.orders or self.collecting:
            return []
        events: list[Event] = []
        resting = [o for o in self.orders.values() if o.state is State.OPEN]
        armed = [o for o in self.orders.values() if o.state is State.ARMED]
        left = shown.traded
        for order in sorted(resting, key=_price_time):
            left -= self._fill_resting(order, left, events)
        for order in sorted(armed, key=lambda o: o.rank):
            self._trigger_if_reached(order, events)
        return events

    def cross(self, price: int, shares: int, *, at_limits: bool = False) -> list[Event]:
        """Match an auction: what its price reaches trades at that one price, by price, then time.

        With `at_limits` each trades at its own price instead.

        Parameters
        ----------
        price : int, ticks
        shares : int
            What others want of each side at that price.
        """
        events: list[Event] = []
        left = {BUY: shares, SELL: shares}
        for order in sorted(self.orders.values(), key=_price_time):
            if order.state is State.OPEN and order.side * (order.limit - price) >= 0:
                quantity = min(order.pending, left[order.side])
                left[order.side] -= quantity
                if quantity:
                    paid = order.limit if at_limits else price
                    self._fill(order, quantity, paid, events, passive=True)
        return events

    def remaining(self, side: int) -> Levels:
        """Return the depth of one side (`BUY`: the bids) less what own orders took of it."""
        if self.shown is None:
            return ()
        levels = self.shown.bids if side == BUY else self.shown.asks
        if not self._taken:
            return levels
        left = ((price, shares - self._taken.get(price, 0)) for price, shares in levels)
        return tuple(level for level in left if level[1] > 0)

    def _trigger_if_reached(self, order: Order, events: list[Event]) -> None:
        shown = self.shown
        if shown is None or order.side * (shown.last - order.trigger) < 0:
            return
        self._move(order, Evidence.TRIGGERED, events)
        if order.void:
            self._move(order, Evidence.EXPIRED, events, "Order cancelled by the exchange.")
        else:
            self._arrive(order, events)

    def _arrive(self, order: Order, events: list[Event]) -> None:
        """Trade against the depth as the one who comes to it; rest with what is left.

        An own order on the other side stands in the way: the one who comes is cancelled there.
        """
        self._rank(order)
        order.shown_left = order.disclosed
        own = None if self.collecting else self._own_opposite(order)
        for price, shares in () if self.collecting else self.remaining(-order.side):
            beyond_own = own is not None and order.side * (price - own.limit) > 0
            if order.side * (price - order.limit) > 0 or not order.pending or beyond_own:
                break
            at_own = own is not None and price == own.limit
            before = min(shares, own.ahead) if own is not None and at_own else shares
            if before:
                self._fill(order, min(before, order.pending), price, events, passive=False)
        if order.state is State.OPEN:
            if own is not None:
                why = "Self-trade prevention: it would trade with an own order."
                self._move(order, Evidence.OWN_ORDER_AHEAD, events, why)
            elif order.ioc:
                self._move(order, Evidence.EXPIRED, events, "IOC: nothing more to trade with")
            else:
                order.ahead = self._queue_at(order)

    def _fill_resting(self, order: Order, traded: int, events: list[Event]) -> int:
        """Trade as the one who waited, at the order's own limit; return what the tape gave."""
        shown = self.shown
        if shown is None:
            return 0
        for price, shares in self.remaining(-order.side):
            if order.side * (price - order.limit) > 0 or not order.pending:
                break
            quantity = min(shares, order.pending)
            self._taken[price] = self._taken.get(price, 0) + quantity
            self._fill(order, quantity, order.limit, events, passive=True)
        if order.state is not State.OPEN:
            return 0
        beyond = order.side * (order.limit - shown.last)
        from_tape = 0
        if beyond >= 0 and traded > 0:
            waits = order.ahead if beyond == 0 else 0  # a price beyond has emptied the queue
            part = order.shown_left if order.disclosed and beyond == 0 else order.pending
            from_tape = min(max(traded - waits, 0), order.pending, part)
            order.ahead = max(waits - traded, 0)
            if from_tape:
                order.shown_left -= from_tape
                self._fill(order, from_tape, order.limit, events, passive=True)
        order.ahead = min(order.ahead, self._queue_at(order))
        if order.disclosed and order.shown_left <= 0:  # the next part joins behind all who wait
            order.shown_left, order.ahead = order.disclosed, self._queue_at(order)
        return from_tape

    def _own_opposite(self, order: Order) -> Order | None:
        """Return the best resting order of the other side that an arrival would trade with."""
        crossed = [
            one
            for one in self.orders.values()
            if one.side != order.side
            and one.state is State.OPEN
            and order.side * (order.limit - one.limit) >= 0
        ]
        return min(crossed, key=_price_time, default=None)

    def _fill(
        self, order: Order, quantity: int, price: int, events: list[Event], *, passive: bool
    ) -> None:
        if not passive:
            self._taken[price] = self._taken.get(price, 0) + quantity
        order.filled += quantity
        events.append(Fill(order, quantity, price, passive))
        self._move(order, Evidence.PART_FILLED if order.pending else Evidence.FILLED, events)

    def _queue_at(self, order: Order) -> int:
        """Return the shares shown at the order's price; below the last level, as many as there.

        At a circuit limit where nobody takes the other side, the queue is the whole market's.
        """
        levels = () if self.shown is None else self._own_side(order.side, self.shown)
        if self.shown is not None and levels and not self._own_side(-order.side, self.shown):
            return LOCKED_QUEUE
        for price, shares in levels:
            if price == order.limit:
                return shares
            if order.side * (order.limit - price) > 0:
                return 0  # better than what stands there: first in its own queue
        return levels[-1][1] if levels else 0

    @staticmethod
    def _own_side(side: int, shown: Shown) -> Levels:
        return shown.bids if side == BUY else shown.asks

    def _rank(self, order: Order) -> None:
        self._arrivals += 1
        order.rank = self._arrivals

    def _move(self, order: Order, evidence: Evidence, events: list[Event], why: str = "") -> None:
        state = NEXT.get((order.state, evidence))
        check(state is not None, "no such step in an order's life", order=order, evidence=evidence)
        order.state = state or order.state
        if order.state in FINAL:
            self.orders.pop(order.id, None)
        events.append(Change(order, evidence, why))


def _price_time(order: Order) -> tuple[int, int, int]:
    return (order.side, -order.side * order.limit, order.rank)


def _loses_priority(order: Order, terms: Terms) -> bool:
    moved = terms.limit is not None and terms.limit != order.limit
    return moved or (terms.quantity is not None and terms.quantity > order.quantity)


def _not_amendable(order: Order, terms: Terms) -> str:
    """Return why an amendment cannot be applied, "" if it can."""
    if order.state in FINAL:
        return f"order is {order.state.value}"
    if order.state is State.SENT:
        return "order is being processed"
    if order.state is State.OPEN and terms.trigger:
        return "order is being processed: it has been triggered"
    if terms.quantity is not None and terms.quantity <= order.filled:
        return f"{order.filled} shares have been traded already"
    return ""
