"""GTTs: the broker's rules in words, each at a scripted price, without sockets.

NSE:A begins at 100 rupees, grid 0.01; a day is 375 minutes.
"""

from __future__ import annotations

from itertools import product

import pytest

from agent.errors import Broken
from agent.paper.exchange import Exchange
from agent.paper.gtt import (
    ACTIVE_MAX,
    LIFE_MS,
    LISTED_MS,
    NEXT,
    Gtt,
    Happening,
    Leg,
    Status,
    Triggers,
    Wanted,
    gtt_document,
    gtt_from,
    gtt_row,
)
from agent.paper.refusals import RequestRefused
from tests.agent.paper.days import FIRST, KEY, SECOND, ask, days_of, flat, to_day, wait
from tests.agent.paper.lab import at, run_to

ON_A_DAY = 1_700_000_000_000
SELL, BUY = "SELL", "BUY"


def wanted(triggers: tuple[int, ...], *, last: int = 10_000, side: str = SELL, price: int = 0,
           quantity: int = 10) -> Wanted:  # fmt: skip
    legs = tuple(Leg(side, "CNC", quantity, price or trigger) for trigger in triggers)
    kind = "single" if len(triggers) == 1 else "two-leg"
    return Wanted(kind, KEY, 257, last, triggers, legs)


def holding(exchange: Exchange, shares: int = 50) -> None:
    """Buy shares for delivery, today."""
    ask(exchange, BUY, shares, "MARKET", product="CNC")
    wait(exchange)


def result(gtt: Gtt, leg: int = 0) -> dict[str, object]:
    row = gtt_row(gtt)["orders"][leg]["result"]
    return row["order_result"]


@pytest.mark.parametrize(("status", "happening"), list(product(Status, Happening)))
def test_a_gtts_life_is_the_table(status: Status, happening: Happening) -> None:
    gtt = Gtt(1, wanted((9_500,)), 0, 0, LIFE_MS, status, [None])
    if (status, happening) in NEXT:
        gtt.move(happening, 5)
        assert (gtt.status, gtt.updated_ms) == (NEXT[status, happening], 5)
    else:
        with pytest.raises(Broken):
            gtt.move(happening, 5)
        assert (gtt.status, gtt.updated_ms) == (status, 0)


#  id                             triggers         last   price   leg
REACHED = [
    ("falls to it",               (9_500,),        10_000, 9_500,  0),
    ("falls through it, a gap",   (9_500,),        10_000, 9_000,  0),
    ("not yet",                   (9_500,),        10_000, 9_501,  None),
    ("rises to it",               (10_500,),       10_000, 10_500, 0),
    ("rises, not yet",            (10_500,),       10_000, 10_499, None),
    ("two legs, the lower",       (9_500, 10_500), 10_000, 9_400,  0),
    ("two legs, the upper",       (9_500, 10_500), 10_000, 10_600, 1),
    ("two legs, between",         (9_500, 10_500), 10_000, 10_000, None),
]  # fmt: skip


@pytest.mark.parametrize("row", REACHED, ids=[row[0] for row in REACHED])
def test_a_trigger_is_reached_from_the_side_on_which_the_price_was(row: tuple) -> None:
    _, triggers, last, price, leg = row
    assert Gtt(1, wanted(triggers, last=last), 0, 0, LIFE_MS).reached(price) == leg


def test_a_gtt_places_a_limit_order_for_the_day_once_its_price_is_reached() -> None:
    exchange = days_of({FIRST: [100.0, 100.0, 94.0, *flat(94.0)[3:]]})
    holding(exchange)
    gtt = exchange.desk.gtts.place(wanted((9_500,), price=9_300), exchange.now_ms)
    run_to(exchange, at("09:16:59"))
    assert gtt.status is Status.ACTIVE
    run_to(exchange, at("09:17"))
    assert gtt.status is Status.TRIGGERED
    order_id = str(result(gtt)["order_id"])
    assert result(gtt) == {"status": "success", "order_id": order_id, "rejection_reason": ""}
    record = exchange.desk.records[order_id]
    assert (record.order_type, record.validity, record.price) == ("LIMIT", "DAY", 9_300)
    wait(exchange)
    assert record.status == "COMPLETE"
    run_to(exchange, at("10:00"))
    assert len(exchange.desk.records) == 2  # one shot


def test_of_two_legs_only_the_one_that_is_reached_places_its_order() -> None:
    exchange = days_of({FIRST: [100.0, 106.0, 90.0, *flat(90.0)[3:]]})
    holding(exchange)
    gtt = exchange.desk.gtts.place(wanted((9_500, 10_500)), exchange.now_ms)
    run_to(exchange, at("09:20"))
    lower, upper = gtt_row(gtt)["orders"]
    assert lower["result"] is None
    assert upper["result"]["order_result"]["status"] == "success"
    assert upper["result"]["triggered_at"] == 106


def test_holdings_are_looked_at_when_it_fires_not_when_it_is_placed() -> None:
    exchange = days_of({FIRST: [100.0, 94.0, *flat(94.0)[2:]]})
    gtt = exchange.desk.gtts.place(wanted((9_500,)), exchange.now_ms)
    run_to(exchange, at("09:17"))
    assert gtt.status is Status.REJECTED
    assert result(gtt)["status"] == "failed"
    assert "Insufficient holdings" in str(result(gtt)["rejection_reason"])
    assert exchange.desk.records == {}


def test_a_price_outside_the_circuit_fails_at_the_trigger() -> None:
    exchange = days_of({FIRST: [100.0, 94.0, *flat(94.0)[2:]]})
    gtt = exchange.desk.gtts.place(wanted((9_500,), side=BUY, price=7_000), exchange.now_ms)
    run_to(exchange, at("09:17"))
    assert (gtt.status, result(gtt)["status"]) == (Status.TRIGGERED, "failed")
    assert "lower circuit limit" in str(result(gtt)["rejection_reason"])


def test_a_gtt_outlives_the_day_and_a_gap_fires_it() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat(92.0)})
    gtt = exchange.desk.gtts.place(wanted((9_500,), side=BUY, price=9_600), exchange.now_ms)
    to_day(exchange, 1)
    run_to(exchange, at("09:14:59", SECOND))
    assert gtt.status is Status.ACTIVE  # in market hours only
    run_to(exchange, at("09:16", SECOND))
    assert (gtt.status, len(exchange.desk.records)) == (Status.TRIGGERED, 1)


def test_a_corporate_action_ends_what_waits_for_the_old_price() -> None:
    exchange = days_of({FIRST: flat(), SECOND: flat(50.0)})
    gtt = exchange.desk.gtts.place(wanted((4_000,), side=BUY), exchange.now_ms)
    exchange.market.splits[KEY] = (SECOND, 2)
    to_day(exchange, 1)
    assert gtt.status is Status.CANCELLED


def test_a_year_ends_it_and_a_stock_that_is_not_traded_disables_it() -> None:
    triggers = Triggers()
    old = triggers.place(wanted((9_500,)), ON_A_DAY)
    triggers.open_day({KEY: 10_000}, ON_A_DAY + LIFE_MS - 1)
    assert old.status is Status.ACTIVE
    triggers.open_day({KEY: 10_000}, ON_A_DAY + LIFE_MS)
    assert old.status is Status.EXPIRED
    gone = triggers.place(wanted((9_500,)), ON_A_DAY)
    triggers.open_day({}, ON_A_DAY + 1)
    assert (gone.status, triggers.watched) == (Status.DISABLED, {})
    triggers.modify(gone.id, wanted((9_400,)), ON_A_DAY + 2)
    assert (gone.status, triggers.watched[KEY]) == (Status.ACTIVE, [gone])


def test_the_list_shows_what_is_active_and_what_changed_in_the_last_week() -> None:
    triggers = Triggers()
    one, two = (triggers.place(wanted((9_500,)), ON_A_DAY) for _ in range(2))
    triggers.delete(one.id, ON_A_DAY + 10)
    assert triggers.listed(ON_A_DAY + LISTED_MS) == [two, one]
    assert triggers.listed(ON_A_DAY + 11 + LISTED_MS) == [two]
    assert triggers.found(one.id).status is Status.DELETED  # by its id: of any age
    with pytest.raises(RequestRefused, match="deleted"):
        triggers.modify(one.id, wanted((9_400,)), ON_A_DAY)
    with pytest.raises(RequestRefused, match="not found"):
        triggers.delete(7, ON_A_DAY)


def test_an_account_has_a_bound_of_active_ones() -> None:
    triggers = Triggers()
    for _ in range(ACTIVE_MAX):
        last = triggers.place(wanted((9_500,)), ON_A_DAY)
    with pytest.raises(RequestRefused, match=str(ACTIVE_MAX)):
        triggers.place(wanted((9_500,)), ON_A_DAY)
    triggers.delete(last.id, ON_A_DAY)
    assert triggers.place(wanted((9_500,)), ON_A_DAY).id == last.id + 1


def test_what_is_over_is_let_go_of_beyond_what_is_kept() -> None:
    triggers = Triggers(kept_max=5)
    stays = triggers.place(wanted((9_500,)), ON_A_DAY)
    for _ in range(20):
        triggers.delete(triggers.place(wanted((9_500,)), ON_A_DAY).id, ON_A_DAY)
    assert len(triggers.all) <= 6
    assert stays.id in triggers.all


def test_the_stores_document_is_the_whole_gtt() -> None:
    gtt = Gtt(7, wanted((9_500, 10_500)), 1, 2, 3, Status.TRIGGERED, [None, {"a": 1}])
    assert gtt_from(gtt_document(gtt)) == gtt
