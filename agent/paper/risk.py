"""Why the broker's risk desk or the exchange rejects an order that was well formed.

Told by a REJECTED row under the order's id, as the broker does; pure.
"""

from __future__ import annotations

from agent.market.sessions import epoch_ms
from agent.paper.board import Board
from agent.paper.books import Books
from agent.paper.records import Record
from agent.paper.tickets import rupees


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
    freeze = board.instrument.freeze_quantity
    if freeze is not None and record.quantity > freeze:
        return f"The order quantity is more than the exchange's freeze quantity of {freeze}."
    if record.product == "MIS" and now_ms >= epoch_ms(board.session.square_off):
        return "MIS orders are not allowed after the auto square-off time."
    if record.product != "MIS" and record.side < 0:
        return _unsellable(record, books, others)
    before, after = books.blocked(others), books.blocked([*others, record])
    funds = books.funds()
    if after > before and after > funds:
        return (
            f"Insufficient funds. Required margin is {rupees(after - before)} but available "
            f"margin is {rupees(max(funds - before, 0))}. Check the orderbook for open orders."
        )
    return ""


def _unsellable(record: Record, books: Books, others: list[Record]) -> str:
    waiting = sum(
        one.pending
        for one in others
        if one.key == record.key and one.product == record.product and one.side < 0
    )
    free = max(books.sellable(record.key) - waiting, 0)
    if record.quantity <= free:
        return ""
    return (
        f"Insufficient holdings: {free} shares can be sold, {record.quantity} asked for. "
        "Use MIS to sell short inside the day."
    )
