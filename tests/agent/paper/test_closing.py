"""The closing auction since 3 August 2026, phase by phase, and the days before it to 15:30.

A stock whose minutes end at 15:14 closes by auction; one with minutes to 15:29 does not.
"""

from __future__ import annotations

import pytest

from agent.market.charges import SQUARE_OFF_FEE_PAISE
from agent.paper import closing
from agent.paper.exchange import Exchange
from agent.paper.records import row_of
from agent.paper.refusals import RequestRefused
from tests.agent.paper.days import (
    AFTER_AUCTION,
    AUCTION_DAY,
    AUCTION_MINUTES,
    FIRST,
    KEY,
    ask,
    days_of,
    flat,
    to_day,
    wait,
)
from tests.agent.paper.lab import at as at_of
from tests.agent.paper.lab import run_to

CNC = {"product": "CNC"}


def at(clock: str) -> int:
    return at_of(clock, AUCTION_DAY)


def auction_day(minutes: int = AUCTION_MINUTES) -> Exchange:
    return days_of({AUCTION_DAY: flat(minutes=minutes), AFTER_AUCTION: flat(minutes=minutes)})


def stand_at(exchange: Exchange, clock: str) -> None:
    run_to(exchange, at(clock))
    if exchange.now_ms < at(clock):
        exchange.move_to(at(clock))


def test_at_1515_stops_and_orders_that_hide_a_part_are_cancelled_and_limits_stay() -> None:
    exchange = auction_day()
    stop = ask(exchange, "BUY", 10, "SL", price=104, trigger_price=103, **CNC)
    hidden = ask(exchange, "BUY", 100, price=99, disclosed_quantity=20, **CNC)
    limit = ask(exchange, "BUY", 10, price=99, **CNC)
    outside = ask(exchange, "BUY", 10, price=96, **CNC)
    run_to(exchange, at("15:14:59"))
    assert [o.status for o in (stop, hidden, limit)] == ["TRIGGER PENDING", "OPEN", "OPEN"]
    run_to(exchange, at("15:15"))
    assert [o.status for o in (stop, hidden, limit)] == ["CANCELLED", "CANCELLED", "OPEN"]
    assert outside.status == "CANCELLED"
    assert "auction's band" in str(outside.message)


def test_a_stop_on_its_way_at_1515_is_cancelled_a_triggered_one_is_a_limit() -> None:
    minutes = [*flat(minutes=359), 98.0]
    exchange = days_of({AUCTION_DAY: minutes, AFTER_AUCTION: flat(minutes=AUCTION_MINUTES)})
    ask(exchange, "BUY", 10, "MARKET", **CNC)
    wait(exchange)
    triggered = ask(exchange, "SELL", 10, "SL", price=98.5, trigger_price=98.5, **CNC)
    stand_at(exchange, "15:14:59")
    exchange.move_to(at("15:15") - 20)
    late = ask(exchange, "BUY", 10, "SL", price=101, trigger_price=100, **CNC)
    run_to(exchange, at("15:16"))
    assert late.status == "CANCELLED"
    assert (triggered.status, triggered.triggered) == ("OPEN", True)


def test_an_ordinary_stock_keeps_its_stops_to_1530() -> None:
    exchange = auction_day(minutes=375)
    stop = ask(exchange, "BUY", 10, "SL", price=104, trigger_price=103, **CNC)
    run_to(exchange, at("15:29:59"))
    assert stop.status == "TRIGGER PENDING"
    run_to(exchange, at("15:30"))
    assert stop.status == "CANCELLED"


def test_before_august_2026_every_stock_trades_to_1530() -> None:
    exchange = days_of({FIRST: flat(minutes=AUCTION_MINUTES)})
    record = ask(exchange, "BUY", 10, price=99, **CNC)
    run_to(exchange, at_of("15:29:59"))
    assert record.status == "OPEN"
    exchange.move_to(at_of("15:29:59"))
    assert ask(exchange, "BUY", 10, price=99, **CNC).status == "OPEN PENDING"
    run_to(exchange, at_of("15:30"))
    assert record.status == "CANCELLED"


#  clock         order type  fields                    refused with
PHASES = [
    ("15:14:59", "LIMIT",    {"price": 99},             None),
    ("15:15:00", "LIMIT",    {"price": 99},             "reference price"),
    ("15:19:59", "MARKET",   {},                        "reference price"),
    ("15:20:00", "LIMIT",    {"price": 99},             None),
    ("15:20:00", "MARKET",   {},                        None),
    ("15:24:59", "SL",       {"price": 102, "trigger_price": 101}, "LIMIT and MARKET"),
    ("15:24:59", "LIMIT",    {"price": 99, "validity": "IOC"}, "LIMIT and MARKET"),
    ("15:24:59", "LIMIT",    {"price": 99, "disclosed_quantity": 5}, "LIMIT and MARKET"),
    ("15:25:00", "LIMIT",    {"price": 99},             None),
    ("15:25:00", "MARKET",   {},                        "Only LIMIT"),
    ("15:24:59", "LIMIT",    {"price": 96.9},           "lower circuit limit"),
    ("15:24:59", "LIMIT",    {"price": 103.1},          "upper circuit limit"),
    ("15:30:00", "LIMIT",    {"price": 99},             "closed"),
]  # fmt: skip


@pytest.mark.parametrize("row", PHASES, ids=[f"{row[0]} {row[1]} {n}" for n, row in
                                             enumerate(PHASES)])  # fmt: skip
def test_each_phase_takes_its_orders_and_no_others(row: tuple) -> None:
    clock, kind, fields, words = row
    exchange = auction_day()
    stand_at(exchange, clock)
    if words is None:
        assert ask(exchange, "BUY", 10, kind, **CNC | fields).status == "OPEN PENDING"
        return
    with pytest.raises(RequestRefused, match=words):
        ask(exchange, "BUY", 10, kind, **CNC | fields)


def test_the_entry_ends_at_a_moment_that_nobody_knows_before() -> None:
    exchange = auction_day()
    ends = closing.ends_ms(exchange.boards[KEY])
    assert at("15:28") <= ends < at("15:30")
    run_to(exchange, ends - 1)
    exchange.move_to(ends - 1)
    assert ask(exchange, "BUY", 10, price=99, **CNC)
    exchange.move_to(ends)
    with pytest.raises(RequestRefused, match="closed"):
        ask(exchange, "BUY", 10, price=99, **CNC)


@pytest.mark.parametrize("restarted", [False, True])
def test_the_auctions_price_is_the_close_of_the_days_candle_and_of_the_next_quote(
    restarted: bool,
) -> None:
    exchange = auction_day()
    to_day(exchange, 1)
    if restarted:
        again = auction_day()
        again.resume(1, exchange.now_ms)
        exchange = again
    official = exchange.boards[KEY].previous_close
    assert official != 10_000  # the seed has moved it from the last price
    span = (at("00:00"), exchange.now_ms)
    (candle,) = exchange.candles(KEY, "day", span)
    assert candle.close == official
    assert candle.low <= official <= candle.high
    assert exchange.candles(KEY, "minute", span)[-1].close == 10_000  # none in the auction
    assert exchange.candles(KEY, "day", (at("00:00") - 1, at("23:00"))) == [candle]


def test_a_close_without_an_auction_is_the_last_price() -> None:
    exchange = days_of({AUCTION_DAY: flat(), AFTER_AUCTION: flat()})
    to_day(exchange, 1)
    (candle,) = exchange.candles(KEY, "day", (at("00:00"), exchange.now_ms))
    assert candle.close == exchange.boards[KEY].previous_close == 10_000


def test_a_split_divides_the_auctions_close_too() -> None:
    exchange = auction_day()
    exchange.market.splits[KEY] = (AFTER_AUCTION, 2)
    to_day(exchange, 0)
    run_to(exchange, at("15:40"))
    official = exchange.boards[KEY].last
    to_day(exchange, 1)
    (candle,) = exchange.candles(KEY, "day", (at("00:00"), exchange.now_ms))
    assert abs(candle.close * 2 - official) <= 1


def test_everything_the_price_reaches_trades_at_one_price_and_that_is_the_close() -> None:
    exchange = auction_day()
    stand_at(exchange, "15:20")
    board = exchange.boards[KEY]
    taken = [ask(exchange, "BUY", 10, "MARKET", **CNC), ask(exchange, "BUY", 10, price=102, **CNC)]
    left = ask(exchange, "BUY", 10, price=97.5, **CNC)
    wait(exchange, 1_000)
    assert [one.status for one in taken] == ["OPEN", "OPEN"]  # collected, not matched
    run_to(exchange, at("15:31"))
    price = board.last
    assert 97 <= price / 100 <= 103
    assert [(one.status, one.value) for one in taken] == [("COMPLETE", 10 * price)] * 2
    assert left.status == "CANCELLED"
    to_day(exchange, 1)
    assert exchange.boards[KEY].previous_close == price


def test_the_band_is_3_percent_of_the_last_quarters_average_and_quotes_show_it() -> None:
    minutes = [*flat(minutes=345), *flat(110.0, 15)]
    exchange = days_of({AUCTION_DAY: minutes})
    run_to(exchange, at("15:15"))
    board = exchange.boards[KEY]
    assert closing.reference_paise(board) == 11_000
    assert [limit * board.instrument.tick_paise for limit in board.band] == [10_670, 11_330]


def test_modifications_obey_the_phases_and_cancels_are_taken_throughout() -> None:
    exchange = auction_day()
    record, other = (ask(exchange, "BUY", 10, price=99, **CNC) for _ in range(2))
    stand_at(exchange, "15:16")
    with pytest.raises(RequestRefused, match="reference price"):
        exchange.desk.modify(record.order_id, {"price": "98"}, exchange.now_ms)
    exchange.desk.cancel(other.order_id, exchange.now_ms)
    wait(exchange)
    assert other.status == "CANCELLED"
    stand_at(exchange, "15:21")
    exchange.desk.modify(record.order_id, {"price": "98"}, exchange.now_ms)
    wait(exchange)
    assert (record.status, record.price) == ("OPEN", 9_800)


def test_an_exchange_that_comes_back_in_the_auction_stands_where_it_stood() -> None:
    whole = auction_day()
    run_to(whole, at("15:21"))
    in_it, after, later = (Exchange(whole.market, cash=1) for _ in range(3))
    in_it.resume(0, at("15:21"))
    for exchange in (whole, in_it):
        assert exchange.boards[KEY].book.collecting
    assert in_it.boards[KEY].band == whole.boards[KEY].band
    to_day(whole, 1)
    after.resume(0, at("15:32"))
    to_day(after, 1)
    later.resume(1, at_of("09:20", AFTER_AUCTION))
    closes = {one.boards[KEY].previous_close for one in (whole, after, later)}
    assert len(closes) == 1
    assert closes != {10_000}


#  id                                  the day      minutes          squares off at
SQUARED = [
    ("before August 2026",             FIRST,       375,             "15:20"),
    ("since, closes by auction",       AUCTION_DAY, AUCTION_MINUTES, "15:12"),
    ("since, an ordinary stock",       AUCTION_DAY, 375,             "15:25"),
]  # fmt: skip


@pytest.mark.parametrize("row", SQUARED, ids=[row[0] for row in SQUARED])
def test_intraday_positions_are_closed_at_the_days_own_time_for_a_fee(row: tuple) -> None:
    _, on, minutes, clock = row
    exchange = days_of({on: flat(minutes=minutes)})
    ask(exchange, "BUY", 10, "MARKET")
    covered = ask(exchange, "SELL", 10, "MARKET", variety="co", trigger_price=103)
    wait(exchange, 100)
    charges = exchange.books.charges
    run_to(exchange, at_of(clock, on) - 1)
    assert {p.product: p.net for p in exchange.books.positions.values()} == {"MIS": 10, "CO": -10}
    run_to(exchange, at_of(clock, on))
    assert {p.net for p in exchange.books.positions.values()} == {0}
    closing_orders = [one for one in exchange.desk.records.values() if one.placed_by == "RMS"]
    paid = sum(one.charges for one in closing_orders) + 2 * SQUARE_OFF_FEE_PAISE
    assert exchange.books.charges - charges == paid
    assert covered.status == "COMPLETE"
    late = ask(exchange, "BUY", 10, "MARKET")
    wait(exchange)
    assert (late.status, "square-off" in str(late.message)) == ("REJECTED", True)


def test_a_protected_stop_that_finds_nobody_rests_as_the_limit_that_it_is() -> None:
    exchange = days_of({FIRST: [100.0, 100.0, *flat(92.0)[2:]]})
    stop = ask(exchange, "SELL", 100, "SL-M", trigger_price=98, market_protection=1)
    run_to(exchange, at_of("09:17"))
    row = row_of(stop)
    assert (row["status"], row["filled_quantity"]) == ("OPEN", 0)  # 92 is under 98 less 1 %
    assert (row["order_type"], row["price"], row["trigger_price"]) == ("LIMIT", 97.02, 98)
    assert stop.limit == 9_702
    exchange.desk.modify(stop.order_id, {"price": "91.5"}, exchange.now_ms)  # of the LIMIT it is
    run_to(exchange, exchange.now_ms + 100)
    assert (stop.status, stop.order_type) == ("COMPLETE", "LIMIT")
