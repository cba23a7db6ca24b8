"""What a client may ask for: place, modify, cancel; and what the day does to its orders.

A request is checked here and put on its way; it is at the exchange (floor.py) 40 ms later, and a
fill or a trigger may win the race against it. It reads no clock: the exchange says what time it
is and calls back what is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from agent.errors import check
from agent.paper import auctions, backoffice, closing
from agent.paper.board import Board
from agent.paper.floor import LATENCY_MS, Callback, Floor, Notes, order_of, protect_anew
from agent.paper.matching import Event, State
from agent.paper.records import HELD, Record, Trade
from agent.paper.refusals import bad_input, bad_order, too_many_modifications
from agent.paper.shorts import settlement_price
from agent.paper.tickets import Amendment, Standing, Ticket, read_amendment, read_ticket

__all__ = ["LATENCY_MS", "MODIFICATIONS_MAX", "Callback", "Desk", "Notes"]

MODIFICATIONS_MAX: Final = 25
BEING_PROCESSED: Final = "Order cannot be modified as it is being processed. Try later."
CLOSED: Final = "Markets are closed right now. Place an after market order (AMO) instead."
OPEN: Final = "After market orders (AMO) are not taken while the market is open."
SESSION_ENDED: Final = "Order cancelled by the exchange at the end of the session."


class Desk(Floor):
    """All orders of the account, and the requests that make and change them."""

    def open_day(self, on: date, boards: dict[str, Board], now_ms: int) -> None:
        """Begin a day: its order book holds what was asked for after the last session."""
        held = [record for record in self.records.values() if record.held]
        self.on, self.boards = on, boards
        self.have(held)
        self.trades = []
        self._orders = self._trades = 0
        self.gtts.open_day({key: board.previous_close for key, board in boards.items()}, now_ms)
        for record in held:
            self.touch(record)
            self._release_at_the_open(record, now_ms)

    def close_day(self) -> None:
        """End a day: what has happened to prices since is seen the next morning."""
        self.gtts.close_day({key: board.last for key, board in self.boards.items()})

    def restore(self, records: Iterable[Record], trades: Iterable[Trade], now_ms: int) -> None:
        """Take up the day's orders again after a restart.

        What was on its way to the exchange is sent again; a change or cancel on its way is lost,
        as it would be with the machine that carried it.
        """
        self.have(records)
        self.trades = list(trades)
        self._orders = max(
            (int(one[6:]) for one in self.records if one.startswith(f"{self.on:%y%m%d}")), default=0
        )
        self._trades = len(self.trades)
        for record in self.pending():
            self._resume(record, now_ms)

    def _resume(self, record: Record, now_ms: int) -> None:
        order = record.order
        if record.held:
            self._release_at_the_open(record, now_ms)
        elif order is None or order.state is State.SENT:
            due_ms = record.placed_ms + LATENCY_MS
            self.schedule(max(due_ms - now_ms, 0), self.entering(record))
        elif order.live:
            if record.in_flight:
                record.in_flight, record.status = "", order.state.value
            self.book_of(record).adopt(order)
            if record.expires_ms:
                self.schedule(max(record.expires_ms - now_ms, 0), self.expiring(record))
        if record.variety != "regular":
            self.follow(record, now_ms)

    # requests

    def place(
        self, key: str, params: Mapping[str, str], now_ms: int, variety: str = "regular"
    ) -> Record:
        """Take a place request; the answer is its order id, not its fate.

        Raises
        ------
        RequestRefused
            If a field is wrong, the instrument is not traded, or the market is closed.
        """
        board = self._tradable(key)
        ticket = read_ticket(params, self.place_of(board), variety)
        number = params.get("auction_number", "") if variety == "auction" else None
        if number is None:
            self._check_hours(board, ticket, variety, now_ms)
        else:
            auctions.check_entry(board, ticket, number, self.books.settled(key), now_ms)
        record = self.new_record(board, ticket, now_ms, variety)
        record.auction_number = number
        if variety == "amo":
            record.log(now_ms, HELD)
            self._release_at_the_open(record, now_ms)
        else:
            self.send(record, now_ms)
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
        if record.held:
            return self._modify_held(record, params, now_ms)
        if record.final or record.in_flight or order is None or order.state is State.SENT:
            raise bad_order(BEING_PROCESSED)
        stop = backoffice.new_stop(self, record, params)
        amendment = self._amendment(record, params)
        if stop:
            record.stop = stop
            record.log(now_ms, record.status)
            self.touch(record)
            if not params.get("price") and not params.get("quantity"):
                return record
        closing.check_amendment(self.board_of(record), amendment.order_type, now_ms)
        if record.triggered and amendment.asks_trigger:
            raise bad_order(BEING_PROCESSED)
        self._count(record)
        record.in_flight = "modify"
        for status in ("MODIFY VALIDATION PENDING", "MODIFY PENDING"):
            record.log(now_ms, status)
        self.touch(record)
        self.schedule(LATENCY_MS, lambda at: self.amended(record, amendment, at))
        return record

    def cancel(self, order_id: str, now_ms: int) -> Record:
        """Take a cancel request; a fill may still win. It exits a cover order that is in.

        Raises
        ------
        RequestRefused
            If the order is unknown or final.
        """
        record = self._found(order_id)
        if record.held:
            check(record.order is not None, "a held order has one", order=record.order_id)
            self.end(record, now_ms)
            return record
        leg = backoffice.leg_to_exit(self, record)
        if leg is not None:
            self._exit(leg, now_ms)
            return record
        if record.final:
            raise bad_order(f"Order cannot be cancelled as it is {record.status}.")
        record.log(now_ms, "CANCEL PENDING")
        record.in_flight = "cancel"
        self.touch(record)
        self.schedule(LATENCY_MS, lambda at: self.cancelled(record, at))
        return record

    # the market and the day

    def apply(self, events: list[Event], now_ms: int) -> None:
        """Take what a tick did to the orders of an instrument."""
        by_order: dict[str, list[Event]] = {}
        for event in events:
            by_order.setdefault(event.order.id, []).append(event)
        for order_id, own in by_order.items():
            self.settle(self.records[order_id], own, now_ms)

    def watch(self, board: Board, now_ms: int) -> None:
        """Fire the GTTs that an instrument's last price reaches."""
        backoffice.fire_gtts(self, board, now_ms)

    def expire(self, key: str, now_ms: int, *, stops_only: bool = False) -> None:
        """End the orders of an instrument that the exchange holds no longer.

        With `stops_only`, at the end of continuous trading of an instrument that closes by
        auction: what waits for a trigger, and what shows a part of itself, does not go into it.
        """
        for record in self.unfinished(key):
            order = record.order
            waits = order is not None and bool(order.trigger) and order.state is not State.OPEN
            stays = order is None or not (waits or order.disclosed)
            if not record.held and not (stops_only and stays):
                self.end(record, now_ms, SESSION_ENDED, expired=True)

    def begin_auction(self, key: str, now_ms: int) -> None:
        """End an instrument's continuous trading and collect orders for its closing auction."""
        self.expire(key, now_ms, stops_only=True)
        board = self.boards[key]
        closing.begin(board)
        for record in self.unfinished(key):
            order = record.order
            if order is not None and order.live and not closing.inside(board, order.limit):
                why = "Order cancelled: its price is outside the closing auction's band."
                self.end(record, now_ms, why, expired=True)

    def strike(self, key: str, now_ms: int) -> None:
        """Match an instrument's closing auction; what is left of its orders ends."""
        board = self.boards[key]
        self.apply(closing.strike(board, now_ms), now_ms)
        self.expire(key, now_ms)

    def sell_in_auctions(self, now_ms: int) -> None:
        """Match the settlement auctions; what is left of their orders ends."""
        for board in self.boards.values():
            self.apply(auctions.strike(board), now_ms)
        for record in self.pending():
            if record.variety == "auction":
                self.end(record, now_ms, SESSION_ENDED, expired=True)

    def settle_owed(self, now_ms: int) -> None:
        """Have the exchange's auction settle the short deliveries of earlier days."""
        for owed in list(self.books.owed):
            board = self.boards.get(owed.key)
            if board is None or board.last_trade_ms == 0:
                continue
            locked = board.last_ticks >= board.band[1]
            price = settlement_price(
                owed, board.last, board.high, board.previous_close, locked=locked
            )
            self.books.settle(owed, price)
            self.note_moved(
                owed.key, owed.product, "BUY", now_ms, quantity=owed.quantity, price=price
            )

    def square_off(self, key: str, now_ms: int) -> None:
        """Cancel what is live in intraday products and close what is open; it charges."""
        backoffice.square_off(self, key, now_ms)

    def follow(self, record: Record, now_ms: int) -> None:
        """Do what an order's variety asks for after each of its steps."""
        backoffice.follow(self, record, now_ms)

    # checks and steps of a request

    def _check_hours(self, board: Board, ticket: Ticket, variety: str, now_ms: int) -> None:
        pre_open = board.session.pre_open
        begins = board.session.opens_ms
        begins = int(pre_open.start.timestamp() * 1000) if pre_open else begins
        ends = closing.ends_ms(board)
        if variety == "amo":
            if begins <= now_ms < ends:
                raise bad_input(OPEN)
            return
        if not begins <= now_ms < ends:
            raise bad_input(CLOSED)
        if now_ms >= board.session.closes_ms:
            closing.check_entry(board, ticket, now_ms)

    def _release_at_the_open(self, record: Record, now_ms: int) -> None:
        """Have a held order sent when its instrument's next session takes orders."""
        board = self.boards.get(record.key)
        if board is None:
            return
        session = board.session
        begins = int((session.pre_open.start if session.pre_open else session.opens).timestamp())
        if now_ms < closing.ends_ms(board):  # else it waits for the next day
            delay_ms = max(begins * 1000 - now_ms, 0)
            self.schedule(delay_ms, lambda at: self._release(record, at))

    def _release(self, record: Record, now_ms: int) -> None:
        if not record.held:
            return
        protect_anew(record, self.place_of(self.board_of(record)))
        record.count_from(now_ms)
        record.order = order_of(record)
        self.send(record, now_ms)

    def _modify_held(self, record: Record, params: Mapping[str, str], now_ms: int) -> Record:
        amendment = self._amendment(record, params)
        self._count(record)
        self.take_terms(record, amendment, now_ms)
        record.order = order_of(record)
        record.log(now_ms, HELD)
        self.touch(record)
        return record

    def _amendment(self, record: Record, params: Mapping[str, str]) -> Amendment:
        backoffice.check_change(record, params)
        if record.rested and params.get("price") and not params.get("order_type"):
            params = {**params, "order_type": "LIMIT"}  # its row says that it is one
        standing = Standing(
            record.side,
            record.order_type,
            record.quantity,
            record.price or (record.limit if record.rested else 0),
            record.trigger,
            Decimal(record.protection),
            record.triggered,
            record.validity,
            record.disclosed,
        )
        return read_amendment(params, standing, self.place_of(self.board_of(record)))

    def _exit(self, leg: Record, now_ms: int) -> None:
        """Turn the stop of a cover order into a market order."""
        if leg.in_flight:
            raise bad_order(BEING_PROCESSED)
        amendment = self._amendment(leg, {"order_type": "MARKET"})
        leg.in_flight = "modify"
        leg.log(now_ms, "MODIFY PENDING")
        self.touch(leg)
        self.schedule(LATENCY_MS, lambda at: self.amended(leg, amendment, at))

    @staticmethod
    def _count(record: Record) -> None:
        if record.modifications >= MODIFICATIONS_MAX:
            raise too_many_modifications()
        record.modifications += 1

    def _found(self, order_id: str) -> Record:
        record = self.records.get(order_id)
        if record is None or self.hidden(order_id):
            raise bad_order("Couldn't find that `order_id`.")
        return record

    def _tradable(self, key: str) -> Board:
        board = self.boards.get(key)
        if board is None or board.is_index:
            raise bad_input(
                "The instrument you are placing an order for has either expired or does not exist."
            )
        return board
