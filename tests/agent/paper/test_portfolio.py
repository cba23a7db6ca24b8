"""Conversions, short deliveries and authorised holdings: the account beside its orders."""

from __future__ import annotations

import pytest

from agent.market.charges import charges_on, rates_for
from agent.paper.exchange import Exchange
from agent.paper.refusals import RequestRefused
from agent.paper.shorts import settlement_price
from tests.agent.paper.days import FIRST, KEY, SECOND, ask, days_of, flat, to_day, wait
from tests.agent.paper.lab import at, run_to

ALL = {"exchange": "NSE", "tradingsymbol": "A", "transaction_type": "BUY", "position_type": "day",
       "quantity": "100", "old_product": "MIS", "new_product": "CNC"}  # fmt: skip


def convert(exchange: Exchange, **fields: str) -> None:
    from agent.paper.conversion import convert as asked

    asked(exchange.desk, ALL | fields, exchange.now_ms)


def long(shares: int = 100, product: str = "MIS", cash: int = 100_000_000) -> Exchange:
    exchange = days_of({FIRST: flat(), SECOND: flat()}, cash=cash)
    ask(exchange, "BUY", shares, "MARKET", product=product)
    wait(exchange)
    return exchange


def test_a_converted_position_keeps_its_price_and_blocks_its_new_margin() -> None:
    exchange = long()
    books = exchange.books
    cost, charges = books.positions[KEY, "MIS"].cost, books.charges
    convert(exchange, quantity="60")
    mis, cnc = books.positions[KEY, "MIS"], books.positions[KEY, "CNC"]
    assert (mis.net, cnc.net, mis.cost + cnc.cost) == (40, 60, cost)
    assert books.blocked([]) == mis.cost // 5 + cnc.cost
    old, new = (charges_on(rates_for(p, "NSE", FIRST), "BUY", cnc.cost).total for p in
                ("MIS", "CNC"))  # fmt: skip
    assert books.charges - charges == new - old
    assert books.realised == 0
    exchange.instant()
    findings = exchange.findings()
    assert findings["final_position"] == {KEY: 100}
    assert findings["trades"] == len(exchange.desk.trades)
    assert findings["charges_paise"] == books.charges


def test_and_back_again_is_as_if_nothing_had_been() -> None:
    exchange = long()
    before = (exchange.books.charges, exchange.books.blocked([]))
    convert(exchange)
    convert(exchange, old_product="CNC", new_product="MIS")
    assert (exchange.books.charges, exchange.books.blocked([])) == before
    assert exchange.books.positions[KEY, "CNC"].net == 0


def test_what_was_converted_is_not_squared_off_and_is_held_the_next_day() -> None:
    exchange = long()
    convert(exchange)
    to_day(exchange, 1)
    assert exchange.books.holdings[KEY].quantity == 100
    assert all(record.placed_by != "RMS" for record in exchange.desk.records.values())


#  id                      change                        words
REFUSED = [
    ("more than is open",  {"quantity": "101"}, "100"),
    ("the other side",     {"transaction_type": "SELL"}, "Only 0"),
    ("overnight",          {"position_type": "overnight"}, "Only 0"),
    ("the same product",   {"new_product": "MIS"}, "product"),
    ("unknown product",    {"new_product": "NRML"}, "product"),
    ("unknown symbol",     {"tradingsymbol": "B"}, "symbol"),
    ("no quantity",        {"quantity": ""}, "quantity"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_a_conversion_that_cannot_be_is_refused(row: tuple) -> None:
    _, change, words = row
    exchange = long()
    with pytest.raises(RequestRefused, match=words) as raised:
        convert(exchange, **change)
    assert raised.value.error_type == "InputException"
    assert exchange.books.positions[KEY, "MIS"].net == 100


def test_a_conversion_without_the_funds_is_refused() -> None:
    exchange = long(cash=500_000)  # 5,000 rupees hold 100 shares at 20 %, not at all of it
    with pytest.raises(RequestRefused, match="Insufficient funds") as raised:
        convert(exchange)
    assert raised.value.error_type == "MarginException"


def test_a_short_cannot_be_delivered() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat()})
    ask(exchange, "SELL", 100, "MARKET")
    wait(exchange)
    with pytest.raises(RequestRefused, match="cannot be delivered") as raised:
        convert(exchange, transaction_type="SELL")
    assert raised.value.error_type == "HoldingException"


# Short delivery


def short_at_the_limit() -> Exchange:
    """Return the evening of a day that ended locked at the upper circuit, short 100 shares."""
    exchange = days_of({FIRST: [*flat(minutes=60), *flat(120.0, 315)], SECOND: flat(118.0)})
    ask(exchange, "SELL", 100, "MARKET")
    wait(exchange)
    run_to(exchange, at("15:35"))
    return exchange


def test_a_short_that_nobody_sold_back_owes_its_delivery_at_120_percent() -> None:
    exchange = short_at_the_limit()
    sold = exchange.books.positions[KEY, "MIS"].cost
    to_day(exchange, 1)
    (owed,) = exchange.books.owed
    assert exchange.books.positions == {}
    assert (owed.quantity, owed.proceeds, owed.blocked) == (100, sold, 100 * 12_000 * 120 // 100)
    assert exchange.books.blocked([]) == owed.blocked


def test_the_auction_settles_it_at_a_premium_and_frees_the_money() -> None:
    exchange = short_at_the_limit()
    to_day(exchange, 1)
    (owed,) = exchange.books.owed
    realised = exchange.books.realised
    run_to(exchange, at("13:59:59", SECOND))
    assert exchange.books.owed == [owed]
    run_to(exchange, at("14:00", SECOND))
    assert exchange.books.owed == []
    assert exchange.books.realised - realised == owed.proceeds - 100 * (11_800 * 103 // 100)
    assert exchange.books.blocked([]) == 0
    assert exchange.findings()["final_position"] == {}
    assert exchange.findings()["gross_pnl_paise"] == exchange.books.realised


def test_a_locked_stock_is_closed_out_at_the_top_or_20_percent_above_the_close() -> None:
    exchange = short_at_the_limit()
    to_day(exchange, 1)
    (owed,) = exchange.books.owed
    assert owed.top == 12_000
    assert settlement_price(owed, 12_600, 12_600, 12_000, locked=True) == 14_400
    assert settlement_price(owed, 12_600, 15_000, 12_000, locked=True) == 15_000
    assert settlement_price(owed, 10_000, 12_600, 12_000, locked=False) == 10_300


def test_a_long_that_nobody_bought_is_delivered() -> None:
    exchange = days_of({FIRST: [*flat(minutes=60), *flat(80.0, 315)], SECOND: flat(80.0)})
    ask(exchange, "BUY", 100, "MARKET")
    wait(exchange)
    to_day(exchange, 1)
    assert exchange.books.holdings[KEY].quantity == 100
