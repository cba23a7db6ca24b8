"""What is asked of an order, field by field: the broker's refusals before anything is sent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.market.instruments import Instrument
from agent.paper.refusals import RequestRefused
from agent.paper.tickets import (
    AUTOMATIC,
    NO_PROTECTION,
    Place,
    Standing,
    protected_limit,
    read_amendment,
    read_ticket,
)

A = Instrument("NSE:A", 257, Decimal("0.05"), freeze_quantity=1_000)
HERE = Place(A, 100_000, (80_000, 120_000))
LIMIT = {"transaction_type": "BUY", "order_type": "LIMIT", "product": "MIS", "quantity": "10",
         "price": "1000"}  # fmt: skip
MARKET = LIMIT | {"order_type": "MARKET", "market_protection": "-1"}
STOP = {"transaction_type": "SELL", "order_type": "SL", "product": "MIS", "quantity": "10",
        "price": "985", "trigger_price": "990"}  # fmt: skip

#  id                     request                                 words of the refusal
REFUSED = [
    ("no quantity", LIMIT | {"quantity": ""}, "Missing or empty field `quantity`"),
    ("part of a share",   LIMIT | {"quantity": "1.5"},                   "`quantity`"),
    ("nothing",           LIMIT | {"quantity": "0"},                     "`quantity`"),
    ("less than nothing", LIMIT | {"quantity": "-4"},                    "`quantity`"),
    ("no number",         LIMIT | {"quantity": "ten"},                   "`quantity`"),
    ("infinite",          LIMIT | {"price": "inf"},                      "`price`"),
    ("no side",           LIMIT | {"transaction_type": "HOLD"},          "`transaction_type`"),
    ("no product",        LIMIT | {"product": ""},                       "`product`"),
    ("NRML on a share",   LIMIT | {"product": "NRML"},                   "`product`"),
    ("bracket order type", LIMIT | {"order_type": "BO"},                 "`order_type`"),
    ("no price",          LIMIT | {"price": ""},                         "`price`"),
    ("off the grid", LIMIT | {"price": "1000.02"}, "Tick size for this script is 0.05"),
    ("above the circuit", LIMIT | {"price": "1200.05"},                  "upper circuit limit"),
    ("below the circuit", LIMIT | {"price": "799.95"},                   "lower circuit limit"),
    ("no protection",     MARKET | {"market_protection": ""},            NO_PROTECTION),
    ("zero protection",   MARKET | {"market_protection": "0"},           NO_PROTECTION),
    ("protection of -2",  MARKET | {"market_protection": "-2"},          "`market_protection`"),
    ("above 100 percent", MARKET | {"market_protection": "101"},         "`market_protection`"),
    ("SL-M unprotected",  STOP | {"order_type": "SL-M"},                 NO_PROTECTION),
    ("no trigger",        STOP | {"trigger_price": ""},                  "`trigger_price`"),
    ("trigger off grid", STOP | {"trigger_price": "990.01"}, "enter trigger price in the multiple"),
    ("trigger passed", STOP | {"trigger_price": "1000.05"}, "lower than the last traded price"),
    ("trigger too low",   STOP | {"trigger_price": "799"},               "lower circuit"),
    ("limit above it", STOP | {"price": "990.05"}, "can't be lesser than price"),
    ("odd validity",      LIMIT | {"validity": "GTC"},                   "`validity`"),
    ("TTL without time",  LIMIT | {"validity": "TTL"},                   "`validity_ttl`"),
    ("tag of 21",         LIMIT | {"tag": "x" * 21},                     "`tag`"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_a_request_that_is_refused(row: tuple) -> None:
    _, params, words = row
    with pytest.raises(RequestRefused) as refused:
        read_ticket(params, HERE)
    assert words in refused.value.message
    assert (refused.value.error_type, refused.value.status) == ("InputException", 400)


def test_a_binary_fraction_is_the_price_that_it_stands_for() -> None:
    assert read_ticket(LIMIT | {"price": str(0.1 + 999.2)}, HERE).price == 99_930
    assert str(0.1 + 0.2) != "0.3"


def test_lots_are_whole() -> None:
    lots = Instrument("NSE:L", 513, Decimal("0.05"), lot_size=25)
    with pytest.raises(RequestRefused, match="multiples of 25"):
        read_ticket(LIMIT | {"quantity": "30"}, Place(lots, 100_000, (80_000, 120_000)))


#  id                  last     side protection      limit: automatic 2 %, 1 %, 0.5 %
BANDS = [
    ("below 100",      9_000,   1,   AUTOMATIC,      9_180),
    ("100 to 500",     20_000,  1,   AUTOMATIC,      20_200),
    ("above 500",      100_000, 1,   AUTOMATIC,      100_500),
    ("a sell",         100_000, -1,  AUTOMATIC,      99_500),
    ("a percent",      100_000, 1,   Decimal(3),   103_000),
    ("to the circuit", 100_000, 1,   Decimal(50),  120_000),
    ("inside a tick",  1_000,   1,   Decimal("0.01"), 1_000),
]  # fmt: skip


@pytest.mark.parametrize("row", BANDS, ids=[row[0] for row in BANDS])
def test_a_protected_order_goes_out_at_its_band(row: tuple) -> None:
    _, last, side, protection, want = row
    place = Place(A, last, (500, 120_000))
    assert protected_limit(side, last, protection, place) == want


def test_a_protected_stop_counts_its_band_from_the_trigger() -> None:
    ticket = read_ticket(STOP | {"order_type": "SL-M", "market_protection": "-1"}, HERE)
    assert (ticket.trigger, ticket.limit, ticket.price) == (99_000, 98_505, 0)


#  from     to        allowed
RETYPES = [
    ("SL",    "LIMIT",  True), ("SL",    "MARKET", True), ("SL-M", "LIMIT", True),
    ("SL-M",  "MARKET", True), ("LIMIT", "MARKET", True), ("SL",   "SL-M",  True),
    ("LIMIT", "SL",     False), ("LIMIT", "SL-M", False), ("MARKET", "SL",  False),
    ("MARKET", "SL-M",  False),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "allowed"), RETYPES)
def test_a_change_of_type(before: str, after: str, allowed: bool) -> None:
    stop = before in {"SL", "SL-M"}
    standing = Standing(
        -1, before, 10, 0 if before == "SL-M" else 98_500, 99_000 if stop else 0,
        AUTOMATIC if before in {"SL-M", "MARKET"} else Decimal(0), triggered=False,
    )  # fmt: skip
    params = {"order_type": after, "price": "985", "trigger_price": "990",
              "market_protection": "-1"}  # fmt: skip
    if allowed:
        amended = read_amendment(params, standing, HERE)
        assert amended.order_type == after
        assert bool(amended.trigger) is (after in {"SL", "SL-M"})
    else:
        with pytest.raises(RequestRefused, match="cannot be changed"):
            read_amendment(params, standing, HERE)


def test_a_limit_made_market_must_carry_protection_a_market_order_need_not() -> None:
    limit = Standing(1, "LIMIT", 10, 100_000, 0, Decimal(0), triggered=False)
    with pytest.raises(RequestRefused, match="market protection"):
        read_amendment({"order_type": "MARKET"}, limit, HERE)
    market = Standing(1, "MARKET", 10, 0, 0, AUTOMATIC, triggered=False)
    assert read_amendment({"quantity": "20"}, market, HERE).protection == AUTOMATIC


def test_what_a_modification_leaves_out_stays() -> None:
    stop = Standing(-1, "SL", 10, 98_500, 99_000, Decimal(0), triggered=False)
    amended = read_amendment({"trigger_price": "992"}, stop, HERE)
    assert (amended.trigger, amended.price, amended.quantity) == (99_200, 98_500, 10)


PAISE = st.integers(100, 2_000_000)


@settings(max_examples=80)
@given(PAISE, st.sampled_from([1, -1]), st.sampled_from([1, 5, 10, 50, 100]),
       st.one_of(st.just(AUTOMATIC), st.decimals("0.01", "100", places=2)))  # fmt: skip
def test_a_band_is_on_the_grid_never_inside_the_price_never_beyond(
    around: int, side: int, tick: int, protection: Decimal
) -> None:
    around = max(around // tick, 2) * tick
    place = Place(Instrument("NSE:A", 257, Decimal(tick) / 100), around, (tick, 10**9))
    limit = protected_limit(side, around, protection, place)
    assert limit % tick == 0
    assert side * (limit - around) >= 0
    percent = Decimal(2) if protection == AUTOMATIC else protection
    assert side * (limit - around) <= around * percent / 100
