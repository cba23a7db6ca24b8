"""Margins and charges of orders that nobody has placed, over REST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from agent.market.charges import charges_on, rates_for
from agent.paper.board import Board
from agent.paper.books import MARGIN_PERCENT, Books
from agent.paper.records import in_rupees
from agent.paper.refusals import bad_input
from agent.paper.service import Request, Route, Service
from agent.paper.tickets import PRODUCTS, TRANSACTIONS

Parts = tuple[str, ...]
ORDERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class _Imagined:
    """An order of a basket, as the account's margin counts it; limit in paise."""

    key: str
    product: str
    side: int
    committed: int
    limit: int


def order_margins(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """POST /margins/orders."""
    del parts
    return [_margin(service, order) for order in _list(request)]


def basket_margins(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /margins/basket: the sum, and what is left of it once sides and positions net off."""
    del parts
    asked = _list(request)
    rows = [_margin(service, order) for order in asked]
    whole = _summed(rows)
    imagined = [_imagined(service, order) for order in asked]
    if request.params.get("consider_positions", "True").lower() == "true":
        books, pending = service.exchange.books, service.exchange.desk.pending()
        needed = books.blocked([*pending, *imagined]) - books.blocked(pending)
    else:
        needed = Books(0).blocked(imagined)
    final = in_rupees(max(needed, 0))
    compact = request.params.get("mode") == "compact"
    return {
        "initial": whole,
        "final": whole | {"var": final, "total": final},
        "orders": [] if compact else rows,
        "charges": whole["charges"],
    }


def order_charges(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """POST /charges/orders: the virtual contract note."""
    del parts
    rows = []
    for order in _list(request):
        board = _board(service, order)
        paise = _paise(order, "average_price")
        if not paise:
            raise bad_input("Invalid `average_price`: it is not 0.")
        rows.append(
            {
                "transaction_type": order.get("transaction_type"),
                "tradingsymbol": order.get("tradingsymbol"),
                "exchange": order.get("exchange"),
                "variety": order.get("variety", "regular"),
                "product": order.get("product"),
                "order_type": order.get("order_type", "LIMIT"),
                "quantity": _shares(order),
                "price": in_rupees(paise),
                "charges": _charges(service, board, order, paise),
            }
        )
    return rows


ROUTES: Final = (
    Route("POST", "/margins/orders", order_margins),
    Route("POST", "/margins/basket", basket_margins),
    Route("POST", "/charges/orders", order_charges),
)


def _list(request: Request) -> list[dict[str, Any]]:
    content = request.document()
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise bad_input("A JSON list of orders is expected.")
    if len(content) > ORDERS_MAX:
        raise bad_input(f"At most {ORDERS_MAX} orders may be asked for.")
    return content


def _board(service: Service, order: Mapping[str, Any]) -> Board:
    board = service.exchange.boards.get(f"{order.get('exchange')}:{order.get('tradingsymbol')}")
    if board is None or board.is_index:
        raise bad_input(f"Invalid `tradingsymbol`: {order.get('tradingsymbol')}")
    if order.get("transaction_type") not in TRANSACTIONS:
        raise bad_input("Invalid `transaction_type`.")
    if order.get("product") not in PRODUCTS:
        raise bad_input("Invalid `product`.")
    return board


def _shares(order: Mapping[str, Any]) -> int:
    try:
        shares = int(order.get("quantity", 0))
    except (TypeError, ValueError):
        shares = 0
    if shares < 1:
        raise bad_input("Invalid `quantity`.")
    return shares


def _paise(order: Mapping[str, Any], name: str) -> int:
    try:
        paise = round(Decimal(str(order.get(name) or 0)) * 100)
    except ArithmeticError:
        paise = -1
    if paise < 0:
        raise bad_input(f"Invalid `{name}`.")
    return paise


def _margin(service: Service, order: Mapping[str, Any]) -> dict[str, Any]:
    board = _board(service, order)
    paise = _paise(order, "price") or _paise(order, "trigger_price") or board.last
    product, shares = str(order["product"]), _shares(order)
    delivery_sale = product != "MIS" and order["transaction_type"] == "SELL"
    margin = 0 if delivery_sale else shares * paise * MARGIN_PERCENT[product] // 100
    return {
        "type": "equity",
        "tradingsymbol": order["tradingsymbol"],
        "exchange": order["exchange"],
        "span": 0,
        "exposure": 0,
        "option_premium": 0,
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": in_rupees(margin),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 100 // MARGIN_PERCENT[product],
        "charges": _charges(service, board, order, paise),
        "total": in_rupees(margin),
    }


def _imagined(service: Service, order: Mapping[str, Any]) -> _Imagined:
    board = _board(service, order)
    side = 1 if order["transaction_type"] == "BUY" else -1
    limit = _paise(order, "price") or _paise(order, "trigger_price") or board.last
    return _Imagined(board.instrument.key, str(order["product"]), side, _shares(order), limit)


def _charges(
    service: Service, board: Board, order: Mapping[str, Any], paise: int
) -> dict[str, Any]:
    rates = rates_for(str(order["product"]), board.instrument.segment, service.exchange.on)
    value = paise * _shares(order)
    charged = charges_on(rates, str(order["transaction_type"]), value)
    gst = in_rupees(charged.gst)
    return {
        "transaction_tax": in_rupees(charged.stt),
        "transaction_tax_type": "stt",
        "exchange_turnover_charge": in_rupees(charged.exchange),
        "sebi_turnover_charge": in_rupees(charged.sebi),
        "brokerage": in_rupees(charged.brokerage),
        "stamp_duty": in_rupees(charged.stamp),
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": in_rupees(charged.total),
    }


def _summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of margin rows, with the names of none."""
    if not rows:
        raise bad_input("A JSON list of orders is expected.")
    whole = _added(rows[0], rows[1:])
    return whole | {"tradingsymbol": "", "exchange": "", "type": "equity", "leverage": 0}


def _added(first: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for name, value in first.items():
        if isinstance(value, dict):
            total[name] = _added(value, [other[name] for other in others])
        elif isinstance(value, int | float):
            total[name] = round(value + sum(other[name] for other in others), 2)
        else:
            total[name] = value
    return total
