"""An open position made another product: MIS to CNC to keep it overnight, CNC to MIS to free funds.

What is moved keeps its price; its margin is asked for anew and its entry is charged as the new
product's (the broker's contract note has it so at the end of the day). A short cannot be delivered,
so it stays MIS unless the shares are held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from agent.market.charges import charges_on, rates_for
from agent.market.sessions import epoch_ms
from agent.paper.board import Board
from agent.paper.books import Position
from agent.paper.records import INTRADAY
from agent.paper.refusals import RequestRefused, bad_input
from agent.paper.tickets import PRODUCTS, TRANSACTIONS, rupees

if TYPE_CHECKING:
    from agent.paper.desk import Desk

STRETCHES: Final = ("day", "overnight")


def convert(desk: Desk, params: Mapping[str, str], now_ms: int) -> None:
    """Convert shares of a position.

    Parameters
    ----------
    desk : Desk
    params : mapping
        `exchange, tradingsymbol, transaction_type` (of the position: BUY for a long),
        `position_type` (day or overnight), `quantity, old_product, new_product`.
    now_ms : int

    Raises
    ------
    RequestRefused
        `InputException` for a field, or more than is open; `MarginException` without the funds;
        `HoldingException` for a short without the shares.
    """
    board = desk.boards.get(f"{params.get('exchange')}:{params.get('tradingsymbol')}")
    if board is None or board.is_index:
        raise bad_input(f"Invalid `tradingsymbol`: {params.get('tradingsymbol')}")
    old, new = params.get("old_product", ""), params.get("new_product", "")
    if old not in PRODUCTS or new not in PRODUCTS or old == new:
        raise bad_input(f"Invalid `old_product` or `new_product`: {old}, {new}.")
    if params.get("transaction_type") not in TRANSACTIONS:
        raise bad_input("Invalid `transaction_type`.")
    if params.get("position_type") not in STRETCHES:
        raise bad_input("Invalid `position_type`: day or overnight.")
    side = 1 if params["transaction_type"] == "BUY" else -1
    quantity = _quantity(params)
    key = board.instrument.key
    position = desk.books.positions.get((key, old))
    open_shares = _open(position, side, overnight=params["position_type"] == "overnight")
    if position is None or quantity > open_shares:
        raise bad_input(f"Only {open_shares} shares can be converted, {quantity} asked for.")
    _check_new(desk, board, position, (new, side, quantity), now_ms)
    lots = desk.books.take(key, old, quantity)
    desk.books.put(key, new, position.token, side, lots)
    _book(desk, board, (old, new), side, lots, now_ms)


def _quantity(params: Mapping[str, str]) -> int:
    text = params.get("quantity", "")
    if not text.isdecimal() or int(text) < 1:
        raise bad_input("Invalid `quantity`.")
    return int(text)


def _open(position: Position | None, side: int, *, overnight: bool) -> int:
    """Return the shares of a side that are open since today, or since before."""
    if position is None or position.net * side <= 0:
        return 0
    before = min(max(position.overnight * side, 0), position.net * side)
    return before if overnight else position.net * side - before


def _check_new(
    desk: Desk, board: Board, position: Position, wanted: tuple[str, int, int], now_ms: int
) -> None:
    new, side, quantity = wanted
    books = desk.books
    if new in INTRADAY and now_ms >= epoch_ms(board.session.square_off):
        raise bad_input("Positions cannot be made MIS after the auto square-off time.")
    if new not in INTRADAY and side < 0:
        if books.sellable(position.key) < quantity:
            raise RequestRefused(
                "Insufficient holdings: a short position cannot be delivered.",
                "HoldingException",
                400,
            )
        return
    pending = desk.pending()
    before = books.blocked(pending)
    value = sum(shares * price for shares, price in position.last_lots(quantity))
    more = value * (books.percent(new) - books.percent(position.product)) // 100
    free = books.funds() - before
    if more > max(free, 0):
        raise RequestRefused(
            f"Insufficient funds. Required margin is {rupees(more)} but available margin is "
            f"{rupees(max(free, 0))}.",
            "MarginException",
            400,
        )


def _book(
    desk: Desk,
    board: Board,
    products: tuple[str, str],
    side: int,
    lots: list[tuple[int, int]],
    now_ms: int,
) -> None:
    """Charge the difference and tell the audit: closed in one product, opened in the other."""
    transaction, other = ("BUY", "SELL") if side > 0 else ("SELL", "BUY")
    segment, on, key = board.instrument.segment, desk.on, board.instrument.key
    value = sum(shares * price for shares, price in lots)
    old, new = (
        charges_on(rates_for(product, segment, on), transaction, value).total
        for product in products
    )
    desk.books.charge(new - old)
    for product, way in zip(products, (other, transaction), strict=True):
        for shares, price in lots:
            desk.note_moved(key, product, way, now_ms, quantity=shares, price=price)
    desk.note_moved(key, products[1], transaction, now_ms, paise=new - old)
