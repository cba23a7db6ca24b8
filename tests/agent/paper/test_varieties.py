"""Cover orders, iceberg orders and after market orders, by the broker's rules in words."""

from __future__ import annotations

import pytest

from agent.paper.desk import LATENCY_MS
from agent.paper.exchange import Exchange
from agent.paper.records import Record, row_of
from agent.paper.refusals import RequestRefused
from tests.agent.paper.days import FIRST, KEY, SECOND, ask, days_of, flat, to_day, wait
from tests.agent.paper.lab import at, run_to


def legs_of(exchange: Exchange, entry: Record) -> list[Record]:
    return [one for one in exchange.desk.records.values() if one.parent == entry.order_id]


def net(exchange: Exchange, product: str = "CO") -> int:
    position = exchange.books.positions.get((KEY, product))
    return position.net if position else 0


def covered(exchange: Exchange, stop: float = 97) -> tuple[Record, Record]:
    """Return a cover order that is in, and its stop."""
    entry = ask(exchange, "BUY", 100, "MARKET", variety="co", trigger_price=stop)
    wait(exchange, 2 * LATENCY_MS)
    (leg,) = legs_of(exchange, entry)
    return entry, leg


# Cover orders


def test_a_stop_follows_the_entry_and_names_it() -> None:
    exchange = days_of({FIRST: flat()})
    entry, leg = covered(exchange)
    row = row_of(leg)
    assert (entry.status, leg.status) == ("COMPLETE", "TRIGGER PENDING")
    assert (row["parent_order_id"], row["variety"], row["product"]) == (entry.order_id, "co", "CO")
    assert (row["transaction_type"], row["quantity"], row["trigger_price"]) == ("SELL", 100, 97)
    assert row_of(entry)["parent_order_id"] is None


def test_the_stop_closes_the_position_when_its_price_is_reached() -> None:
    exchange = days_of({FIRST: [100.0, 96.5, *flat(96.5)[2:]]})
    _, leg = covered(exchange)
    run_to(exchange, at("09:16:30"))
    assert (leg.status, net(exchange)) == ("COMPLETE", 0)


def test_the_stop_is_moved_by_its_trigger_price_and_by_nothing_else() -> None:
    exchange = days_of({FIRST: flat()})
    _, leg = covered(exchange)
    exchange.desk.modify(leg.order_id, {"trigger_price": "98.5"}, exchange.now_ms)
    wait(exchange)
    assert (leg.status, leg.trigger) == ("TRIGGER PENDING", 9_850)
    for change in ({"quantity": "50"}, {"price": "90"}, {"order_type": "LIMIT", "price": "90"}):
        with pytest.raises(RequestRefused, match="Only the `trigger_price`"):
            exchange.desk.modify(leg.order_id, change, exchange.now_ms)


@pytest.mark.parametrize("by", ["its second leg", "its first leg"])
def test_an_exit_makes_the_stop_a_market_order(by: str) -> None:
    exchange = days_of({FIRST: flat()})
    entry, leg = covered(exchange)
    exchange.desk.cancel((leg if by == "its second leg" else entry).order_id, exchange.now_ms)
    wait(exchange)
    assert (leg.status, row_of(leg)["order_type"], net(exchange)) == ("COMPLETE", "MARKET", 0)
    assert exchange.desk.pending() == []


def test_an_entry_that_has_not_traded_is_cancelled_and_leaves_no_stop() -> None:
    exchange = days_of({FIRST: flat()})
    entry = ask(exchange, "BUY", 100, price=98, variety="co", trigger_price=96)
    wait(exchange)
    exchange.desk.modify(entry.order_id, {"trigger_price": "95"}, exchange.now_ms)
    assert (entry.status, row_of(entry)["trigger_price"]) == ("OPEN", 95)
    with pytest.raises(RequestRefused):  # all of a modification or nothing
        exchange.desk.modify(
            entry.order_id, {"trigger_price": "94", "price": "-1"}, exchange.now_ms
        )
    assert row_of(entry)["trigger_price"] == 95
    exchange.desk.cancel(entry.order_id, exchange.now_ms)
    wait(exchange, 5 * LATENCY_MS)
    assert (entry.status, legs_of(exchange, entry), net(exchange)) == ("CANCELLED", [], 0)


def test_the_stop_grows_with_the_fills_of_its_entry() -> None:
    exchange = days_of({FIRST: flat()})
    entry = ask(exchange, "BUY", 6_000, price=100.02, variety="co", trigger_price=97)
    wait(exchange, 2 * LATENCY_MS)
    filled = entry.filled
    assert 0 < filled < 6_000
    run_to(exchange, at("09:16"))
    (leg,) = legs_of(exchange, entry)
    assert leg.quantity == entry.filled > filled


def test_two_cover_orders_against_each_other_have_a_stop_each() -> None:
    exchange = days_of({FIRST: flat()})
    bought, _ = covered(exchange)
    sold = ask(exchange, "SELL", 100, "MARKET", variety="co", trigger_price=103)
    wait(exchange, 2 * LATENCY_MS)
    assert net(exchange) == 0
    assert [len(legs_of(exchange, entry)) for entry in (bought, sold)] == [1, 1]
    run_to(exchange, at("15:20"))
    assert (net(exchange), exchange.desk.pending()) == (0, [])


#  id                       fields                                            words
BAD_COVERS = [
    ("no stop",             ("MARKET", {}),                                   "trigger_price"),
    ("stop above a buy",    ("MARKET", {"trigger_price": 101}),               "lower than"),
    ("stop above its price", ("LIMIT", {"price": 95, "trigger_price": 96}),   "lower than"),
    ("a stop order",        ("SL", {"price": 101, "trigger_price": 101}),     "MARKET or LIMIT"),
    ("delivery",            ("MARKET", {"trigger_price": 97, "product": "CNC"}), "intraday"),
]  # fmt: skip


@pytest.mark.parametrize("row", BAD_COVERS, ids=[row[0] for row in BAD_COVERS])
def test_a_cover_order_without_a_sound_stop_is_refused(row: tuple) -> None:
    _, (kind, fields), words = row
    exchange = days_of({FIRST: flat()})
    with pytest.raises(RequestRefused, match=words):
        ask(exchange, "BUY", 10, kind, variety="co", **fields)


def test_the_square_off_ends_a_cover_order() -> None:
    exchange = days_of({FIRST: flat()})
    _, leg = covered(exchange)
    run_to(exchange, at("15:20"))
    assert (leg.status, net(exchange)) == ("CANCELLED", 0)


# Iceberg orders


def iceberg(exchange: Exchange, **fields: object) -> Record:
    asked = {"price": 100.05, "product": "CNC", "iceberg_legs": 3} | fields
    return ask(exchange, "BUY", 100, variety="iceberg", **asked)


def test_the_row_shows_the_leg_that_is_at_the_exchange() -> None:
    exchange = days_of({FIRST: flat()})
    record = iceberg(exchange)
    told = row_of(record)["meta"]["iceberg"]
    assert told == {"leg": 1, "legs": 3, "leg_quantity": 34, "total_quantity": 100,
                    "remaining_quantity": 66}  # fmt: skip
    assert row_of(record)["quantity"] == 34
    wait(exchange)
    assert (record.filled, record.status) == (34, "OPEN")  # two are to come
    wait(exchange, LATENCY_MS)
    assert row_of(record)["meta"]["iceberg"]["leg"] == 2
    wait(exchange, LATENCY_MS)
    assert record.status == "COMPLETE"
    assert row_of(record)["meta"]["iceberg"] == told | {"leg": 3, "remaining_quantity": 0}
    assert [trade.quantity for trade in exchange.desk.trades] == [34, 34, 32]
    assert net(exchange, "CNC") == 100


def test_margin_is_blocked_for_the_legs_to_come() -> None:
    exchange = days_of({FIRST: flat()})
    iceberg(exchange, price=99)
    wait(exchange)
    assert exchange.books.blocked(exchange.desk.pending()) == 100 * 9_900


@pytest.mark.parametrize("waits_ms", [LATENCY_MS, LATENCY_MS + 1])
def test_a_cancel_ends_all_legs_even_between_two(waits_ms: int) -> None:
    exchange = days_of({FIRST: flat()})
    record = iceberg(exchange)
    run_to(exchange, exchange.now_ms + waits_ms)
    exchange.desk.cancel(record.order_id, exchange.now_ms)
    wait(exchange, 10 * LATENCY_MS)
    assert record.status == "CANCELLED"
    assert net(exchange, "CNC") == sum(trade.quantity for trade in exchange.desk.trades) < 100


#  id                  fields                                                words
BAD_ICEBERGS = [
    ("one leg",        {"iceberg_legs": 1},                                  "2 to 50"),
    ("51 legs",        {"iceberg_legs": 51},                                 "2 to 50"),
    ("no legs",        {"iceberg_legs": ""},                                 "iceberg_legs"),
    ("do not add up",  {"iceberg_quantity": 60},                             "do not make"),
    ("at once",        {"validity": "IOC"},                                  "for the day"),
]  # fmt: skip


@pytest.mark.parametrize("row", BAD_ICEBERGS, ids=[row[0] for row in BAD_ICEBERGS])
def test_an_iceberg_order_that_does_not_add_up_is_refused(row: tuple) -> None:
    _, fields, words = row
    with pytest.raises(RequestRefused, match=words):
        iceberg(days_of({FIRST: flat()}), **fields)


# After market orders


def test_an_order_of_the_evening_goes_in_the_next_morning() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat()})
    run_to(exchange, at("15:31"))
    exchange.move_to(at("15:31"))
    record = ask(exchange, "BUY", 10, "MARKET", variety="amo")
    assert record.status == "AMO REQ RECEIVED"
    to_day(exchange, 1)
    assert list(exchange.desk.records.values()) == [record]
    run_to(exchange, at("09:14:59", SECOND))
    assert record.status == "OPEN PENDING"
    run_to(exchange, at("09:16", SECOND))
    assert (record.status, row_of(record)["variety"]) == ("COMPLETE", "amo")


def test_an_order_of_the_morning_goes_in_the_same_day() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat()})
    to_day(exchange, 1)
    assert exchange.now_ms < at("09:00", SECOND)
    record = ask(exchange, "BUY", 10, price=99, variety="amo")
    run_to(exchange, at("09:16", SECOND))
    assert record.status == "OPEN"


def test_no_amo_in_market_hours_and_nothing_else_outside_them() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat()})
    with pytest.raises(RequestRefused, match="while the market is open"):
        ask(exchange, "BUY", 10, price=99, variety="amo")
    run_to(exchange, at("15:31"))
    exchange.move_to(at("15:31"))
    with pytest.raises(RequestRefused, match="Markets are closed"):
        ask(exchange, "BUY", 10, price=99)


def test_a_held_order_is_changed_and_cancelled_at_once() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat()})
    exchange_at = at("15:31")
    run_to(exchange, exchange_at)
    exchange.move_to(exchange_at)
    record = ask(exchange, "BUY", 10, price=99, variety="amo")
    exchange.desk.modify(record.order_id, {"price": "98", "quantity": "20"}, exchange.now_ms)
    assert (record.price, record.quantity, record.status) == (9_800, 20, "AMO REQ RECEIVED")
    exchange.desk.cancel(record.order_id, exchange.now_ms)
    assert (record.status, record.final) == ("CANCELLED AMO", True)
    to_day(exchange, 1)
    assert exchange.desk.records == {}


def test_a_held_order_outside_the_mornings_circuit_is_rejected() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat(85.0)})
    run_to(exchange, at("15:31"))
    exchange.move_to(at("15:31"))
    record = ask(exchange, "BUY", 10, price=119, variety="amo")
    exchange.market.splits[KEY] = (SECOND, 2)
    to_day(exchange, 1)
    run_to(exchange, at("09:16", SECOND))
    assert record.status == "REJECTED"
    assert "circuit" in str(record.message)


@pytest.mark.parametrize("variety", ["regular", "amo"])
def test_the_minutes_of_an_order_count_from_the_open_not_from_the_night(variety: str) -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat()})
    to_day(exchange, 1)
    if variety == "regular":
        exchange.move_to(at("09:00", SECOND))
    record = ask(
        exchange, "BUY", 10, price=99, variety=variety, validity="TTL", validity_ttl=2
    )  # fmt: skip
    run_to(exchange, at("09:16:59", SECOND))
    assert record.status == "OPEN"
    run_to(exchange, at("09:17", SECOND))
    assert record.status == "CANCELLED"
