"""The way of an order through broker and exchange, at virtual instants, without sockets.

Prices are scripted a minute at a time; NSE:A begins at 100 rupees, grid 0.01.
"""

from __future__ import annotations

import pytest

from agent.market.charges import SQUARE_OFF_FEE_PAISE
from agent.paper.desk import LATENCY_MS, MODIFICATIONS_MAX
from agent.paper.exchange import Exchange
from agent.paper.records import Record, row_of
from agent.paper.refusals import RequestRefused
from tests.agent.paper.lab import DAY, at, opened, run_to

FLAT = [100.0] * 375
KEY = "NSE:A"


def place(exchange: Exchange, side: str, quantity: int, kind: str, **fields: object) -> Record:
    params = {"transaction_type": side, "order_type": kind, "product": "MIS",
              "quantity": str(quantity)}  # fmt: skip
    if kind in {"MARKET", "SL-M"}:
        params["market_protection"] = "-1"
    params |= {name: str(value) for name, value in fields.items()}
    return exchange.desk.place(KEY, params, exchange.now_ms)


def modify(exchange: Exchange, record: Record, **fields: object) -> None:
    params = {name: str(value) for name, value in fields.items()}
    exchange.desk.modify(record.order_id, params, exchange.now_ms)


def wait(exchange: Exchange, ms: int = LATENCY_MS) -> list[dict[str, object]]:
    return run_to(exchange, exchange.now_ms + ms)


def statuses(record: Record) -> list[str]:
    return [row["status"] for row in record.history]


def test_an_order_is_live_after_the_latency_and_told_only_when_it_trades() -> None:
    exchange = opened({KEY: FLAT})
    record = place(exchange, "BUY", 10, "LIMIT", price=99)
    assert run_to(exchange, at("09:15") + LATENCY_MS - 1) == []
    assert record.status == "OPEN PENDING"
    assert run_to(exchange, at("09:15") + LATENCY_MS) == []
    assert record.status == "OPEN"


def test_a_market_order_takes_the_depth_and_pushes_one_update() -> None:
    exchange = opened({KEY: FLAT})
    record = place(exchange, "BUY", 200, "MARKET", tag="t1")
    (update,) = wait(exchange)
    assert (update["status"], update["filled_quantity"], update["tag"]) == ("COMPLETE", 200, "t1")
    assert statuses(record) == [
        "PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN", "COMPLETE",
    ]  # fmt: skip
    assert row_of(record)["order_type"] == "MARKET"
    assert row_of(record)["average_price"] >= 100


def test_a_market_order_that_finds_too_little_rests_as_a_limit_at_its_band() -> None:
    exchange = opened({KEY: FLAT}, cash=10**12)
    shown = exchange.boards[KEY].look()
    record = place(exchange, "BUY", 90_000, "MARKET", market_protection="0.02")
    wait(exchange)
    row = row_of(record)
    assert (row["status"], row["order_type"], row["price"]) == ("OPEN", "LIMIT", 100.02)
    assert row["filled_quantity"] == sum(s for p, s in shown.asks if p <= 10_002)
    assert row["pending_quantity"] == 90_000 - row["filled_quantity"]


def test_a_stop_is_triggered_by_the_last_trade() -> None:
    exchange = opened({KEY: [100.0, 100.0, 98.0, *FLAT[3:]]})
    record = place(exchange, "SELL", 50, "SL", price=97, trigger_price=99)
    run_to(exchange, at("09:16:59"))
    assert record.status == "TRIGGER PENDING"
    updates = run_to(exchange, at("09:17"))
    assert [update["status"] for update in updates] == ["COMPLETE"]
    assert statuses(record)[3:] == ["TRIGGER PENDING", "OPEN", "COMPLETE"]
    assert row_of(record)["average_price"] == pytest.approx(98, abs=0.02)


A_STOP = {"price": 97, "trigger_price": 99}
NOW = {"order_type": "LIMIT", "price": 99.9}
AT_MARKET = {"order_type": "MARKET", "market_protection": -1}
#  id                  from                             change                    becomes
RETYPED = [
    ("SL to LIMIT",     ("SL", A_STOP),                  NOW,                      "LIMIT"),
    ("SL to MARKET",    ("SL", A_STOP),                  AT_MARKET,                "MARKET"),
    ("SL-M to LIMIT",   ("SL-M", {"trigger_price": 99}), NOW,                      "LIMIT"),
    ("SL-M to MARKET",  ("SL-M", {"trigger_price": 99}), {"order_type": "MARKET"}, "MARKET"),
    ("LIMIT to MARKET", ("LIMIT", {"price": 101}),       AT_MARKET,                "MARKET"),
]  # fmt: skip


@pytest.mark.parametrize("row", RETYPED, ids=[row[0] for row in RETYPED])
def test_a_resting_exit_becomes_an_immediate_one(row: tuple) -> None:
    _, (kind, fields), change, becomes = row
    exchange = opened({KEY: FLAT})
    record = place(exchange, "SELL", 100, kind, **fields)
    wait(exchange)
    assert record.live
    modify(exchange, record, **change)
    assert record.status == "MODIFY PENDING"
    wait(exchange)
    row_now = row_of(record)
    assert (row_now["status"], row_now["order_type"], row_now["trigger_price"]) == (
        "COMPLETE", becomes, 0,
    )  # fmt: skip
    assert row_now["modified"] is True
    assert "MODIFIED" in statuses(record)


def test_a_limit_order_cannot_become_a_stop() -> None:
    exchange = opened({KEY: FLAT})
    record = place(exchange, "SELL", 100, "LIMIT", price=101)
    wait(exchange)
    with pytest.raises(RequestRefused, match="cannot be changed"):
        modify(exchange, record, order_type="SL", trigger_price=99, price=98)
    assert record.status == "OPEN"


def test_a_trigger_wins_the_race_against_a_modification() -> None:
    exchange = opened({KEY: [100.0, 98.9, *FLAT[2:]]})
    record = place(exchange, "SELL", 50, "SL", price=98.95, trigger_price=99)
    run_to(exchange, at("09:15:59"))
    exchange.move_to(at("09:16") - 20)  # the change arrives 20 ms after the tick at 98.9
    modify(exchange, record, trigger_price=98.5, price=98)
    run_to(exchange, at("09:16") + LATENCY_MS)
    assert statuses(record)[-4:] == ["MODIFY PENDING", "OPEN", "NOT MODIFIED", "OPEN"]
    assert (row_of(record)["trigger_price"], record.live) == (99, True)
    with pytest.raises(RequestRefused, match="being processed"):
        modify(exchange, record, trigger_price=98.5, price=98)
    modify(exchange, record, order_type="LIMIT", price=98.5)  # what is allowed after it
    wait(exchange)
    assert record.status == "COMPLETE"


def test_a_fill_wins_the_race_against_a_cancel_and_a_modification() -> None:
    exchange = opened({KEY: [100.0, 102.0, *FLAT[2:]]})
    cancelled, modified = (place(exchange, "SELL", 50, "LIMIT", price=101) for _ in range(2))
    run_to(exchange, at("09:15:45"))
    exchange.move_to(at("09:16") - 20)
    exchange.desk.cancel(cancelled.order_id, exchange.now_ms)
    modify(exchange, modified, price=103)
    run_to(exchange, at("09:17"))
    assert [cancelled.status, modified.status] == ["COMPLETE", "COMPLETE"]
    assert [cancelled.filled, modified.filled] == [50, 50]


def test_the_twenty_sixth_modification_is_refused() -> None:
    exchange = opened({KEY: FLAT})
    record = place(exchange, "SELL", 50, "SL", price=90, trigger_price=95)
    wait(exchange)
    for n in range(MODIFICATIONS_MAX):
        modify(exchange, record, trigger_price=f"{95 + n * 0.05:.2f}")
        wait(exchange)
    assert row_of(record)["trigger_price"] == 96.2
    with pytest.raises(RequestRefused, match="Maximum allowed order modifications exceeded"):
        modify(exchange, record, trigger_price=97)
    assert record.live


def test_an_order_in_flight_cannot_be_modified_but_cancelled() -> None:
    exchange = opened({KEY: FLAT})
    record = place(exchange, "BUY", 50, "LIMIT", price=99)
    with pytest.raises(RequestRefused, match="being processed"):
        modify(exchange, record, price=98)
    exchange.desk.cancel(record.order_id, exchange.now_ms)
    wait(exchange)
    assert (record.status, record.filled) == ("CANCELLED", 0)
    assert row_of(record)["cancelled_quantity"] == row_of(record)["pending_quantity"] == 50
    with pytest.raises(RequestRefused, match="cannot be cancelled"):
        exchange.desk.cancel(record.order_id, exchange.now_ms)


def test_ioc_and_ttl_end_by_themselves() -> None:
    exchange = opened({KEY: FLAT})
    ioc = place(exchange, "BUY", 50, "LIMIT", price=99, validity="IOC")
    ttl = place(exchange, "BUY", 50, "LIMIT", price=99, validity="TTL", validity_ttl=2)
    wait(exchange)
    assert (ioc.status, ttl.status) == ("CANCELLED", "OPEN")
    run_to(exchange, at("09:16:59"))
    assert ttl.status == "OPEN"
    run_to(exchange, at("09:17"))
    assert ttl.status == "CANCELLED"


CNC = {"price": 101, "product": "CNC"}
#  id                      order                                      words of the REJECTED row
REJECTED = [
    ("beyond the funds",   ("BUY", 60_000, "LIMIT", {"price": 100}),  "Insufficient funds"),
    ("beyond the freeze",  ("BUY", 100_001, "LIMIT", {"price": 100}), "freeze quantity"),
    ("CNC without shares", ("SELL", 10, "LIMIT", CNC),                "Insufficient holdings"),
]  # fmt: skip


@pytest.mark.parametrize("row", REJECTED, ids=[row[0] for row in REJECTED])
def test_an_order_that_the_risk_desk_rejects_has_an_id_and_a_row(row: tuple) -> None:
    _, (side, quantity, kind, fields), words = row
    exchange = opened({KEY: FLAT})  # ten lakh rupees
    record = place(exchange, side, quantity, kind, **fields)
    (update,) = wait(exchange)
    assert (update["status"], record.status) == ("REJECTED", "REJECTED")
    assert words in row_of(record)["status_message"]
    assert exchange.books.blocked(exchange.desk.pending()) == 0


def test_an_exit_needs_no_margin_even_when_all_of_it_is_used() -> None:
    exchange = opened({KEY: FLAT})
    place(exchange, "BUY", 1_000, "MARKET")
    place(exchange, "BUY", 48_000, "LIMIT", price=99)
    wait(exchange)
    stop = place(exchange, "SELL", 1_000, "SL", price=97, trigger_price=98)
    wait(exchange)
    assert stop.status == "TRIGGER PENDING"


def test_shares_bought_today_can_be_sold_as_cnc_and_no_more() -> None:
    exchange = opened({KEY: FLAT})
    place(exchange, "BUY", 100, "MARKET", product="CNC")
    wait(exchange)
    first = place(exchange, "SELL", 60, "LIMIT", price=105, product="CNC")
    second = place(exchange, "SELL", 60, "LIMIT", price=105, product="CNC")
    wait(exchange)
    assert (first.status, second.status) == ("OPEN", "REJECTED")


def test_the_broker_squares_off_and_charges_for_it() -> None:
    exchange = opened({KEY: FLAT})
    place(exchange, "SELL", 300, "MARKET")
    wait(exchange)
    stop = place(exchange, "BUY", 300, "SL", price=103, trigger_price=102)
    run_to(exchange, at("15:19:59"))
    charged = exchange.books.charges
    assert exchange.books.positions[KEY, "MIS"].net == -300
    run_to(exchange, at("15:20"))
    assert exchange.books.positions[KEY, "MIS"].net == 0
    assert stop.status == "CANCELLED"
    closing = list(exchange.desk.records.values())[-1]
    assert (closing.placed_by, closing.status, closing.filled) == ("RMS", "COMPLETE", 300)
    assert exchange.books.charges == charged + closing.charges + SQUARE_OFF_FEE_PAISE
    late = place(exchange, "BUY", 10, "MARKET")
    wait(exchange)
    assert (late.status, "square-off" in (late.message or "")) == ("REJECTED", True)


def test_day_orders_end_with_the_session_and_none_is_taken_after_it() -> None:
    exchange = opened({KEY: FLAT})
    resting = place(exchange, "BUY", 10, "LIMIT", price=99, product="CNC")
    run_to(exchange, at("15:30"))
    assert resting.status == "CANCELLED"
    with pytest.raises(RequestRefused, match="Markets are closed"):
        place(exchange, "BUY", 10, "LIMIT", price=99)


@pytest.mark.parametrize("key", ["NSE:B", "NSE:NIFTY 50"])
def test_what_is_not_traded_cannot_be_ordered(key: str) -> None:
    exchange = opened({KEY: FLAT, "NSE:NIFTY 50": [25_000.0] * 375})
    params = {"transaction_type": "BUY", "order_type": "LIMIT", "product": "MIS",
              "quantity": "1", "price": "100"}  # fmt: skip
    with pytest.raises(RequestRefused, match="expired or does not exist"):
        exchange.desk.place(key, params, exchange.now_ms)


def test_an_instant_is_neither_skipped_nor_gone_back_to() -> None:
    from agent.errors import Broken

    exchange = opened({KEY: FLAT})
    with pytest.raises(Broken, match="skipped"):
        exchange.move_to(at("09:16"))
    exchange.move_to(at("09:15:10"))
    with pytest.raises(Broken, match="go back"):
        exchange.move_to(at("09:15:09"))
    assert exchange.on == DAY
