"""Why the broker's risk desk or the exchange rejects an order that was well formed.

Told by a REJECTED row under the order's id, as the broker does; pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.market.sessions import epoch_ms
from agent.paper.board import Board
from agent.paper.books import Books
from agent.paper.records import INTRADAY, Record
from agent.paper.tickets import Amendment, rupees

# LIMIT orders further from the last price are restricted "as per exchange guidelines", which name
# no figure; this one is just inside the widest band of a stock without derivatives.
FAR_PERCENT: Final = 18
FAR: Final = (
    "LIMIT orders that are far away from the LTP are restricted as per exchange guidelines."
)


def rejection(record: Record, board: Board, books: Books, others: list[Record], now_ms: int) -> str:
    """Return why an order is rejected on its arrival, "" if it is not.

    Parameters
    ----------
    record : Record
    board : Board
    books : Books
    others : list of Record
        The account's other orders that may still trade.
    now_ms : int
    """
    if record.parent is not None:
        return ""  # a stop that follows an entry which has traded
    why = _frozen(record.quantity, board) or _out_of_band(record, board)
    if why:
        return why
    if record.product in INTRADAY and now_ms >= epoch_ms(board.session.square_off):
        return f"{record.product} orders are not allowed after the auto square-off time."
    if record.product not in INTRADAY and record.side < 0:
        return unsellable(record.key, record.product, record.committed, books, others)
    return _unfunded(books, books.blocked(others), books.blocked([*others, record]))


def amended_rejection(
    record: Record, amendment: Amendment, board: Board, books: Books, pending: list[Record]
) -> str:
    """Return why a modification is not applied, "" if it may be; more of an order needs more."""
    why = _frozen(amendment.quantity, board)
    if why:
        return why
    changed = replace(record, quantity=amendment.quantity, limit=amendment.limit)
    others = [one for one in pending if one.exchange_ms is not None and one is not record]
    if record.product not in INTRADAY and record.side < 0:
        if amendment.quantity <= record.quantity:
            return ""
        return unsellable(record.key, record.product, changed.committed, books, others)
    return _unfunded(books, books.blocked([*others, record]), books.blocked([*others, changed]))


def unsellable(key: str, product: str, quantity: int, books: Books, others: list[Record]) -> str:
    """Return why so many shares cannot be sold for delivery, "" if they can."""
    waiting = sum(
        one.committed
        for one in others
        if one.key == key and one.product == product and one.side < 0
    )
    free = max(books.sellable(key) - waiting, 0)
    if quantity <= free:
        return ""
    return (
        f"Insufficient holdings: {free} shares can be sold, {quantity} asked for. "
        "Use MIS to sell short inside the day."
    )


def _frozen(quantity: int, board: Board) -> str:
    freeze = board.instrument.freeze_quantity
    if freeze is None or quantity <= freeze:
        return ""
    return f"The order quantity is more than the exchange's freeze quantity of {freeze}."


def _out_of_band(record: Record, board: Board) -> str:
    """Return why a price is too far away: it was placed hours ago, or far from the last one."""
    tick = board.instrument.tick_paise
    if not board.band[0] <= record.limit // tick <= board.band[1]:
        return "The order price is outside the day's circuit limits."
    if record.order_type == "LIMIT" and abs(record.price - board.last) * 100 > FAR_PERCENT * (
        board.last
    ):
        return FAR
    return ""


def _unfunded(books: Books, before: int, after: int) -> str:
    funds = books.funds()
    if after <= before or after <= funds:
        return ""
    return (
        f"Insufficient funds. Required margin is {rupees(after - before)} but available "
        f"margin is {rupees(max(funds - before, 0))}. Check the orderbook for open orders."
    )
