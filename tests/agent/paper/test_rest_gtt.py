"""What the broker refuses of a GTT when it is placed, as the official client sees it."""

from __future__ import annotations

import json

import pytest
import requests
from kiteconnect import exceptions as kite_errors

from tests.agent.paper.lab import Running

SELL = {"transaction_type": "SELL", "quantity": 5, "order_type": "LIMIT", "product": "CNC",
        "price": 95.0}  # fmt: skip
# The last price is 100.
#  id                     kind       triggers    order's change                 words
REFUSED = [
    ("at the last price", "single",  [100], {},                            "last price"),
    ("too close",         "single",  [99.8], {},                            "too close"),
    ("one side of it",    "two-leg", [90, 95], {},                            "between"),
    ("upper one first",   "two-leg", [105, 95], {},                            "between"),
    ("nothing",           "single",  [0], {},                            "trigger_values"),
    ("below nothing",     "single",  [-5], {},                            "trigger_values"),
    ("intraday",          "single",  [95], {"product": "MIS"},            "product"),
    ("for contracts",     "single",  [95], {"product": "NRML"},           "product"),
    ("a market order",    "single",  [95], {"order_type": "MARKET"},      "LIMIT"),
    ("no side",           "single",  [95], {"transaction_type": "HOLD"},  "transaction"),
    ("no shares",         "single",  [95], {"quantity": 0},               "quantity"),
    ("off the grid",      "single",  [95], {"price": 95.005},             "price"),
    ("no price",          "single",  [95], {"price": 0},                  "price"),
    ("two legs that buy", "two-leg", [95, 105], {"transaction_type": "BUY"},   "selling"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_a_gtt_that_can_never_be_an_order_is_refused(standing: Running, row: tuple) -> None:
    _, kind, triggers, change, words = row
    kite = standing.kite()
    with pytest.raises(kite_errors.InputException, match=words) as raised:
        kite.place_gtt(kind, "A", "NSE", triggers, 100, [SELL | change] * len(triggers))
    assert raised.value.code == 400
    assert kite.get_gtts() == []


CONDITION = {"exchange": "NSE", "tradingsymbol": "A", "trigger_values": [95], "last_price": 100}
ORDER = SELL | {"exchange": "NSE", "tradingsymbol": "A"}
#  id                       form
BROKEN = [
    ("nothing",             {}),
    ("no JSON",             {"type": "single", "condition": "{", "orders": "[]"}),
    ("the wrong kind",      {"type": "single", "condition": [], "orders": {}}),
    ("no orders",           {"type": "single", "condition": CONDITION, "orders": []}),
    ("orders of numbers",   {"type": "single", "condition": CONDITION, "orders": [7]}),
    ("another symbol",      {"type": "single", "condition": CONDITION,
                             "orders": [ORDER | {"tradingsymbol": "B"}]}),
    ("an index",            {"type": "single", "orders": [ORDER],
                             "condition": CONDITION | {"tradingsymbol": "NIFTY 50"}}),
    ("no number",           {"type": "single", "orders": [ORDER],
                             "condition": CONDITION | {"trigger_values": ["x"]}}),
    ("not a number",        {"type": "single", "orders": [ORDER],
                             "condition": CONDITION | {"last_price": float("nan")}}),
    ("true",                {"type": "single", "orders": [ORDER],
                             "condition": CONDITION | {"last_price": True}}),
    ("too many triggers",   {"type": "single", "orders": [ORDER],
                             "condition": CONDITION | {"trigger_values": [90, 95]}}),
    ("a third kind",        {"type": "three-leg", "condition": CONDITION, "orders": [ORDER]}),
]  # fmt: skip


@pytest.mark.parametrize("row", BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_request_is_answered_as_the_brokers_input_error(
    standing: Running, row: tuple
) -> None:
    form = {k: v if isinstance(v, str) else json.dumps(v) for k, v in row[1].items()}
    headers = {"Authorization": "token paper:paper"}
    answer = requests.post(
        f"{standing.rest}/gtt/triggers", data=form, headers=headers, timeout=10
    )  # fmt: skip
    told = answer.json()
    assert (answer.status_code, told["error_type"]) == (400, "InputException")
    assert told["data"] is None


@pytest.mark.parametrize("gtt_id", ["999999", "x", "-1"])
def test_an_unknown_trigger_is_an_input_error(standing: Running, gtt_id: str) -> None:
    kite = standing.kite()
    for call in (kite.get_gtt, kite.delete_gtt):
        with pytest.raises(kite_errors.InputException, match="not found"):
            call(gtt_id)
