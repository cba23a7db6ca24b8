"""Orders and trades over REST: placed, sliced, modified, cancelled, listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.paper.board import Board
from agent.paper.limits import ORDERS
from agent.paper.records import Record, row_of, trade_row
from agent.paper.refusals import RequestRefused, bad_input, bad_order
from agent.paper.service import Request, Route, Service
from agent.paper.tickets import VARIETIES

Parts = tuple[str, ...]
SLICES_MAX: Final = 10
DERIVATIVES: Final = frozenset({"NFO", "BFO", "CDS", "BCD", "MCX"})


def place(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /orders/{variety}."""
    variety = parts[0]
    _check_variety(variety)
    params = request.params
    exchange, symbol = params.get("exchange", ""), params.get("tradingsymbol", "")
    if not exchange or not symbol:
        raise bad_input("Missing or empty field `exchange` or `tradingsymbol`")
    if exchange in DERIVATIVES:
        raise bad_input(f"The user is not enabled for trading in the segment {exchange}.")
    key, now = f"{exchange}:{symbol}", service.exchange.now_ms
    if params.get("autoslice") == "true":
        return _sliced(service, key, params, variety)
    record = service.exchange.desk.place(key, params, now, variety)
    if "iceberg" in record.meta:
        service.limits.count_by_day(int(record.meta["iceberg"]["legs"]) - 1, now)
    service.changed()
    return {"order_id": record.order_id}


def modify(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """PUT /orders/{variety}/{order_id}."""
    _check_same(service, parts)
    now = service.exchange.now_ms
    record = service.exchange.desk.modify(parts[1], request.params, now)
    service.changed()
    return {"order_id": record.order_id}


def cancel(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """DELETE /orders/{variety}/{order_id}."""
    del request
    _check_same(service, parts)
    record = service.exchange.desk.cancel(parts[1], service.exchange.now_ms)
    service.changed()
    return {"order_id": record.order_id}


def orders(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /orders: today's, in the order of their placing."""
    del request, parts
    desk = service.exchange.desk
    return [row_of(one) for number, one in desk.records.items() if not desk.hidden(number)]


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
    desk = service.exchange.desk
    return [trade_row(trade) for trade in desk.trades if not desk.hidden(trade.order_id)]


ROUTES: Final = (
    Route("GET", "/orders", orders),
    Route("GET", "/trades", trades),
    Route("GET", "/orders/{}", order_history),
    Route("GET", "/orders/{}/trades", order_trades),
    Route("POST", "/orders/{}", place, limit=ORDERS),
    Route("PUT", "/orders/{}/{}", modify),
    Route("DELETE", "/orders/{}/{}", cancel),
)


def _sliced(service: Service, key: str, params: Mapping[str, str], variety: str) -> dict[str, Any]:
    """Place an order in slices of the freeze quantity; each is placed, or says why not."""
    now, board = service.exchange.now_ms, service.exchange.boards.get(key)
    children: list[dict[str, Any]] = []
    for quantity in _slices(params.get("quantity", ""), board):
        own = {**params, "quantity": quantity}
        try:
            if children:
                service.limits.count(ORDERS, now)
            record = service.exchange.desk.place(key, own, now, variety)
        except RequestRefused as refused:
            if not children:
                raise
            error = {"code": refused.status, "error_type": refused.error_type}
            children.append({"error": error | {"message": refused.message, "data": None}})
        else:
            children.append({"order_id": record.order_id})
    service.changed()
    return {"order_id": children[0]["order_id"], "children": children}


def _slices(quantity: str, board: Board | None) -> list[str]:
    freeze = board.instrument.freeze_quantity if board else None
    if freeze is None or not quantity.isdecimal() or int(quantity) <= freeze:
        return [quantity]
    whole, rest = divmod(int(quantity), freeze)
    slices = [str(freeze)] * whole + ([str(rest)] if rest else [])
    if len(slices) > SLICES_MAX:
        raise bad_input(f"The order would be more than {SLICES_MAX} slices of {freeze}.")
    return slices


def _check_variety(variety: str) -> None:
    if variety not in VARIETIES:
        raise bad_input(f"Invalid `variety`: {variety}. Allowed: {', '.join(VARIETIES)}.")


def _check_same(service: Service, parts: Parts) -> None:
    variety, order_id = parts
    _check_variety(variety)
    record = _found(service, order_id)
    if record.variety != variety:
        raise bad_order(f"Order {order_id} is of the variety {record.variety}, not {variety}.")


def _found(service: Service, order_id: str) -> Record:
    record = service.exchange.desk.records.get(order_id)
    if record is None or service.exchange.desk.hidden(order_id):
        raise bad_order("Couldn't find that `order_id`.")
    return record
