"""What the broker does by itself: square-off, second legs, next legs, orders of GTTs.

None of it is asked for by a request of the moment. Cover orders: a stop follows each fill of the
entry. Iceberg orders: a leg follows the one before. Square-off: intraday orders are cancelled and
positions closed, for a fee. Everything goes to the exchange by the same way as a client's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from agent.market.charges import SQUARE_OFF_FEE_PAISE
from agent.paper.board import Board
from agent.paper.floor import LATENCY_MS, Floor, order_of
from agent.paper.gtt import Gtt, Happening, Leg, result_of
from agent.paper.matching import State, Terms
from agent.paper.records import INTRADAY, Record
from agent.paper.refusals import RequestRefused, bad_input
from agent.paper.risk import unsellable
from agent.paper.tickets import AUTOMATIC, Ticket, protected_limit, read_amendment_trigger, rupees

if TYPE_CHECKING:
    from agent.paper.desk import Desk

SQUARE_OFF_SHARES_MAX: Final = 30_000  # of one square-off order in the cash market
SQUARED_OFF: Final = "Cancelled by the broker's auto square-off."
ON_A_STOP: Final = frozenset({"trigger_price", "order_id", "variety", "parent_order_id"})


def square_off(desk: Floor, key: str, now_ms: int) -> None:
    """Cancel what is live in intraday products and close what is open, as the broker does."""
    for record in desk.unfinished(key):
        if record.product in INTRADAY and not record.held:
            desk.end(record, now_ms, SQUARED_OFF)
    for product in sorted(INTRADAY):
        position = desk.books.positions.get((key, product))
        left = abs(position.net) if position else 0
        side = -1 if position and position.net > 0 else 1
        board = desk.boards[key]
        while left:
            quantity = min(left, SQUARE_OFF_SHARES_MAX)
            left -= quantity
            limit = board.band[1 if side > 0 else 0] * board.instrument.tick_paise
            ticket = Ticket(
                "BUY" if side > 0 else "SELL", product, "MARKET", "DAY", quantity, 0, 0, 0, limit,
                Decimal(0), 0, None,
            )  # fmt: skip
            record = desk.new_record(board, ticket, now_ms, by="RMS")
            desk.announce(record, now_ms)
            record.square_off = True
            desk.charge(record, SQUARE_OFF_FEE_PAISE, now_ms)
            desk.enter(record, now_ms)


def follow(desk: Floor, record: Record, now_ms: int) -> None:
    """Have the next leg of a cover or an iceberg order sent, if it is due."""
    del now_ms
    order = record.order
    if record.variety == "co" and record.parent is None and record.filled > _covered(desk, record):
        desk.schedule(LATENCY_MS, lambda at: _protect(desk, record, at))
    between = order is not None and order.state is State.COMPLETE and not record.final
    if record.variety == "iceberg" and between and record.to_come:
        desk.schedule(LATENCY_MS, lambda at: _next_leg(desk, record, at))


def check_change(record: Record, params: Mapping[str, str]) -> None:
    """Refuse a modification that an order's variety does not allow.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    asked = {name for name, value in params.items() if value}
    if record.variety == "iceberg" and "quantity" in asked:
        raise bad_input("The quantity of an iceberg order cannot be changed.")
    if record.parent is not None and params.get("order_type") != "MARKET" and asked - ON_A_STOP:
        raise bad_input("Only the `trigger_price` of a cover order's stop can be changed.")


def new_stop(desk: Floor, record: Record, params: Mapping[str, str]) -> int:
    """Read where the stop of a cover order is to stand whose entry has not traded, in paise.

    Returns
    -------
    int
        0 if the modification does not ask for that.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    if record.variety != "co" or record.parent is not None or not params.get("trigger_price"):
        return 0
    if record.filled:
        raise bad_input("The stop of this cover order is an order of its own: modify that.")
    board = desk.board_of(record)
    place = desk.place_of(board)
    return read_amendment_trigger(params, -record.side, record.price or board.last, place)


def leg_to_exit(desk: Floor, record: Record) -> Record | None:
    """Return the live stop that a cancel exits: of a cover order's first leg or of its second."""
    if record.variety != "co":
        return None
    if record.parent is not None:
        return record if record.live else None
    if not record.final:
        return None  # the entry is cancelled
    legs = (one for one in desk.records.values() if one.parent == record.order_id and one.live)
    return next(legs, None)


def fire_gtts(desk: Desk, board: Board, now_ms: int) -> None:
    """Place the orders of the GTTs that an instrument's last price reaches."""
    for gtt in list(desk.gtts.watched.get(board.instrument.key, ())):
        number = gtt.reached(board.last)
        if number is not None:
            _fire(desk, board, gtt, number, now_ms)


def _fire(desk: Desk, board: Board, gtt: Gtt, number: int, now_ms: int) -> None:
    leg = gtt.wanted.legs[number]
    others = [one for one in desk.pending() if one.exchange_ms is not None]
    key = board.instrument.key
    why, order_id, happening = "", "", Happening.FIRED
    if leg.transaction == "SELL":
        why = unsellable(key, leg.product, leg.quantity, desk.books, others)
        happening = Happening.UNFIT if why else happening
    if not why:
        try:
            order_id = desk.place(key, _params(leg), now_ms).order_id
        except RequestRefused as refused:
            why = refused.message
    gtt.results[number] = result_of(gtt, leg, board.last, now_ms, order_id, why)
    desk.gtts.move(gtt, happening, now_ms)


def _params(leg: Leg) -> dict[str, str]:
    return {
        "transaction_type": leg.transaction,
        "product": leg.product,
        "order_type": "LIMIT",
        "validity": "DAY",
        "quantity": str(leg.quantity),
        "price": rupees(leg.price),
    }


def _legs(desk: Floor, record: Record) -> list[Record]:
    return [one for one in desk.records.values() if one.parent == record.order_id]


def _covered(desk: Floor, record: Record) -> int:
    """Return the shares of an entry for which a stop was sent; a cancelled one counts its fills."""
    return sum(
        one.filled if one.status in {"CANCELLED", "REJECTED"} else one.quantity
        for one in _legs(desk, record)
    )


def _protect(desk: Floor, record: Record, now_ms: int) -> None:
    """Send the stop of a cover order, or let the one that stands grow."""
    missing = record.filled - _covered(desk, record)
    board = desk.board_of(record)
    squared = any(
        one.square_off and one.key == record.key and one.product == record.product
        for one in desk.records.values()
    )
    if missing <= 0 or squared:
        return
    for leg in _legs(desk, record):
        if leg.order is not None and leg.order.state is State.ARMED and not leg.in_flight:
            leg.quantity += missing
            grown = board.book.amend(leg.order, Terms(quantity=leg.quantity))
            desk.settle(leg, grown, now_ms)
            return
    place = desk.place_of(board)
    limit = protected_limit(-record.side, record.stop, AUTOMATIC, place)
    ticket = Ticket(
        "SELL" if record.side > 0 else "BUY", record.product, "SL-M", "DAY", missing, 0, 0,
        record.stop, limit, AUTOMATIC, 0, record.tag,
    )  # fmt: skip
    leg = desk.new_record(board, ticket, now_ms, "co")
    leg.parent = record.order_id
    desk.announce(leg, now_ms)
    desk.enter(leg, now_ms)


def _next_leg(desk: Floor, record: Record, now_ms: int) -> None:
    """Send the next leg of an iceberg order; its row shows that leg from now on."""
    if record.final or record.order is None or record.order.state is not State.COMPLETE:
        return
    told = record.meta["iceberg"]
    quantity = min(told["leg_quantity"], told["remaining_quantity"])
    left = told["remaining_quantity"] - quantity
    record.meta = {"iceberg": told | {"leg": told["leg"] + 1, "remaining_quantity": left}}
    record.quantity, record.filled, record.value, record.charges = quantity, 0, 0, 0
    record.triggered = False
    if record.order_type == "SL":  # its trigger was reached: the next leg is a plain limit
        record.order_type, record.trigger = "LIMIT", 0
    record.order = order_of(record)
    record.log(now_ms, "OPEN PENDING")
    desk.enter(record, now_ms)
