"""An order at the exchange: it enters, is changed, trades and ends, and all of it is written down.

The floor hands orders to the books of the instruments and turns what happens there into rows,
trades, updates, charges and audit events. What a client may ask for is desk.py's business, what
the broker does by itself backoffice.py's. It reads no clock: the exchange calls back what is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from agent.paper import audit as audits
from agent.paper.board import Board
from agent.paper.books import Books
from agent.paper.gtt import Gtt, Triggers
from agent.paper.matching import NEXT, Book, Change, Event, Evidence, Fill, Order, State, Terms
from agent.paper.records import CANCELLED_HELD, Record, Trade, update_of
from agent.paper.risk import amended_rejection, rejection
from agent.paper.tickets import Amendment, Place, Ticket, protected_limit

LATENCY_MS: Final = 40  # until an order, a change or a cancel is at the exchange
UNDISCLOSED: Final = "Disclosed-quantity orders do not enter the closing auction."

Callback = Callable[[int], None]


@dataclass(slots=True)
class Notes:
    """What happened since it was last read, for those who push, store and audit."""

    updates: list[dict[str, Any]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    events: list[audits.Event] = field(default_factory=list)
    touched: dict[str, Record] = field(default_factory=dict)
    gtts: dict[int, Gtt] = field(default_factory=dict)


class Floor:
    """The day's orders and trades, and the books that they stand in.

    Parameters
    ----------
    books : Books
    schedule : callable (delay_ms, callback)
        Calls back with the time when it is due.
    """

    def __init__(self, books: Books, schedule: Callable[[int, Callback], None]) -> None:
        self.books = books
        self.boards: dict[str, Board] = {}
        self.on: date = date.min
        self.records: dict[str, Record] = {}  # today's
        self._unfinished: dict[str, Record] = {}  # of them, those not seen final yet
        self.trades: list[Trade] = []  # today's
        self.gtts = Triggers()
        self.notes = Notes()
        self.schedule = schedule
        self._orders = 0
        self._trades = 0
        self._doomed: dict[str, str] = {}  # order id -> why the exchange will reject it
        self._hidden: dict[str, str] = {}  # order id -> the last update that was kept back

    def read_notes(self) -> Notes:
        """Return what happened since the last call."""
        self.notes.gtts = self.gtts.take_touched()
        notes, self.notes = self.notes, Notes()
        return notes

    def pending(self) -> list[Record]:
        """Return the orders that may still trade."""
        found = [record for record in self._unfinished.values() if not record.final]
        if len(found) < len(self._unfinished):
            self._unfinished = {record.order_id: record for record in found}
        return found

    def unfinished(self, key: str) -> list[Record]:
        """Return an instrument's orders that may still trade."""
        return [one for one in self.pending() if one.key == key]

    def have(self, records: Iterable[Record]) -> None:
        """Have these records, and no others, in the day's order book."""
        self.records = {record.order_id: record for record in records}
        self._unfinished = dict(self.records)

    def board_of(self, record: Record) -> Board:
        """Return what an order is for."""
        return self.boards[record.key]

    def book_of(self, record: Record) -> Book:
        """Return where an order stands."""
        board = self.board_of(record)
        return board.sale if record.variety == "auction" else board.book

    @staticmethod
    def place_of(board: Board) -> Place:
        """Return what the prices of a request are measured against."""
        tick = board.instrument.tick_paise
        return Place(board.instrument, board.last, (board.band[0] * tick, board.band[1] * tick))

    # faults

    def doom(self, order_id: str, why: str) -> None:
        """Let the exchange reject an order when it arrives."""
        self._doomed[order_id] = why

    def hide(self, order_id: str) -> None:
        """Keep an order's row, trades and updates back; it stands and trades all the same."""
        self._hidden[order_id] = ""

    def hidden(self, order_id: str) -> bool:
        """Tell whether an order is kept back."""
        return order_id in self._hidden

    def reveal(self, order_id: str) -> None:
        """Show an order again, and tell its last update if one was kept back."""
        status, record = self._hidden.pop(order_id, ""), self.records.get(order_id)
        if status and record is not None:
            self.push(record, status)

    def void(self, order_id: str) -> None:
        """Let the exchange cancel a stop when it triggers."""
        record = self.records.get(order_id)
        if record is not None and record.order is not None:
            record.order.void = True

    def force(self, order_id: str, now_ms: int) -> None:
        """Trade all of an order that stands at the exchange, as if it had won a race."""
        record = self.records.get(order_id)
        if record is not None and record.order is not None and record.order.live:
            board = self.board_of(record)
            board.look()
            self.settle(record, board.book.force(record.order), now_ms)

    # to the exchange

    def new_record(
        self, board: Board, ticket: Ticket, now_ms: int, variety: str = "regular", by: str = ""
    ) -> Record:
        """Open an order's record, as it was asked for; it is not at the exchange yet."""
        self._orders += 1
        order_id = f"{self.on:%y%m%d}{self._orders:09d}"
        instrument = board.instrument
        each = -(-ticket.quantity // ticket.legs) if ticket.legs else ticket.quantity
        record = Record(
            order_id, instrument.key, instrument.token, variety, ticket.product,
            ticket.transaction, ticket.order_type, ticket.validity, each,
            ticket.disclosed, ticket.price, ticket.trigger, ticket.limit, str(ticket.protection),
            ticket.tag, now_ms, instrument.tick_paise, ttl_minutes=ticket.ttl_minutes,
            stop=ticket.stop,
        )  # fmt: skip
        record.placed_by = by or record.placed_by
        record.count_from(now_ms)
        if ticket.legs:
            record.meta = {"iceberg": {
                "leg": 1, "legs": ticket.legs, "leg_quantity": each,
                "total_quantity": ticket.quantity, "remaining_quantity": ticket.quantity - each,
            }}  # fmt: skip
        record.order = order_of(record)
        self.records[order_id] = self._unfinished[order_id] = record
        self.note(record, "placed", now_ms, tag=ticket.tag)
        self.touch(record)
        return record

    def announce(self, record: Record, now_ms: int) -> None:
        """Let an order pass the broker's desks."""
        for status in ("PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"):
            record.log(now_ms, status)
        self.touch(record)

    def send(self, record: Record, now_ms: int) -> None:
        """Put an order on its way to the exchange."""
        self.announce(record, now_ms)
        self.schedule(LATENCY_MS, self.entering(record))

    def entering(self, record: Record) -> Callback:
        """Return the callback of an arrival at the exchange."""
        return lambda at: self._enter_when_open(record, at)

    def expiring(self, record: Record) -> Callback:
        """Return the callback of the end of a TTL order."""
        return lambda at: self._expire_ttl(record, at)

    def _enter_when_open(self, record: Record, now_ms: int) -> None:
        opens_ms = self.board_of(record).session.opens_ms
        if now_ms < opens_ms:  # collected in the pre-open, live at the open
            record.count_from(opens_ms)
            self.schedule(opens_ms - now_ms, self.entering(record))
        elif not record.final:
            self.enter(record, now_ms)

    def enter(self, record: Record, now_ms: int) -> None:
        """Let an order arrive at the exchange: past the broker's risk desk, or rejected."""
        board, order = self.board_of(record), record.order
        others = [  # those before it
            one for one in self.pending() if one.exchange_ms is not None and one is not record
        ]
        why = self._doomed.pop(record.order_id, "")
        if not why and not record.square_off:
            why = rejection(record, board, self.books, others, now_ms)
        if order is None or why:
            if order is not None:
                board.book.refuse(order)
            record.log(now_ms, State.REJECTED.value, why)
            self.push(record, "REJECTED")
            return
        record.exchange_ms = now_ms
        record.exchange_order_id = f"13{self.on:%y%m%d}{int(record.order_id[-8:]):08d}"
        board.look()
        if record.validity == "TTL":
            self.schedule(max(record.expires_ms - now_ms, 0), self.expiring(record))
        self.settle(record, self.book_of(record).enter(order), now_ms)

    def amended(self, record: Record, amendment: Amendment, now_ms: int) -> None:
        """Apply a modification that has reached the exchange, unless something else won."""
        record.in_flight = "" if record.in_flight == "modify" else record.in_flight
        order, board = record.order, self.board_of(record)
        if order is None or record.final:
            return
        board.look()
        why = "" if order.live else "order is being processed: between two legs"
        why = why or amended_rejection(record, amendment, board, self.books, self.pending())
        if why:
            refused = Change(order, Evidence.NOT_AMENDED, why)
            self.settle(record, [refused], now_ms)
            return
        events = self.book_of(record).amend(order, self._terms(record, amendment))
        if not (isinstance(events[0], Change) and events[0].evidence is Evidence.NOT_AMENDED):
            self.take_terms(record, amendment, now_ms)
        self.settle(record, events, now_ms)

    def take_terms(self, record: Record, amendment: Amendment, now_ms: int) -> None:
        """Write new terms into an order's record."""
        record.order_type, record.quantity = amendment.order_type, amendment.quantity
        record.price, record.trigger = amendment.price, amendment.trigger
        record.limit, record.protection = amendment.limit, str(amendment.protection)
        record.validity, record.disclosed = amendment.validity, amendment.disclosed
        record.rested = False
        if amendment.ttl_minutes:
            record.ttl_minutes = amendment.ttl_minutes
            record.count_from(now_ms)
            self.schedule(record.expires_ms - now_ms, self.expiring(record))

    def cancelled(self, record: Record, now_ms: int) -> None:
        """Apply a cancel that has reached the exchange, unless the order had its end before."""
        record.in_flight = ""
        self.end(record, now_ms)

    def end(self, record: Record, now_ms: int, why: str = "", *, expired: bool = False) -> None:
        """Cancel an order, or let it expire; one that is final stays as it is."""
        order = record.order
        if order is None or record.final:
            return
        if order.state is State.COMPLETE:  # an iceberg order between two legs
            record.log(now_ms, State.CANCELLED.value, why or None)
            self.note(record, "gone", now_ms)
            self.push(record, record.status)
            return
        book = self.book_of(record)
        self.settle(record, (book.expire if expired else book.withdraw)(order, why), now_ms)

    def _expire_ttl(self, record: Record, now_ms: int) -> None:
        if record.live and record.validity == "TTL" and now_ms >= record.expires_ms:
            self.end(record, now_ms, "Order cancelled: its validity has passed.", expired=True)

    # what happened

    def settle(self, record: Record, events: list[Event], now_ms: int) -> None:
        """Write down what happened to an order at the exchange."""
        update = ""
        for event in events:
            if isinstance(event, Fill):
                self._fill(record, event, now_ms)
            else:
                update = self._change(record, event, now_ms) or update
        entered = record.order_type == "MARKET" or (
            record.order_type == "SL-M" and record.triggered
        )
        if record.live and entered and not record.square_off:
            record.rested = True
        if update:
            self.push(record, update)
        self.touch(record)
        if record.variety != "regular":
            self.follow(record, now_ms)

    def follow(self, record: Record, now_ms: int) -> None:
        """Do what an order's variety asks for after each of its steps."""

    def _change(self, record: Record, change: Change, now_ms: int) -> str:
        """Write a step of an order's life into its record; return the update to push, if any."""
        why = change.why or None
        armed = bool(record.trigger) and not record.triggered
        stands = State.ARMED.value if armed else State.OPEN.value
        match change.evidence:
            case Evidence.ENTERED | Evidence.ENTERED_STOP:
                record.log(now_ms, stands)
            case Evidence.TRIGGERED:
                record.triggered = True
                record.log(now_ms, State.OPEN.value)
            case Evidence.AMENDED | Evidence.RETYPED:
                record.exchange_ms = now_ms
                record.log(now_ms, "MODIFIED")
                record.log(now_ms, stands)
            case Evidence.NOT_AMENDED:
                record.log(now_ms, "NOT MODIFIED", why)
                record.log(now_ms, stands)
            case Evidence.PART_FILLED | Evidence.FILLED:  # the fill itself has told it
                return "COMPLETE" if record.final else "UPDATE"
            case _:
                word = NEXT[State.OPEN, change.evidence].value
                record.log(now_ms, CANCELLED_HELD if record.held else word, why)
                self.note(record, "gone", now_ms)
                return record.status
        trigger = 0 if record.triggered else record.trigger
        self.note(record, "stands", now_ms, pending=record.pending, trigger=trigger)
        placed = change.evidence in {Evidence.ENTERED, Evidence.ENTERED_STOP}
        return "" if placed else "UPDATE"  # the broker tells nothing of a mere placement

    def _fill(self, record: Record, fill: Fill, now_ms: int) -> None:
        board = self.board_of(record)
        price = fill.price * board.instrument.tick_paise
        record.filled += fill.quantity
        record.value += fill.quantity * price
        record.exchange_ms = now_ms
        self._trades += 1
        trade = Trade(
            f"{self.on:%y%m%d}{self._trades:07d}",
            record.order_id,
            record.exchange_order_id or "",
            record.key,
            record.token,
            record.product,
            record.transaction,
            fill.quantity,
            price,
            now_ms,
            record.placed_ms,
        )
        self.trades.append(trade)
        self.notes.trades.append(trade)
        done = record.filled == record.quantity and not record.to_come
        record.log(now_ms, "COMPLETE" if done else "OPEN")
        self.note(
            record, "fill", now_ms,
            quantity=fill.quantity, price=price, pending=record.quantity - record.filled,
        )  # fmt: skip
        if record.final:
            self.note(record, "gone", now_ms)
        charged = self.books.fill(record, fill.quantity, price, self.on, board.instrument.segment)
        self.note(record, "charge", now_ms, paise=charged)

    def charge(self, record: Record, paise: int, now_ms: int) -> None:
        """Charge a fee on an order beside its trades."""
        self.books.charge(paise)
        self.note(record, "charge", now_ms, paise=paise)

    def note(self, record: Record, kind: str, now_ms: int, **facts: int | str | None) -> None:
        """Tell the audit."""
        event: audits.Event = {"kind": kind, "ms": now_ms, "order_id": record.order_id}
        event |= {"symbol": record.key, "product": record.product}
        self.notes.events.append(event | {"transaction": record.transaction} | facts)

    def note_moved(
        self, key: str, product: str, transaction: str, now_ms: int, **facts: int
    ) -> None:
        """Tell the audit of what moved a position without an order: shares at a price, or a fee."""
        kind = "charge" if "paise" in facts else "moved"
        event: audits.Event = {"kind": kind, "ms": now_ms, "order_id": f"{key} {product}"}
        event |= {"symbol": key, "product": product, "transaction": transaction, "pending": 0}
        self.notes.events.append(event | facts)

    def push(self, record: Record, status: str) -> None:
        """Tell the tickers, or keep it back with its order."""
        if record.order_id in self._hidden:
            self._hidden[record.order_id] = status
        else:
            self.notes.updates.append(update_of(record, status))
        self.touch(record)

    def touch(self, record: Record) -> None:
        """Have a record kept."""
        self.notes.touched[record.order_id] = record

    @staticmethod
    def _terms(record: Record, amendment: Amendment) -> Terms:
        new_trigger = amendment.trigger and (amendment.asks_trigger or not record.triggered)
        return Terms(
            quantity=amendment.quantity,
            limit=amendment.limit // record.tick,
            trigger=amendment.trigger // record.tick if new_trigger else None,
            plain=bool(record.trigger) and not amendment.trigger,
            ioc=amendment.validity == "IOC",
            disclosed=amendment.disclosed,
        )


def order_of(record: Record) -> Order:
    """Return the order that a record sends to the exchange."""
    return Order(
        record.order_id,
        record.side,
        record.quantity,
        record.limit // record.tick,
        record.trigger // record.tick,
        ioc=record.validity == "IOC",
        disclosed=record.disclosed,
    )


def protect_anew(record: Record, place: Place) -> None:
    """Set the protection of a MARKET or SL-M order around the prices of now."""
    protection = Decimal(record.protection)
    if protection:
        around = record.trigger or place.last
        record.limit = protected_limit(record.side, around, protection, place)
