"""GTTs over REST: the JSON of a request read field by field, the rows of the answers.

Refused at the placing: what can never be an order (a wrong count of triggers, a price off the
grid, MIS) and a trigger at or too near to the last price. Holdings and circuit are not asked for
here: a GTT may wait for a year, so the broker looks at them when it fires.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from agent.paper.board import Board
from agent.paper.gtt import Leg, Wanted, gtt_row
from agent.paper.refusals import bad_input
from agent.paper.service import Request, Route, Service
from agent.paper.tickets import TRANSACTIONS, rupees

Parts = tuple[str, ...]
KINDS: Final = {"single": 1, "two-leg": 2}
PRODUCTS: Final = ("CNC", "MTF")  # NRML is for contracts, MIS for the day
# Often quoted, on no page of the API: nearer than this the broker refuses a trigger.
DISTANCE_BASIS_POINTS_MIN: Final = 25
LEGS_MAX: Final = 2


def list_gtts(service: Service, request: Request, parts: Parts) -> list[dict[str, Any]]:
    """GET /gtt/triggers: the active ones, and the others of the last seven days."""
    del request, parts
    exchange = service.exchange
    return [gtt_row(one) for one in exchange.desk.gtts.listed(exchange.now_ms)]


def one_gtt(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """GET /gtt/triggers/{id}: one of any age."""
    del request
    return gtt_row(service.exchange.desk.gtts.found(_id(parts[0]))) | {"meta": None}


def place_gtt(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """POST /gtt/triggers."""
    del parts
    exchange = service.exchange
    made = exchange.desk.gtts.place(_wanted(service, request), exchange.now_ms)
    service.changed()
    return {"trigger_id": made.id}


def modify_gtt(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """PUT /gtt/triggers/{id}."""
    exchange = service.exchange
    wanted = _wanted(service, request)
    made = exchange.desk.gtts.modify(_id(parts[0]), wanted, exchange.now_ms)
    service.changed()
    return {"trigger_id": made.id}


def delete_gtt(service: Service, request: Request, parts: Parts) -> dict[str, Any]:
    """DELETE /gtt/triggers/{id}."""
    del request
    exchange = service.exchange
    gone = exchange.desk.gtts.delete(_id(parts[0]), exchange.now_ms)
    service.changed()
    return {"trigger_id": gone.id}


ROUTES: Final = (
    Route("GET", "/gtt/triggers", list_gtts),
    Route("POST", "/gtt/triggers", place_gtt),
    Route("GET", "/gtt/triggers/{}", one_gtt),
    Route("PUT", "/gtt/triggers/{}", modify_gtt),
    Route("DELETE", "/gtt/triggers/{}", delete_gtt),
)


def _id(part: str) -> int:
    return int(part) if part.isdecimal() else 0


def _wanted(service: Service, request: Request) -> Wanted:
    params = request.params
    kind = params.get("type", "")
    if kind not in KINDS:
        raise bad_input(f"Invalid `type`: {kind}. Allowed: {', '.join(KINDS)}.")
    condition, orders = _json(params, "condition", dict), _json(params, "orders", list)
    key = f"{condition.get('exchange')}:{condition.get('tradingsymbol')}"
    board = service.exchange.boards.get(key)
    if board is None or board.is_index:
        raise bad_input(f"Invalid `tradingsymbol`: {condition.get('tradingsymbol')}")
    values = condition.get("trigger_values")
    count = KINDS[kind]
    if not isinstance(values, list) or len(values) != count or len(orders) != count:
        raise bad_input(f"A {kind} GTT has {count} `trigger_values` and {count} `orders`.")
    last = _paise(condition, "last_price")
    triggers = tuple(_paise({"trigger_values": one}, "trigger_values") for one in values)
    _check_triggers(triggers, last)
    legs = tuple(_leg(order, key, board) for order in orders)
    if count == LEGS_MAX and any(leg.transaction == "BUY" for leg in legs):
        raise bad_input("Two-leg GTTs of shares are for selling.")
    return Wanted(kind, key, board.instrument.token, last, triggers, legs)


def _check_triggers(triggers: tuple[int, ...], last: int) -> None:
    """Refuse triggers at, too near to, or on one side of the last price.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    if len(triggers) == LEGS_MAX and not triggers[0] < last < triggers[1]:
        raise bad_input(
            f"The last price ({rupees(last)}) must lie between the triggers, the lower one first."
        )
    for trigger in triggers:
        if trigger == last:
            raise bad_input("Trigger price cannot be the last price.")
        if abs(trigger - last) * 10_000 < DISTANCE_BASIS_POINTS_MIN * last:
            raise bad_input(
                f"Trigger price is too close to the last price ({rupees(last)}): at least "
                f"{DISTANCE_BASIS_POINTS_MIN / 100} % away is allowed."
            )


def _leg(order: Any, key: str, board: Board) -> Leg:
    if not isinstance(order, dict):
        raise bad_input("`orders` is a list of objects.")
    named = f"{order.get('exchange')}:{order.get('tradingsymbol')}"
    if named != key:
        raise bad_input(f"`orders` are for {named}, the condition is for {key}.")
    if order.get("transaction_type") not in TRANSACTIONS:
        raise bad_input("Invalid `transaction_type`.")
    if order.get("order_type") != "LIMIT":
        raise bad_input("GTT orders are LIMIT orders.")
    product = order.get("product")
    if product not in PRODUCTS:
        raise bad_input(f"Invalid `product`: {product}. Allowed: {', '.join(PRODUCTS)}.")
    quantity, lot = order.get("quantity"), board.instrument.lot_size
    if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
        raise bad_input("Invalid `quantity`.")
    if quantity % lot:
        raise bad_input(f"Quantity should be in multiples of {lot}.")
    price, tick = _paise(order, "price"), board.instrument.tick_paise
    if price % tick:
        raise bad_input(
            f"Tick size for this script is {rupees(tick)}. Kindly enter price in the multiple "
            "of tick size for this script"
        )
    return Leg(order["transaction_type"], product, quantity, price)


def _json(params: Mapping[str, str], name: str, kind: type) -> Any:
    text = params.get(name)
    if not text:
        raise bad_input(f"Missing or empty field `{name}`")
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, kind):
        raise bad_input(f"Invalid `{name}`: JSON is expected.")
    return content


def _paise(fields: Mapping[str, Any], name: str) -> int:
    """Return a price in paise; a client's binary fraction is the decimal that it stands for."""
    value = fields.get(name)
    try:
        paise = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value)) * 100
    except InvalidOperation:
        paise = Decimal("NaN")
    paise = round(paise, 4) if paise.is_finite() else paise
    if not paise.is_finite() or not 0 < paise < 10**12 or paise % 1:
        raise bad_input(f"Invalid `{name}`: rupees and paise are expected.")
    return int(paise)
