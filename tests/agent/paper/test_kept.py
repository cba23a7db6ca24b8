"""What outlives kill -9: GTTs, the stop of a cover order, the legs of an iceberg order."""

from __future__ import annotations

from pathlib import Path

from tests.agent.paper.lab import DAY, Running, at, start

OF_B = {"exchange": "NSE", "tradingsymbol": "B"}  # 100, 100, 98, 98, 102, 102, then 100
SELL = {"transaction_type": "SELL", "quantity": 5, "order_type": "LIMIT", "product": "CNC",
        "price": 101.5}  # fmt: skip


def begin(home: Path, minutes: Path) -> Running:
    return start(home, "--candles", str(minutes), "--lockstep", "--first", str(DAY))


def run_to(running: Running, clock: str) -> None:
    running.post("join")
    running.post("ack", through=at(clock) - 1, wake=at(clock))
    running.post("leave")


def test_a_killed_exchange_goes_on_with_everything_that_waits(
    tmp_path: Path, minutes: Path
) -> None:
    running = begin(tmp_path, minutes)
    kite = running.kite()
    buy = OF_B | {"transaction_type": "BUY"}
    kite.place_order("regular", **buy, quantity=5, product="CNC", order_type="MARKET",
                     market_protection=-1)  # fmt: skip
    gtt = kite.place_gtt("single", "B", "NSE", [101.5], 100.0, [SELL])["trigger_id"]
    entry = kite.place_order("co", **buy, quantity=10, product="MIS", order_type="MARKET",
                             market_protection=-1, trigger_price=97)  # fmt: skip
    iceberg = kite.place_order("iceberg", **buy, quantity=30, product="MIS", order_type="LIMIT",
                               price=98.5, iceberg_legs=3)  # fmt: skip
    run_to(running, "09:16")
    before = (kite.orders(), kite.get_gtts(), kite.positions()["net"])
    running.kill()
    running = begin(tmp_path, minutes)
    kite = running.kite()
    assert (kite.orders(), kite.get_gtts(), kite.positions()["net"]) == before
    rows = {row["order_id"]: row for row in kite.orders()}
    (stop,) = (row for row in rows.values() if row["parent_order_id"] == entry)
    assert (stop["status"], stop["trigger_price"]) == ("TRIGGER PENDING", 97)
    run_to(running, "09:20")  # 98 fills the iceberg order's legs, 102 fires the GTT
    rows = {row["order_id"]: row for row in kite.orders()}
    assert rows[iceberg]["status"] == "COMPLETE"
    told = kite.get_gtt(gtt)
    assert told["status"] == "triggered"
    fired = told["orders"][0]["result"]["order_result"]["order_id"]
    assert rows[fired]["status"] == "COMPLETE"
    assert kite.cancel_order("co", stop["order_id"], parent_order_id=entry) == stop["order_id"]
    run_to(running, "09:21")
    assert {row["product"]: row["quantity"] for row in kite.positions()["net"]} == {
        "CNC": 0, "CO": 0, "MIS": 30,
    }  # fmt: skip
    assert running.stop() == 0
