"""The life of an order as two tables, walked whole and printed: at the exchange, and at the desk.

At the exchange: (state, evidence) -> state, matching.NEXT. At the desk: what a client may ask for
in each situation and what it is answered. `pytest -s` prints both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from agent.errors import Broken
from agent.paper.desk import BEING_PROCESSED, LATENCY_MS, MODIFICATIONS_MAX
from agent.paper.exchange import Exchange
from agent.paper.matching import BUY, FINAL, NEXT, SELL, Book, Evidence, Fill, Order, Shown, State
from agent.paper.records import Record, row_of
from agent.paper.refusals import RequestRefused
from tests.agent.paper.days import FIRST, ask, days_of, flat, wait
from tests.agent.paper.lab import at, run_to


def test_the_table_of_the_exchange_is_whole_and_printed() -> None:
    lines = []
    for state in State:
        for evidence in Evidence:
            after = NEXT.get((state, evidence))
            lines.append(f"{state.value:16} {evidence.value:32} {after.value if after else '-'}")
            book, order = Book(), Order("1", BUY, 10, 1000, state=state)
            if after is None:
                with pytest.raises(Broken):
                    book._move(order, evidence, [])
                assert order.state is state
            else:
                book._move(order, evidence, [])
                assert order.state is after
    print("\n".join(lines))
    assert len(lines) == len(State) * len(Evidence)
    for state in FINAL:  # nothing leaves a final state
        assert {after for (was, _), after in NEXT.items() if was is state} <= {state}


def drawn() -> str:
    """Return the table as the page has it: what happens to an order that is not final yet."""
    states = [state for state in State if state not in FINAL]
    lines = ["| what happens | " + " | ".join(f"`{state.value}`" for state in states) + " |"]
    lines.append("| --- |" + " --- |" * len(states))
    for evidence in Evidence:
        after = [NEXT.get((state, evidence)) for state in states]
        if any(after):
            cells = (f"`{one.value}`" if one else "" for one in after)
            lines.append(f"| {evidence.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_page_shows_the_table_as_it_is() -> None:
    page = Path(__file__).parents[3] / "docs" / "paper-exchange.md"
    assert drawn() in page.read_text(), drawn()


# The desk: situations x requests

Made = tuple[Exchange, Record]


def scene(minutes: list[float] | None = None) -> Exchange:
    return days_of({FIRST: minutes or flat()})


def on_its_way() -> Made:
    exchange = scene()
    return exchange, ask(exchange, "SELL", 100, price=101)


def resting() -> Made:
    exchange, record = on_its_way()
    wait(exchange)
    return exchange, record


def part_filled() -> Made:
    exchange = scene()
    record = ask(exchange, "SELL", 6_000, price=99.98)
    wait(exchange)
    assert 0 < record.filled < 6_000
    return exchange, record


def armed() -> Made:
    exchange = scene()
    record = ask(exchange, "SELL", 100, "SL", price=97, trigger_price=98)
    wait(exchange)
    return exchange, record


def triggered() -> Made:
    exchange = scene([100.0, 97.0, *flat(97.0)[2:]])
    record = ask(exchange, "SELL", 100, "SL", price=98, trigger_price=98)
    run_to(exchange, at("09:16:10"))
    assert (record.status, record.triggered) == ("OPEN", True)
    return exchange, record


def market_resting() -> Made:
    exchange = scene()
    record = ask(exchange, "SELL", 9_000, "MARKET", market_protection="0.01")
    wait(exchange)
    assert record.live
    return exchange, record


def being_modified() -> Made:
    exchange, record = resting()
    exchange.desk.modify(record.order_id, {"price": "102"}, exchange.now_ms)
    return exchange, record


def being_cancelled() -> Made:
    exchange, record = resting()
    exchange.desk.cancel(record.order_id, exchange.now_ms)
    return exchange, record


def complete() -> Made:
    exchange = scene()
    record = ask(exchange, "SELL", 10, "MARKET")
    wait(exchange)
    return exchange, record


def cancelled() -> Made:
    exchange, record = being_cancelled()
    wait(exchange)
    return exchange, record


def rejected() -> Made:
    exchange = scene()
    record = ask(exchange, "SELL", 10, price=101, product="CNC")
    wait(exchange)
    return exchange, record


def used_up() -> Made:
    exchange, record = resting()
    for n in range(MODIFICATIONS_MAX):
        exchange.desk.modify(record.order_id, {"price": f"{102 + n / 100:.2f}"}, exchange.now_ms)
        wait(exchange)
    return exchange, record


SCENES: dict[str, Callable[[], Made]] = {
    "on its way": on_its_way, "resting": resting, "part filled": part_filled, "armed": armed,
    "triggered": triggered, "market, resting": market_resting, "being modified": being_modified,
    "being cancelled": being_cancelled, "complete": complete, "cancelled": cancelled,
    "rejected": rejected, "26th change": used_up,
}  # fmt: skip
TO_MARKET = {"order_type": "MARKET", "market_protection": "-1"}
REQUESTS: dict[str, dict[str, str] | None] = {
    "price": {"price": "101.5"},
    "trigger": {"trigger_price": "97.5", "price": "96"},
    "to MARKET": TO_MARKET,
    "to LIMIT": {"order_type": "LIMIT", "price": "99"},
    "to SL": {"order_type": "SL", "trigger_price": "98", "price": "97"},
    "unprotected": {"order_type": "MARKET"},
    "cancel": None,
}
PROCESSED, SPENT = "is being processed", "modifications exceeded"
NO_STOP, NO_BAND = "cannot be changed", "without market protection"
GONE = "cannot be cancelled"
ALL_GONE = [PROCESSED] * 6 + [GONE]
YES = ""
# An order that is a plain limit ignores a trigger. A stop's price may not be under its trigger.
#  situation          price      trigger    to MARKET  to LIMIT   to SL      unprot.    cancel
DESK = {
    "on its way":      [PROCESSED] * 6 + [YES],
    "resting":         [YES,       YES,       YES,       YES,       NO_STOP,   NO_BAND,   YES],
    "part filled":     [YES,       YES,       YES,       YES,       NO_STOP,   NO_BAND,   YES],
    "armed":           ["than price", YES,    YES,       YES,       YES,       NO_BAND,   YES],
    "triggered":       [YES,       PROCESSED, YES,       YES,       PROCESSED, NO_BAND,   YES],
    "market, resting": [YES,       YES,       YES,       YES,       NO_STOP,   YES,       YES],
    "being modified":  [PROCESSED] * 6 + [YES],
    "being cancelled": [PROCESSED] * 6 + [YES],
    "complete":        ALL_GONE,
    "cancelled":       ALL_GONE,
    "rejected":        ALL_GONE,
    "26th change":     [SPENT,     SPENT,     SPENT,     SPENT,     NO_STOP,   NO_BAND,   YES],
}  # fmt: skip


@pytest.mark.parametrize(("situation", "request_"), list(product(SCENES, REQUESTS)))
def test_the_desk_answers_each_request_in_each_situation(situation: str, request_: str) -> None:
    words = DESK[situation][list(REQUESTS).index(request_)]
    exchange, record = SCENES[situation]()
    change, before = REQUESTS[request_], (record.status, record.modifications, record.final)
    print(f"{situation:16} {request_:12} {words or 'accepted'}")

    def asked() -> None:
        if change is None:
            exchange.desk.cancel(record.order_id, exchange.now_ms)
        else:
            exchange.desk.modify(record.order_id, change, exchange.now_ms)

    if words:
        with pytest.raises(RequestRefused, match=words):
            asked()
        assert (record.status, record.modifications, record.final) == before
    else:
        asked()
        assert record.status in {"MODIFY PENDING", "CANCEL PENDING"}
        wait(exchange)
        assert record.status in {"OPEN", "TRIGGER PENDING", "COMPLETE", "CANCELLED"}
        assert record.in_flight == ""


def test_the_words_of_an_order_in_flight_are_the_brokers() -> None:
    assert PROCESSED in BEING_PROCESSED


# Rules of the exchange, one a test


def test_own_orders_do_not_trade_with_each_other_the_one_that_comes_is_cancelled() -> None:
    exchange = scene()
    sell = ask(exchange, "SELL", 100, price=100.01)
    wait(exchange)
    sell.order.ahead = 0  # first in its queue
    buy = ask(exchange, "BUY", 500, price=100.02)
    wait(exchange)
    assert (buy.status, sell.status, sell.filled) == ("CANCELLED", "OPEN", 0)
    assert "Self-trade" in str(buy.message)


def test_what_stands_before_an_own_order_is_taken_first() -> None:
    book = Book()
    book.show(Shown(1000, 0, ((999, 300),), ((1001, 300), (1002, 400))))
    own = Order("own", SELL, 50, 1002)
    book.enter(own)
    assert own.ahead == 400
    incoming = Order("in", BUY, 1_000, 1003)
    fills = [(e.quantity, e.price) for e in book.enter(incoming) if isinstance(e, Fill)]
    assert fills == [(300, 1001), (400, 1002)]
    assert (incoming.state, own.filled) == (State.CANCELLED, 0)


def test_a_disclosed_part_trades_and_the_next_joins_the_queue_anew() -> None:
    book = Book()
    bids = ((1000, 300), (999, 300))
    book.show(Shown(1000, 0, bids, ((1001, 300),)))
    order = Order("1", BUY, 100, 1000, disclosed=20)
    book.enter(order)
    assert order.ahead == 300
    book.show(Shown(1000, 330, bids, ((1001, 300),)))
    assert (order.filled, order.ahead) == (20, 300)
    book.show(Shown(1000, 310, bids, ((1001, 300),)))
    assert (order.filled, order.ahead) == (30, 0)  # half of the second part
    book.show(Shown(1000, 500, bids, ((1001, 300),)))
    assert (order.filled, order.ahead) == (40, 300)
    book.show(Shown(998, 500, ((998, 300),), ((1002, 300),)))
    assert order.filled == 100  # the price went through it: nobody stood before it


@pytest.mark.parametrize(("disclosed", "words"), [(9, "at least 10 %"), (101, "more than the")])
def test_a_disclosed_quantity_is_a_tenth_at_least_and_all_at_most(
    disclosed: int, words: str
) -> None:
    with pytest.raises(RequestRefused, match=words):
        ask(scene(), "BUY", 100, price=99, disclosed_quantity=disclosed)


def test_a_day_order_made_ioc_trades_at_once_or_is_cancelled() -> None:
    exchange, record = resting()
    exchange.desk.modify(record.order_id, {"validity": "IOC"}, exchange.now_ms)
    wait(exchange)
    assert (record.status, row_of(record)["validity"]) == ("CANCELLED", "IOC")


def test_a_day_order_may_be_given_minutes() -> None:
    exchange, record = resting()
    change = {"validity": "TTL", "validity_ttl": "2"}
    exchange.desk.modify(record.order_id, change, exchange.now_ms)
    wait(exchange)
    assert (record.status, row_of(record)["validity_ttl"]) == ("OPEN", 2)
    wait(exchange, 2 * 60_000)
    assert record.status == "CANCELLED"


def test_a_limit_far_from_the_last_price_is_rejected() -> None:
    exchange = scene()
    far = ask(exchange, "BUY", 10, price=81)
    near = ask(exchange, "BUY", 10, price=82)
    wait(exchange)
    assert (far.status, near.status) == ("REJECTED", "OPEN")
    assert "far away from the LTP" in str(far.message)


#  id                     placed                                  change                 words
NOT_MODIFIED = [
    ("beyond the funds",  ("BUY", 1_000, {"price": 99}),          {"quantity": "60000"}, "funds"),
    ("beyond the freeze", ("SELL", 10, {"price": 101}),           {"quantity": "100001"}, "freeze"),
]  # fmt: skip


@pytest.mark.parametrize("row", NOT_MODIFIED, ids=[row[0] for row in NOT_MODIFIED])
def test_a_modification_is_asked_for_margin_like_an_order(row: tuple) -> None:
    _, (side, quantity, fields), change, words = row
    exchange = scene()
    record = ask(exchange, side, quantity, **fields)
    wait(exchange)
    exchange.desk.modify(record.order_id, change, exchange.now_ms)
    wait(exchange)
    told = [(one["status"], one["status_message"]) for one in record.history]
    assert told[-2][0] == "NOT MODIFIED"
    assert words in told[-2][1]
    assert (record.status, record.quantity) == ("OPEN", quantity)


def test_less_quantity_keeps_the_place_more_or_another_price_loses_it() -> None:
    exchange = scene()
    first, second = (ask(exchange, "BUY", 100, price=99.5) for _ in range(2))
    wait(exchange)
    rank = first.order.rank
    for change, keeps in (({"quantity": "60"}, True), ({"quantity": "80"}, False)):
        exchange.desk.modify(first.order_id, change, exchange.now_ms)
        wait(exchange)
        assert (first.order.rank == rank) is keeps
    assert first.order.rank > second.order.rank


def test_a_change_takes_as_long_as_an_order() -> None:
    exchange, record = resting()
    exchange.desk.modify(record.order_id, {"price": "102"}, exchange.now_ms)
    run_to(exchange, exchange.now_ms + LATENCY_MS - 1)
    assert record.status == "MODIFY PENDING"
