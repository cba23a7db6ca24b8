"""The settlement auction: settled shares are offered by number, the cheapest offers are taken."""

from __future__ import annotations

from datetime import date

import pytest

from agent.paper.auctions import auction_of
from agent.paper.exchange import Exchange
from agent.paper.records import Record, row_of
from agent.paper.refusals import RequestRefused
from tests.agent.paper.days import FIRST, KEY, SECOND, ask, days_of, flat, to_day
from tests.agent.paper.lab import at, run_to

THIRD = date(2025, 11, 6)  # the 5th is a holiday
DAYS = (FIRST, SECOND, THIRD)


def holder() -> Exchange:
    """Return the third morning of a market that wants shares on it; 1,000 are held and settled."""
    for seed in range(40):
        exchange = days_of(dict.fromkeys(DAYS, flat()), seed=seed)
        ask(exchange, "BUY", 1_000, "MARKET", product="CNC")
        to_day(exchange, 2)
        auction = auction_of(exchange.boards[KEY])
        if auction is not None and 400 < auction.shares < 800:
            return exchange
    raise AssertionError("no seed has an auction on the third day")


def number_of(exchange: Exchange) -> str:
    auction = auction_of(exchange.boards[KEY])
    assert auction is not None
    return auction.number


def offer(exchange: Exchange, quantity: int = 400, **fields: object) -> Record:
    asked = {"price": 100, "product": "CNC", "auction_number": number_of(exchange)} | fields
    return ask(exchange, "SELL", quantity, variety="auction", **asked)


def stand_at(exchange: Exchange, clock: str) -> None:
    run_to(exchange, at(clock, THIRD))
    if exchange.now_ms < at(clock, THIRD):
        exchange.move_to(at(clock, THIRD))


@pytest.fixture(scope="module")
def seed_found() -> int:
    return holder().market.seed


def again(seed: int) -> Exchange:
    exchange = days_of(dict.fromkeys(DAYS, flat()), seed=seed)
    ask(exchange, "BUY", 1_000, "MARKET", product="CNC")
    to_day(exchange, 2)
    return exchange


def test_the_cheapest_offers_are_taken_at_their_own_prices_up_to_what_is_wanted(
    seed_found: int,
) -> None:
    exchange = again(seed_found)
    wanted = auction_of(exchange.boards[KEY])
    stand_at(exchange, "14:00")
    dear, cheap, too_dear = offer(exchange, price=100), offer(exchange, price=97), offer(
        exchange, 200, price=115)  # fmt: skip
    run_to(exchange, at("14:49:59", THIRD))
    assert [one.status for one in (dear, cheap, too_dear)] == ["OPEN"] * 3
    assert row_of(cheap)["auction_number"] == wanted.number
    run_to(exchange, at("14:50", THIRD))
    assert (cheap.filled, cheap.value) == (400, 400 * 9_700)
    assert dear.filled == wanted.shares - 400
    assert (too_dear.status, too_dear.filled) == ("CANCELLED", 0)


#  clock     change                             refused with
REFUSED = [
    ("13:59", {},                               "14:00 to 14:45"),
    ("14:45", {},                               "14:00 to 14:45"),
    ("14:00", {"auction_number": "0"},          "no auction of this number"),
    ("14:00", {"auction_number": ""},           "no auction of this number"),
    ("14:00", {"quantity": 1_001},                "settled shares"),
    ("14:00", {"transaction_type": "BUY"},      "to SELL"),
    ("14:00", {"product": "MIS"},               "to SELL"),
    ("14:00", {"validity": "IOC"},              "to SELL"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[f"{row[0]} {row[2]} {n}" for n, row in
                                              enumerate(REFUSED)])  # fmt: skip
def test_what_the_auction_does_not_take_is_refused(seed_found: int, row: tuple) -> None:
    clock, change, words = row
    exchange = again(seed_found)
    stand_at(exchange, clock)
    with pytest.raises(RequestRefused, match=words):
        offer(exchange, **change)


def test_what_was_bought_yesterday_is_not_settled() -> None:
    exchange = days_of(dict.fromkeys(DAYS, flat()))
    ask(exchange, "BUY", 1_000, "MARKET", product="CNC")
    to_day(exchange, 1)
    assert (exchange.books.settled(KEY), exchange.books.sellable(KEY)) == (0, 1_000)
    to_day(exchange, 2)
    assert exchange.books.settled(KEY) == 1_000
