"""Orders, trades, positions, holdings and margins over REST."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from agent.market.charges import charges_on, rates_for
from agent.paper.board import Board
from agent.paper.books import MARGIN_PERCENT, position_row
from agent.paper.limits import ORDERS
from agent.paper.records import Record, in_rupees, row_of, trade_row
from agent.paper.refusals import bad_input, bad_order
from agent.paper.service import Request, Route, Service
from agent.paper.tickets import PRODUCTS, TRANSACTIONS

VARIETIES: Final = ("regular",)
Parts = tuple[str, ...]


def place(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /orders/{variety}."""
    _check_variety(parts[0])
    params = request.params
    exchange, symbol = params.get("exchange", ""), params.get("tradingsymbol", "")
    if not exchange or not symbol:
        raise bad_input("Missing or empty field `exchange` or `tradingsymbol`")
    now = service.exchange.now_ms
    record = service.exchange.desk.place(f"{exchange}:{symbol}", params, now)
    service.changed()
    return {"order_id": record.order_id}


def modify(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """PUT /orders/{variety}/{order_id}."""
    _check_variety(parts[0])
    now = service.exchange.now_ms
    record = service.exchange.desk.modify(parts[1], request.params, now)
    service.changed()
    return {"order_id": record.order_id}


def cancel(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """DELETE /orders/{variety}/{order_id}."""
    del request
    _check_variety(parts[0])
    record = service.exchange.desk.cancel(parts[1], service.exchange.now_ms)
    service.changed()
    return {"order_id": record.order_id}


def orders(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /orders: today's, in the order of their placing."""
    del request, parts
    return [row_of(record) for record in service.exchange.desk.records.values()]


def order_history(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /orders/{order_id}: every status that it has been through."""
    del request
    return _found(service, parts[0]).history


def order_trades(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /orders/{order_id}/trades."""
    del request
    record = _found(service, parts[0])
    trades = service.exchange.desk.trades
    return [trade_row(trade) for trade in trades if trade.order_id == record.order_id]


def trades(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /trades."""
    del request, parts
    return [trade_row(trade) for trade in service.exchange.desk.trades]


def positions(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /portfolio/positions."""
    del request, parts
    exchange = service.exchange
    net, day = [], []
    for position in exchange.books.positions.values():
        board = exchange.boards.get(position.key)
        last = board.last if board else 0
        row = position_row(position, last, board.previous_close if board else 0)
        net.append(row)
        if position.bought or position.sold:
            day.append(row)
    return {"net": net, "day": day}


def holdings(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /portfolio/holdings: what was bought as CNC on earlier days."""
    del request, parts
    rows = []
    for key, holding in service.exchange.books.holdings.items():
        board = service.exchange.boards.get(key)
        last, close = (board.last, board.previous_close) if board else (0, 0)
        average = round(holding.cost / holding.quantity / 100, 4)
        rows.append(
            {
                "tradingsymbol": key.partition(":")[2],
                "exchange": key.partition(":")[0],
                "instrument_token": holding.token,
                "isin": "",
                "product": "CNC",
                "price": 0,
                "quantity": holding.quantity - holding.t1,
                "used_quantity": 0,
                "t1_quantity": holding.t1,
                "realised_quantity": holding.quantity - holding.t1,
                "authorised_quantity": 0,
                "authorised_date": f"{service.exchange.on} 00:00:00",
                "authorisation": {},
                "opening_quantity": holding.quantity - holding.t1,
                "short_quantity": 0,
                "collateral_quantity": 0,
                "collateral_type": "",
                "discrepancy": False,
                "average_price": average,
                "last_price": in_rupees(last),
                "close_price": in_rupees(close),
                "pnl": in_rupees(holding.quantity * last - holding.cost),
                "day_change": in_rupees(last - close),
                "day_change_percentage": round((last - close) / close * 100, 4) if close else 0,
                "mtf": {
                    "quantity": 0,
                    "used_quantity": 0,
                    "average_price": 0,
                    "value": 0,
                    "initial_margin": 0,
                },
            }
        )
    return rows


def auctions(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /portfolio/holdings/auctions: there never are any."""
    del service, request, parts
    return []


def order_margins(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """POST /margins/orders."""
    del parts
    return [_margin(service, order) for order in _list(request)]


def basket_margins(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /margins/basket: there is no spread benefit in the cash market."""
    del parts
    rows = [_margin(service, order) for order in _list(request)]
    whole = _summed(rows)
    compact = request.params.get("mode") == "compact"
    return {
        "initial": whole,
        "final": whole,
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
    Route("GET", "/orders", orders),
    Route("GET", "/trades", trades),
    Route("GET", "/orders/{}", order_history),
    Route("GET", "/orders/{}/trades", order_trades),
    Route("POST", "/orders/{}", place, limit=ORDERS),
    Route("PUT", "/orders/{}/{}", modify),
    Route("DELETE", "/orders/{}/{}", cancel),
    Route("GET", "/portfolio/positions", positions),
    Route("GET", "/portfolio/holdings", holdings),
    Route("GET", "/portfolio/holdings/auctions", auctions),
    Route("POST", "/margins/orders", order_margins),
    Route("POST", "/margins/basket", basket_margins),
    Route("POST", "/charges/orders", order_charges),
)


def _check_variety(variety: str) -> None:
    if variety not in VARIETIES:
        raise bad_input(
            f"Invalid `variety`: {variety}. The paper exchange takes {', '.join(VARIETIES)}."
        )


def _found(service: Service, order_id: str) -> Record:
    record = service.exchange.desk.records.get(order_id)
    if record is None:
        raise bad_order("Couldn't find that `order_id`.")
    return record


def _list(request: Request) -> list[dict[str, Any]]:
    content = request.document()
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise bad_input("A JSON list of orders is expected.")
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
