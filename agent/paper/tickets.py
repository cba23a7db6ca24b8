"""What a place or modify request asks for, checked field by field before it goes anywhere.

Pure. Prices become paise on the instrument's grid here, once; whatever cannot is an
`InputException` in the broker's words. What only the risk desk or the exchange can say (funds,
holdings, freeze quantity) is not here: those are answered with an order id and a REJECTED row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from agent.market.instruments import Instrument
from agent.paper.refusals import bad_input

VARIETIES: Final = ("regular", "amo", "co", "iceberg", "auction")
VALIDITIES: Final = ("DAY", "IOC", "TTL")
ORDER_TYPES: Final = ("MARKET", "LIMIT", "SL", "SL-M")
PRODUCTS: Final = ("CNC", "MIS", "MTF")
TRANSACTIONS: Final = ("BUY", "SELL")
TAG_LENGTH_MAX: Final = 20
TTL_MINUTES_MAX: Final = 1_440
LEGS: Final = (2, 50)  # of an iceberg order
DISCLOSED_PERCENT_MIN: Final = 10  # of the quantity, the exchange's rule of the cash market
AUTOMATIC: Final = Decimal(-1)
PROTECTION_MAX: Final = Decimal(100)
# (price below, percent): the broker's automatic protection of cash and futures
PROTECTION_BANDS: Final = ((Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)))
PROTECTION_ABOVE: Final = Decimal("0.5")
NO_PROTECTION: Final = (
    "Market orders without market protection are not allowed via API. "
    "Please set market protection or use a Limit order."
)
# A stop may become a plain order, never the other way round.
RETYPES: Final = frozenset(
    {("SL", "LIMIT"), ("SL", "MARKET"), ("SL", "SL-M"), ("SL-M", "LIMIT"), ("SL-M", "MARKET"),
     ("SL-M", "SL"), ("LIMIT", "MARKET"), ("MARKET", "LIMIT")}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where an order goes and what its prices are measured against; prices in paise."""

    instrument: Instrument
    last: int
    band: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ticket:
    """The terms of an order, ready for the exchange.

    Parameters
    ----------
    order_type : {"MARKET", "LIMIT", "SL", "SL-M"}
        The word of the request.
    price, trigger : int, paise
        As the request said; 0 where it did not.
    limit : int, paise
        What stands at the exchange: the price, or the protection band of MARKET and SL-M.
    protection : Decimal, percent; -1 automatic, 0 none
    stop : int, paise
        Of a cover order: the trigger of its second leg.
    legs : int
        Of an iceberg order, one after the other; `quantity` is all of them.
    """

    transaction: str
    product: str
    order_type: str
    validity: str
    quantity: int
    disclosed: int
    price: int
    trigger: int
    limit: int
    protection: Decimal
    ttl_minutes: int
    tag: str | None
    stop: int = 0
    legs: int = 0

    @property
    def side(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self.transaction == "BUY" else -1


def read_ticket(params: Mapping[str, str], place: Place, variety: str = "regular") -> Ticket:
    """Read a place request.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    if variety == "co":
        return _read_cover(params, place)
    ticket = _read_plain(params, place)
    if variety != "iceberg":
        return ticket
    legs = _whole(params, "iceberg_legs")
    if not LEGS[0] <= legs <= LEGS[1]:
        raise bad_input(f"Invalid `iceberg_legs`: {LEGS[0]} to {LEGS[1]}.")
    each = _whole(params, "iceberg_quantity", default=-(-ticket.quantity // legs))
    if ticket.validity == "IOC" or ticket.order_type not in {"LIMIT", "SL"}:
        raise bad_input("Iceberg orders are LIMIT or SL orders for the day or for minutes.")
    if each < 1 or each % place.instrument.lot_size or -(-ticket.quantity // each) != legs:
        raise bad_input(
            f"Invalid `iceberg_quantity`: {legs} legs of {each} do not make {ticket.quantity}."
        )
    return replace(ticket, legs=legs)


def _read_cover(params: Mapping[str, str], place: Place) -> Ticket:
    """Read an entry with the stop that follows it: MARKET or LIMIT, for the day."""
    if _choice(params, "order_type", ORDER_TYPES) not in {"MARKET", "LIMIT"}:
        raise bad_input("Cover orders are MARKET or LIMIT orders.")
    if params.get("product", "MIS") not in {"MIS", "CO"}:
        raise bad_input("Cover orders are intraday: `product` MIS.")
    if params.get("validity", "DAY") != "DAY":
        raise bad_input("Cover orders are for the day.")
    ticket = replace(_read_plain({**params, "product": "MIS"}, place), product="CO")
    stop = _price(params, "trigger_price", place)
    check_trigger(-ticket.side, stop, 0, place)
    if ticket.price and ticket.side * (ticket.price - stop) <= 0:
        than = "lower" if ticket.side > 0 else "higher"
        raise bad_input(f"The stop of a cover order should be {than} than its price.")
    return replace(ticket, stop=stop)


def _read_plain(params: Mapping[str, str], place: Place) -> Ticket:
    transaction = _choice(params, "transaction_type", TRANSACTIONS)
    order_type = _choice(params, "order_type", ORDER_TYPES)
    validity = _choice(params, "validity", VALIDITIES, default="DAY")
    side = 1 if transaction == "BUY" else -1
    quantity = _quantity(params, place.instrument)
    price = _price(params, "price", place) if order_type in {"LIMIT", "SL"} else 0
    trigger = _price(params, "trigger_price", place) if order_type in {"SL", "SL-M"} else 0
    protection = _protection(params) if order_type in {"MARKET", "SL-M"} else Decimal(0)
    if trigger:
        check_trigger(side, trigger, price, place)
    return Ticket(
        transaction,
        _choice(params, "product", PRODUCTS),
        order_type,
        validity,
        quantity,
        _disclosed(params, quantity),
        price,
        trigger,
        price or protected_limit(side, trigger or place.last, protection, place),
        protection,
        _ttl(params) if validity == "TTL" else 0,
        _tag(params),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What a modification starts from: the order as it stands; prices in paise."""

    side: int
    order_type: str
    quantity: int
    price: int
    trigger: int
    protection: Decimal
    triggered: bool
    validity: str = "DAY"
    disclosed: int = 0


@dataclass(frozen=True, slots=True)
class Amendment:
    """The terms after a modification; `trigger` is 0 once it is no stop any more."""

    order_type: str
    quantity: int
    price: int
    trigger: int
    limit: int
    protection: Decimal
    asks_trigger: bool
    validity: str = "DAY"
    disclosed: int = 0
    ttl_minutes: int = 0


def read_amendment(params: Mapping[str, str], standing: Standing, place: Place) -> Amendment:
    """Read a modify request against the order as it stands.

    Raises
    ------
    RequestRefused
        `InputException`, 400: a field is wrong, or a plain order cannot become a stop.
    """
    order_type = _choice(params, "order_type", ORDER_TYPES, default=standing.order_type)
    if order_type != standing.order_type and (standing.order_type, order_type) not in RETYPES:
        raise bad_input(f"Order type cannot be changed from {standing.order_type} to {order_type}.")
    quantity = _quantity(params, place.instrument) if params.get("quantity") else standing.quantity
    stop = order_type in {"SL", "SL-M"}
    price = _amended_price(params, order_type, standing, place)
    trigger = standing.trigger if stop else 0
    asks_trigger = stop and bool(params.get("trigger_price"))
    if asks_trigger:
        trigger = _price(params, "trigger_price", place)
    if stop and not standing.triggered:
        check_trigger(standing.side, trigger, price, place)
    protection = Decimal(0)
    if order_type in {"MARKET", "SL-M"}:
        carried = standing.order_type in {"MARKET", "SL-M"} and standing.protection
        given = bool(params.get("market_protection"))
        protection = standing.protection if carried and not given else _protection(params)
    limit = price or protected_limit(standing.side, trigger or place.last, protection, place)
    validity = _choice(params, "validity", VALIDITIES, default=standing.validity)
    given_disclosed = bool(params.get("disclosed_quantity"))
    return Amendment(
        order_type, quantity, price, trigger, limit, protection, asks_trigger, validity,
        _disclosed(params, quantity) if given_disclosed else min(standing.disclosed, quantity),
        _ttl(params) if validity == "TTL" != standing.validity else 0,
    )  # fmt: skip


def read_amendment_trigger(params: Mapping[str, str], side: int, price: int, place: Place) -> int:
    """Read where the stop of a cover order is to stand, on the right side of its entry's price.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    stop = _price(params, "trigger_price", place)
    check_trigger(side, stop, 0, replace(place, last=price))
    return stop


def protected_limit(side: int, around: int, protection: Decimal, place: Place) -> int:
    """Return where a protected order's limit stands, in paise, on the grid, inside the circuit.

    Never nearer than the price itself: on a coarse grid the band may be less than a tick.

    Parameters
    ----------
    side : int
    around : int, paise
        The last price of a MARKET order, the trigger of an SL-M.
    protection : Decimal, percent; -1 for the broker's own bands
    place : Place
    """
    tick = place.instrument.tick_paise
    percent = _automatic(around) if protection == AUTOMATIC else protection
    reach = int(around * percent / 100)
    limit = around + side * max(reach // tick * tick, 0)
    limit = limit // tick * tick if side > 0 else -(-limit // tick) * tick
    return min(max(limit, place.band[0]), place.band[1])


def check_trigger(side: int, trigger: int, price: int, place: Place) -> None:
    """Refuse a trigger on the wrong side of the last price, of its limit, or of the circuit.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    word = "buy" if side > 0 else "sell"
    if side * (trigger - place.last) < 0:
        than = "higher" if side > 0 else "lower"
        raise bad_input(
            f"Trigger price for stoploss {word} orders should be {than} than the last traded "
            f"price ({rupees(place.last)})."
        )
    if price and side * (price - trigger) < 0:
        than = "higher" if side > 0 else "lesser"
        raise bad_input(f"Trigger price can't be {than} than price.")


def rupees(paise: int) -> str:
    """Return paise as rupees with two decimals."""
    return f"{paise // 100}.{paise % 100:02d}"


def _automatic(paise: int) -> Decimal:
    for below, percent in PROTECTION_BANDS:
        if paise < below * 100:
            return percent
    return PROTECTION_ABOVE


def _amended_price(
    params: Mapping[str, str], order_type: str, standing: Standing, place: Place
) -> int:
    if order_type not in {"LIMIT", "SL"}:
        return 0
    if params.get("price") or not standing.price:
        return _price(params, "price", place)
    return standing.price


def _choice(
    params: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str | None = None
) -> str:
    given = params.get(name) or default
    if not given:
        raise bad_input(f"Missing or empty field `{name}`")
    if given not in allowed:
        raise bad_input(f"Invalid `{name}`: {given}. Allowed: {', '.join(allowed)}.")
    return given


def _number(params: Mapping[str, str], name: str) -> Decimal:
    given = params.get(name)
    if not given:
        raise bad_input(f"Missing or empty field `{name}`")
    try:
        number = Decimal(given)
    except InvalidOperation:
        raise bad_input(f"Invalid `{name}`.") from None
    if not number.is_finite():
        raise bad_input(f"Invalid `{name}`.")
    return number


def _whole(params: Mapping[str, str], name: str, default: int | None = None) -> int:
    if default is not None and not params.get(name):
        return default
    number = _number(params, name)
    if number != int(number) or number < 0:
        raise bad_input(f"Invalid `{name}`.")
    return int(number)


def _quantity(params: Mapping[str, str], instrument: Instrument) -> int:
    quantity = _whole(params, "quantity")
    if quantity < 1:
        raise bad_input("Invalid `quantity`.")
    if quantity % instrument.lot_size:
        raise bad_input(f"Quantity should be in multiples of {instrument.lot_size}.")
    return quantity


def _price(params: Mapping[str, str], name: str, place: Place) -> int:
    # A client's binary fraction (98.30000000000001) is the decimal number that it stands for.
    paise = round(_number(params, name) * 100, 4)
    tick, words = place.instrument.tick_paise, name.replace("_", " ")
    if paise <= 0:
        raise bad_input(f"Invalid `{name}`.")
    if paise % tick:
        raise bad_input(
            f"Tick size for this script is {rupees(tick)}. Kindly enter {words} in the multiple "
            "of tick size for this script"
        )
    lower, upper = place.band
    if paise < lower:
        raise bad_input(
            f"Your order {words} is lower than the current [lower circuit limit] of "
            f"{rupees(lower)}. Place an order within the daily range."
        )
    if paise > upper:
        raise bad_input(
            f"Your order {words} is higher than the current [upper circuit limit] of "
            f"{rupees(upper)}. Place an order within the daily range."
        )
    return int(paise)


def _protection(params: Mapping[str, str]) -> Decimal:
    if not params.get("market_protection"):
        raise bad_input(NO_PROTECTION)
    protection = _number(params, "market_protection")
    if protection == 0:
        raise bad_input(NO_PROTECTION)
    if protection != AUTOMATIC and not 0 < protection <= PROTECTION_MAX:
        raise bad_input("Invalid `market_protection`: -1 or above 0 up to 100.")
    return protection


def _disclosed(params: Mapping[str, str], quantity: int) -> int:
    disclosed = _whole(params, "disclosed_quantity", default=0)
    if disclosed > quantity:
        raise bad_input("Disclosed quantity cannot be more than the quantity.")
    if disclosed and disclosed * 100 < DISCLOSED_PERCENT_MIN * quantity:
        raise bad_input(
            f"Disclosed quantity should be at least {DISCLOSED_PERCENT_MIN} % of the quantity."
        )
    return disclosed


def _ttl(params: Mapping[str, str]) -> int:
    minutes = _whole(params, "validity_ttl")
    if not 1 <= minutes <= TTL_MINUTES_MAX:
        raise bad_input("Invalid `validity_ttl`.")
    return minutes


def _tag(params: Mapping[str, str]) -> str | None:
    tag = params.get("tag")
    if not tag:
        return None
    if len(tag) > TAG_LENGTH_MAX or not re.fullmatch(r"[\x21-\x7e]+", tag):
        raise bad_input(f"Invalid `tag`: at most {TAG_LENGTH_MAX} characters.")
    return tag
