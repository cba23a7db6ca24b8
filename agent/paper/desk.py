"""The way of an order through broker and exchange: placed, on its way, live, changed, final.

The desk keeps the records, hands orders to the books of the instruments 40 ms after they were
asked for, and turns what happens there into fills, updates and audit events. It reads no clock:
the exchange says what time it is and calls back what is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from agent.market.charges import SQUARE_OFF_FEE_PAISE
from agent.paper import audit as audits
from agent.paper.board import Board
from agent.paper.books import Books
from agent.paper.matching import NEXT, Change, Event, Evidence, Fill, Order, State, Terms
from agent.paper.records import Record, Trade, update_of
from agent.paper.refusals import bad_input, bad_order, too_many_modifications
from agent.paper.risk import rejection
from agent.paper.tickets import Amendment, Place, Standing, Ticket, read_amendment, read_ticket

LATENCY_MS: Final = 40  # until an order, a change or a cancel is at the exchange
MODIFICATIONS_MAX: Final = 25
SQUARE_OFF_SHARES_MAX: Final = 30_000  # of one square-off order in the cash market
BEING_PROCESSED: Final = "Order cannot be modified as it is being processed. Try later."

Callback = Callable[[int], None]


@dataclass(slots=True)
class Notes:
    """What happened since it was last read, for those who push, store and audit."""

    updates: list[dict[str, Any]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    events: list[audits.Event] = field(default_factory=list)
    touched: dict[str, Record] = field(default_factory=dict)


class Desk:
    """All orders of the account.

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
        self.trades: list[Trade] = []  # today's
        self.notes = Notes()
        self._schedule = schedule
        self._orders = 0
        self._trades = 0
        self._doomed: dict[str, str] = {}  # order id -> why the exchange will reject it

    def open_day(self, on: date, boards: dict[str, Board]) -> None:
        """Begin a day with an empty order book."""
        self.on, self.boards = on, boards
        self.records, self.trades = {}, []
        self._orders = self._trades = 0

    def restore(self, records: Iterable[Record], trades: Iterable[Trade], now_ms: int) -> None:
        """Take up the day's orders again after a restart.

        What was on its way to the exchange is sent again; a change or cancel on its way is lost,
        as it would be with the machine that carried it.
        """
        self.records = {record.order_id: record for record in records}
        self.trades = list(trades)
        self._orders, self._trades = len(self.records), len(self.trades)
        for record in self.pending():
            order = record.order
            if order is None or order.state is State.SENT:
                due_ms = record.placed_ms + LATENCY_MS
                self._schedule(max(due_ms - now_ms, 0), self._entering(record))
                continue
            if record.in_flight:
                record.in_flight, record.status = "", order.state.value
            self._board(record).book.adopt(order)
            if record.expires_ms:
                self._schedule(max(record.expires_ms - now_ms, 0), self._expiring(record))

    # requests

    def place(self, key: str, params: Mapping[str, str], now_ms: int) -> Record:
        """Take a place request; the answer is its order id, not its fate.

        Raises
        ------
        RequestRefused
            If a field is wrong, the instrument is not traded, or the market is closed.
        """
        board = self._tradable(key)
        ticket = read_ticket(params, self._place_of(board))
        if now_ms >= board.session.closes_ms or not self._takes_orders(board, now_ms):
            raise bad_input(
                "Markets are closed right now. Place an after market order (AMO) instead."
            )
        record = self._new_record(board, ticket, now_ms)
        self._schedule(LATENCY_MS, self._entering(record))
        return record

    def modify(self, order_id: str, params: Mapping[str, str], now_ms: int) -> Record:
        """Take a modify request; accepted is not applied.

        Raises
        ------
        RequestRefused
            If the order is unknown, final or being processed, the change is not allowed, or it
            was changed 25 times.
        """
        record = self._found(order_id)
        order = record.order
        if record.final or record.in_flight or order is None or order.state is State.SENT:
            raise bad_order(BEING_PROCESSED)
        board = self._board(record)
        standing = Standing(
            record.side,
            record.order_type,
            record.quantity,
            record.price or (record.limit if record.rested else 0),
            record.trigger,
            Decimal(record.protection),
            record.triggered,
        )
        amendment = read_amendment(params, standing, self._place_of(board))
        if record.triggered and amendment.asks_trigger:
            raise bad_order(BEING_PROCESSED)
        if record.modifications >= MODIFICATIONS_MAX:
            raise too_many_modifications()
        record.modifications += 1
        record.in_flight = "modify"
        for status in ("MODIFY VALIDATION PENDING", "MODIFY PENDING"):
            record.log(now_ms, status)
        self._touch(record)
        self._schedule(LATENCY_MS, lambda at: self._amended(record, amendment, at))
        return record

    def cancel(self, order_id: str, now_ms: int) -> Record:
        """Take a cancel request; a fill may still win.

        Raises
        ------
        RequestRefused
            If the order is unknown or final.
        """
        record = self._found(order_id)
        if record.final:
            raise bad_order(f"Order cannot be cancelled as it is {record.status}.")
        record.log(now_ms, "CANCEL PENDING")
        record.in_flight = "cancel"
        self._touch(record)
        self._schedule(LATENCY_MS, lambda at: self._cancelled(record, at))
        return record

    # faults

    def doom(self, order_id: str, why: str) -> None:
        """Let the exchange reject an order when it arrives."""
        self._doomed[order_id] = why

    def void(self, order_id: str) -> None:
        """Let the exchange cancel a stop when it triggers."""
        record = self.records.get(order_id)
        if record is not None and record.order is not None:
            record.order.void = True

    def force(self, order_id: str, now_ms: int) -> None:
        """Trade all of an order that stands at the exchange, as if it had won a race."""
        record = self.records.get(order_id)
        if record is not None and record.order is not None and record.order.live:
            board = self._board(record)
            board.look()
            self._apply(record, board.book.force(record.order), now_ms)

    # the market and the day

    def apply(self, events: list[Event], now_ms: int) -> None:
        """Take what a tick did to the orders of an instrument."""
        by_order: dict[str, list[Event]] = {}
        for event in events:
            by_order.setdefault(event.order.id, []).append(event)
        for order_id, own in by_order.items():
            self._apply(self.records[order_id], own, now_ms)

    def expire(self, key: str, now_ms: int, *, stops_only: bool = False) -> None:
        """End the orders of an instrument that the exchange holds no longer."""
        for record in self._live(key):
            order = record.order
            if order is not None and (not stops_only or order.state is State.ARMED):
                why = "Order cancelled by the exchange at the end of the session."
                self._apply(record, self._board(record).book.expire(order, why), now_ms)

    def square_off(self, key: str, now_ms: int) -> None:
        """Cancel what is live in MIS and close what is open, as the broker does; it charges."""
        for record in self._live(key):
            if record.product == "MIS" and record.order is not None:
                why = "Cancelled by the broker's auto square-off."
                self._apply(record, self._board(record).book.withdraw(record.order, why), now_ms)
        position = self.books.positions.get((key, "MIS"))
        left = abs(position.net) if position else 0
        side = -1 if position and position.net > 0 else 1
        board = self.boards[key]
        while left:
            quantity = min(left, SQUARE_OFF_SHARES_MAX)
            left -= quantity
            limit = board.band[1 if side > 0 else 0] * board.instrument.tick_paise
            ticket = Ticket(
                "BUY" if side > 0 else "SELL", "MIS", "MARKET", "DAY", quantity, 0, 0, 0, limit,
                Decimal(0), 0, None,
            )  # fmt: skip
            record = self._new_record(board, ticket, now_ms, by="RMS")
            record.square_off = True
            self._charge(record, SQUARE_OFF_FEE_PAISE, now_ms)
            self._enter(record, now_ms)

    def read_notes(self) -> Notes:
        """Return what happened since the last call."""
        notes, self.notes = self.notes, Notes()
        return notes

    def pending(self) -> list[Record]:
        """Return the orders that may still trade."""
        return [record for record in self.records.values() if not record.final]

    # at the exchange

    def _entering(self, record: Record) -> Callback:
        return lambda at: self._enter_when_open(record, at)

    def _expiring(self, record: Record) -> Callback:
        return lambda at: self._expire_ttl(record, at)

    def _enter_when_open(self, record: Record, now_ms: int) -> None:
        opens_ms = self._board(record).session.opens_ms
        if now_ms < opens_ms:  # collected in the pre-open, live at the open
            self._schedule(opens_ms - now_ms, self._entering(record))
        elif not record.final:
            self._enter(record, now_ms)

    def _enter(self, record: Record, now_ms: int) -> None:
        board, order = self._board(record), record.order
        others = [one for one in self.pending() if one.exchange_ms is not None]  # those before it
        why = self._doomed.pop(record.order_id, "")
        if not why and not record.square_off:
            why = rejection(record, board, self.books, others, now_ms)
        if order is None or why:
            if order is not None:
                order.state = State.REJECTED
            record.log(now_ms, "REJECTED", why)
            self._push(record, "REJECTED")
            return
        record.exchange_ms = now_ms
        record.exchange_order_id = f"13{self.on:%y%m%d}{int(record.order_id[-8:]):08d}"
        board.look()
        if record.validity == "TTL":
            self._schedule(record.expires_ms - now_ms, self._expiring(record))
        self._apply(record, board.book.enter(order), now_ms)

    def _amended(self, record: Record, amendment: Amendment, now_ms: int) -> None:
        record.in_flight = "" if record.in_flight == "modify" else record.in_flight
        order, board = record.order, self._board(record)
        if order is None or record.final:
            return
        board.look()
        retyped = bool(record.trigger) and not amendment.trigger
        terms = Terms(
            quantity=amendment.quantity,
            limit=self._ticks(record, amendment.limit),
            trigger=(
                self._ticks(record, amendment.trigger)
                if amendment.trigger and (amendment.asks_trigger or not record.triggered)
                else None
            ),
            plain=retyped,
        )
        events = board.book.amend(order, terms)
        refused = isinstance(events[0], Change) and events[0].evidence is Evidence.NOT_AMENDED
        if not refused:
            record.order_type, record.quantity = amendment.order_type, amendment.quantity
            record.price, record.trigger = amendment.price, amendment.trigger
            record.limit, record.protection = amendment.limit, str(amendment.protection)
            record.rested = False
        self._apply(record, events, now_ms)

    def _cancelled(self, record: Record, now_ms: int) -> None:
        order = record.order
        record.in_flight = ""
        if order is not None and not record.final:
            self._apply(record, self._board(record).book.withdraw(order), now_ms)

    def _expire_ttl(self, record: Record, now_ms: int) -> None:
        if record.live and record.order is not None:
            why = "Order cancelled: its validity has passed."
            self._apply(record, self._board(record).book.expire(record.order, why), now_ms)

    # what happened

    def _apply(self, record: Record, events: list[Event], now_ms: int) -> None:
        update = ""
        for event in events:
            if isinstance(event, Fill):
                self._fill(record, event, now_ms)
            else:
                update = self._change(record, event, now_ms) or update
        if record.live and record.order_type == "MARKET" and not record.square_off:
            record.rested = True
        if update:
            self._push(record, update)
        self._touch(record)

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
                return "COMPLETE" if change.evidence is Evidence.FILLED else "UPDATE"
            case _:
                record.log(now_ms, NEXT[State.OPEN, change.evidence].value, why)
                self._note(record, "gone", now_ms)
                return record.status
        trigger = 0 if record.triggered else record.trigger
        self._note(record, "stands", now_ms, pending=record.pending, trigger=trigger)
        placed = change.evidence in {Evidence.ENTERED, Evidence.ENTERED_STOP}
        return "" if placed else "UPDATE"  # the broker tells nothing of a mere placement

    def _fill(self, record: Record, fill: Fill, now_ms: int) -> None:
        board = self._board(record)
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
        record.log(now_ms, "COMPLETE" if record.filled == record.quantity else "OPEN")
        self._note(
            record, "fill", now_ms,
            quantity=fill.quantity, price=price, pending=record.quantity - record.filled,
        )  # fmt: skip
        if record.final:
            self._note(record, "gone", now_ms)
        charged = self.books.fill(record, fill.quantity, price, self.on, board.instrument.segment)
        self._note(record, "charge", now_ms, paise=charged)

    def _charge(self, record: Record, paise: int, now_ms: int) -> None:
        self.books.charge(paise)
        self._note(record, "charge", now_ms, paise=paise)

    def _note(self, record: Record, kind: str, now_ms: int, **facts: int | str | None) -> None:
        event: audits.Event = {"kind": kind, "ms": now_ms, "order_id": record.order_id}
        event |= {"symbol": record.key, "product": record.product}
        self.notes.events.append(event | {"transaction": record.transaction} | facts)

    def _push(self, record: Record, status: str) -> None:
        self.notes.updates.append(update_of(record, status))
        self._touch(record)

    def _touch(self, record: Record) -> None:
        self.notes.touched[record.order_id] = record

    # finding and making

    def _new_record(self, board: Board, ticket: Ticket, now_ms: int, by: str = "") -> Record:
        self._orders += 1
        order_id = f"{self.on:%y%m%d}{self._orders:09d}"
        instrument = board.instrument
        record = Record(
            order_id, instrument.key, instrument.token, "regular", ticket.product,
            ticket.transaction, ticket.order_type, ticket.validity, ticket.quantity,
            ticket.disclosed, ticket.price, ticket.trigger, ticket.limit, str(ticket.protection),
            ticket.tag, now_ms, instrument.tick_paise,
        )  # fmt: skip
        record.placed_by = by or record.placed_by
        record.expires_ms = now_ms + ticket.ttl_minutes * 60_000 if ticket.ttl_minutes else 0
        record.order = Order(
            order_id,
            ticket.side,
            ticket.quantity,
            self._ticks(record, ticket.limit),
            self._ticks(record, ticket.trigger),
            ioc=ticket.validity == "IOC",
        )
        for status in ("PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"):
            record.log(now_ms, status)
        self.records[order_id] = record
        self._note(record, "placed", now_ms, tag=ticket.tag)
        self._touch(record)
        return record

    def _live(self, key: str) -> list[Record]:
        return [one for one in self.records.values() if one.key == key and not one.final]

    def _found(self, order_id: str) -> Record:
        record = self.records.get(order_id)
        if record is None:
            raise bad_order("Couldn't find that `order_id`.")
        return record

    def _board(self, record: Record) -> Board:
        return self.boards[record.key]

    def _tradable(self, key: str) -> Board:
        board = self.boards.get(key)
        if board is None or board.is_index:
            raise bad_input(
                "The instrument you are placing an order for has either expired or does not exist."
            )
        return board

    @staticmethod
    def _place_of(board: Board) -> Place:
        tick = board.instrument.tick_paise
        return Place(board.instrument, board.last, (board.band[0] * tick, board.band[1] * tick))

    @staticmethod
    def _ticks(record: Record, paise: int) -> int:
        return paise // record.tick

    @staticmethod
    def _takes_orders(board: Board, now_ms: int) -> bool:
        pre_open = board.session.pre_open
        begins = board.session.opens_ms
        return now_ms >= (int(pre_open.start.timestamp() * 1000) if pre_open else begins)
