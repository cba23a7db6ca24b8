"""Whatever is sent to the exchange is answered with the broker's envelope, and never with a fault.

Requests are drawn by a seed from real paths and from fields that are right, missing or nonsense;
a failing seed is printed and can be put into SEEDS.
"""

from __future__ import annotations

import json
import random

import pytest
import requests

from tests.agent.paper.lab import Running, at

SEEDS = (1, 2)
REQUESTS = 250
RIGHT = {
    "exchange": "NSE", "tradingsymbol": "B", "transaction_type": "BUY", "quantity": "10",
    "product": "MIS", "order_type": "LIMIT", "price": "99", "validity": "DAY",
    "trigger_price": "97", "market_protection": "-1", "iceberg_legs": "2", "validity_ttl": "3",
    "position_type": "day",
    "old_product": "MIS", "new_product": "CNC", "type": "single",
    "condition": json.dumps({"exchange": "NSE", "tradingsymbol": "B", "trigger_values": [95],
                             "last_price": 100}),
    "orders": json.dumps([{"exchange": "NSE", "tradingsymbol": "B", "transaction_type": "SELL",
                           "quantity": 5, "order_type": "LIMIT", "product": "CNC", "price": 95}]),
}  # fmt: skip
NONSENSE = ("", "0", "-1", "1e3", "NaN", "inf", "9" * 30, "x", "None", "MARKET", "SL", "SL-M",
            "SELL", "CNC", "IOC", "TTL", "CO", "overnight", "two-leg", "{}", "[]", "[1]",
            "\u20b9", "a'b", "99.999", "101", "80")  # fmt: skip
VARIETIES = ("regular", "co", "iceberg", "amo", "auction", "bo", "")
READS = ("/orders", "/trades", "/portfolio/positions", "/portfolio/holdings", "/gtt/triggers",
         "/portfolio/holdings/auctions", "/user/margins", "/quote?i=NSE:B", "/user/margins/x",
         "/instruments/trigger_range/sell?i=NSE:B", "/instruments/historical/1/minute")  # fmt: skip
KINDS = {"InputException", "OrderException", "NetworkException", "GeneralException",
         "MarginException", "HoldingException", None}  # fmt: skip


def drawn(rng: random.Random, orders: list[str], gtts: list[str]) -> tuple[str, str, dict]:
    variety, order, gtt = rng.choice(VARIETIES), rng.choice(orders), rng.choice(gtts)
    method, path = rng.choice([
        ("POST", f"/orders/{variety}"), ("POST", f"/orders/{variety}"),
        ("PUT", f"/orders/{variety}/{order}"), ("DELETE", f"/orders/{variety}/{order}"),
        ("GET", f"/orders/{order}"), ("GET", f"/orders/{order}/trades"),
        ("PUT", "/portfolio/positions"), ("POST", "/portfolio/holdings/authorise"),
        ("POST", "/gtt/triggers"), ("PUT", f"/gtt/triggers/{gtt}"),
        ("DELETE", f"/gtt/triggers/{gtt}"), ("GET", f"/gtt/triggers/{gtt}"),
        ("POST", "/margins/orders"), ("POST", "/margins/basket"), ("POST", "/charges/orders"),
        ("GET", rng.choice(READS)),
    ])  # fmt: skip
    fields = dict(RIGHT) if rng.random() < 0.8 else {}
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        fields[rng.choice([*RIGHT, "autoslice", "disclosed_quantity"])] = rng.choice(NONSENSE)
    if path.startswith(("/margins", "/charges")):
        return method, path, {"json": rng.choice([[fields], [], {}, [1], None])}
    return method, path, {"params" if method in {"GET", "DELETE"} else "data": fields}


@pytest.mark.parametrize("seed", SEEDS)
def test_anything_is_answered_in_the_brokers_envelope(moving: Running, seed: int) -> None:
    rng, session = random.Random(seed), requests.Session()
    session.headers["Authorization"] = "token paper:paper"
    orders, gtts = ["1"], ["1"]
    now = int(str(moving.post("join")["now"]))
    for _ in range(REQUESTS):
        method, path, options = drawn(rng, orders, gtts)
        answer = session.request(method, moving.rest + path, timeout=20, **options)
        told = answer.json()
        facts = (seed, method, path, options, told)
        assert answer.status_code < 500, facts
        assert told.get("error_type") in KINDS, facts
        assert told["status"] == ("success" if answer.status_code == 200 else "error"), facts
        if answer.status_code == 200 and method == "POST":
            data = told["data"]
            orders += [data["order_id"]] if "order_id" in data else []
            gtts += [str(data["trigger_id"])] if "trigger_id" in data else []
        if rng.random() < 0.3 and now < at("15:00"):
            now = int(str(moving.post("ack", through=now + rng.choice((0, 40, 60_000)))["now"]))
    assert len(orders) > 5
    findings = moving.get("audit")
    assert findings["orders"] >= len(set(orders)) - 1
