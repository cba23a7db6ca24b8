"""Margins and charges of orders that nobody placed: to the paisa, and what nets off in a basket."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from kiteconnect import exceptions as kite_errors

from agent.market.charges import order_charges
from tests.agent.paper.lab import DAY, Running

OF_A = {"exchange": "NSE", "tradingsymbol": "A", "variety": "regular", "order_type": "LIMIT"}
PRODUCTS = ("MIS", "CNC", "MTF")
PARTS = {"transaction_tax": "stt", "exchange_turnover_charge": "exchange", "brokerage": "brokerage",
         "sebi_turnover_charge": "sebi", "stamp_duty": "stamp", "total": "total"}  # fmt: skip


def order(side: str, quantity: int, product: str = "MIS", price: float = 100) -> dict[str, object]:
    return OF_A | {"transaction_type": side, "quantity": quantity, "product": product,
                   "price": price, "trigger_price": 0}  # fmt: skip


def paise(rupees: float) -> int:
    found = round(rupees * 100)
    assert abs(found - rupees * 100) < 1e-6  # whole paise, nothing finer
    return found


def test_the_contract_note_is_the_schedule_of_the_day_to_the_paisa(standing: Running) -> None:
    rng = random.Random(4)
    asked = [
        order(rng.choice(["BUY", "SELL"]), rng.randrange(1, 5_000), rng.choice(PRODUCTS))
        | {"order_id": str(n), "average_price": rng.randrange(1, 400_000) / 100}
        for n in range(120)
    ]
    notes = standing.kite().get_virtual_contract_note(asked)
    assert len(notes) == len(asked)
    for one, note in zip(asked, notes, strict=True):
        want = order_charges(
            product=str(one["product"]), segment="NSE", transaction=str(one["transaction_type"]),
            quantity=int(str(one["quantity"])), price=Decimal(str(one["average_price"])), on=DAY,
        )  # fmt: skip
        told = note["charges"]
        assert {name: paise(told[name]) for name in PARTS} == {
            name: getattr(want, part) for name, part in PARTS.items()
        }
        assert paise(told["gst"]["total"]) == want.gst
        assert (note["quantity"], note["price"]) == (one["quantity"], one["average_price"])


#  id                      basket                                              initial  final
BASKETS = [
    ("one",                [order("BUY", 10)],                                 200,     200),
    ("two of a side",      [order("BUY", 10), order("BUY", 10)],               400,     400),
    ("both sides",         [order("BUY", 10), order("SELL", 10)],              400,     200),
    ("another product",    [order("BUY", 10), order("BUY", 10, "CNC")],        1_200,   1_200),
    ("a delivery sale",    [order("SELL", 10, "CNC")],                         0,       0),
]  # fmt: skip


@pytest.mark.parametrize("consider", [True, False])
@pytest.mark.parametrize("row", BASKETS, ids=[row[0] for row in BASKETS])
def test_a_basket_nets_the_sides_of_one_instrument_and_product(
    standing: Running, row: tuple, consider: bool
) -> None:
    _, basket, initial, final = row
    told = standing.kite().basket_order_margins(basket, consider_positions=consider)
    assert (told["initial"]["total"], told["final"]["total"]) == (initial, final)
    assert sum(one["total"] for one in told["orders"]) == initial


def test_a_compact_basket_has_only_the_totals(standing: Running) -> None:
    told = standing.kite().basket_order_margins([order("BUY", 10)], mode="compact")
    assert (told["orders"], told["final"]["total"]) == ([], 200)


def test_an_exit_needs_nothing_where_positions_are_considered(moving: Running) -> None:
    kite = moving.kite()
    kite.place_order(**{**OF_A, "order_type": "MARKET"}, transaction_type="BUY", quantity=10,
                     product="MIS", market_protection=-1)  # fmt: skip
    now = int(str(moving.post("join")["now"]))
    moving.post("ack", through=now + 60)
    told = kite.basket_order_margins([order("SELL", 10)])
    alone = kite.basket_order_margins([order("SELL", 10)], consider_positions=False)
    assert (told["final"]["total"], alone["final"]["total"]) == (0, 200)


@pytest.mark.parametrize(
    "change",
    [{"tradingsymbol": "X"}, {"transaction_type": "HOLD"}, {"product": "NRML"}, {"quantity": 0},
     {"price": -1}, {"average_price": 0}, {"average_price": "x"}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_an_order_has_no_charges(standing: Running, change: dict) -> None:
    asked = order("BUY", 10) | {"order_id": "1", "average_price": 100} | change
    kite = standing.kite()
    if "price" in change:
        with pytest.raises(kite_errors.InputException):
            kite.order_margins([asked])
    else:
        with pytest.raises(kite_errors.InputException):
            kite.get_virtual_contract_note([asked])
