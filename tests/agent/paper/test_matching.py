"""Own orders against the depth shown: the table of an order's life, and price-time by rows."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Broken
from agent.paper.matching import (
    BUY,
    FINAL,
    NEXT,
    SELL,
    Book,
    Change,
    Evidence,
    Fill,
    Order,
    Shown,
    State,
    Terms,
)

OPEN, ARMED = State.OPEN, State.ARMED
DONE, GONE = State.COMPLETE, State.CANCELLED
AMENDED, REFUSED, RETYPED = Evidence.AMENDED, Evidence.NOT_AMENDED, Evidence.RETYPED
BIDS = ((999, 300), (998, 400), (997, 500))
ASKS = ((1001, 300), (1002, 400), (1003, 500))


def shown(last: int = 1000, traded: int = 0) -> Shown:
    shift = last - 1000
    bids = tuple((price + shift, shares) for price, shares in BIDS)
    asks = tuple((price + shift, shares) for price, shares in ASKS)
    return Shown(last, traded, bids, asks)


def opened(last: int = 1000) -> Book:
    book = Book()
    book.show(shown(last))
    return book


def fills(events: list) -> list[tuple[int, int]]:
    return [(event.quantity, event.price) for event in events if isinstance(event, Fill)]


@pytest.mark.parametrize(("state", "evidence"), list(product(State, Evidence)))
def test_every_state_takes_every_event_as_the_table_says(state: State, evidence: Evidence) -> None:
    book, order, events = opened(), Order("1", BUY, 10, 1000, state=state), []
    if (state, evidence) in NEXT:
        book._move(order, evidence, events)
        assert order.state is NEXT[state, evidence]
        assert events == [Change(order, evidence)]
    else:
        with pytest.raises(Broken):
            book._move(order, evidence, events)
        assert order.state is state
        assert events == []


def test_nothing_leaves_a_final_state() -> None:
    assert {NEXT[at] for at in NEXT if at[0] in FINAL and NEXT[at] is not at[0]} == set()


#  id                          side  qty   limit trigger ioc    fills                     state
ARRIVALS = [
    ("rests below the offer",    BUY,  100, 1000, 0,    False, [],                            OPEN),
    ("takes the best offer",     BUY,  100, 1001, 0,    False, [(100, 1001)],                 DONE),
    ("walks the depth",          BUY,  500, 1003, 0,    False, [(300, 1001), (200, 1002)],    DONE),
    ("stops at its limit",       BUY,  500, 1001, 0,    False, [(300, 1001)],                 OPEN),
    ("the mirror walks",         SELL, 500, 997,  0,    False, [(300, 999), (200, 998)],      DONE),
    ("more than is shown", SELL, 1300, 990, 0, False, [(300, 999), (400, 998), (500, 997)], OPEN),
    ("IOC takes and leaves",     BUY,  500, 1001, 0,    True,  [(300, 1001)],                 GONE),
    ("IOC finds nothing",        BUY,  500, 1000, 0,    True,  [],                            GONE),
    ("a stop waits", SELL, 100, 990, 995, False, [], ARMED),
    ("a stop reached already",   SELL, 100, 990,  1000, False, [(100, 999)],                  DONE),
    ("a buy stop waits", BUY, 100, 1010, 1005, False, [], ARMED),
]  # fmt: skip


@pytest.mark.parametrize("row", ARRIVALS, ids=[row[0] for row in ARRIVALS])
def test_an_order_that_arrives(row: tuple) -> None:
    _, side, quantity, limit, trigger, ioc, want, state = row
    order = Order("1", side, quantity, limit, trigger, ioc)
    assert fills(opened().enter(order)) == want
    assert order.state is state


#  id                                last traded fills of a resting BUY 100 at 995 behind 400 shares
RESTS = [
    ("price stays away",             1000, 900, []),
    ("touched, queue before it",     995,  100, []),
    ("touched, queue traded off",    995,  460, [(60, 995)]),
    ("touched, all of it",           995,  900, [(100, 995)]),
    ("traded through",               994,  40,  [(100, 995)]),
    ("gapped through: its own price", 900, 0,   [(100, 995)]),
]  # fmt: skip


@pytest.mark.parametrize("row", RESTS, ids=[row[0] for row in RESTS])
def test_a_resting_order_trades_at_its_own_limit_behind_its_queue(row: tuple) -> None:
    _, last, traded, want = row
    book = opened(997)
    order = Order("1", BUY, 100, 995)
    book.enter(order)
    assert order.ahead == 400
    assert fills(book.show(shown(last, traded))) == want


def test_what_an_order_took_is_gone_until_the_next_depth() -> None:
    book = opened()
    book.enter(Order("1", BUY, 250, 1001))
    assert book.remaining(SELL)[0] == (1001, 50)
    assert fills(book.enter(Order("2", BUY, 100, 1002))) == [(50, 1001), (50, 1002)]
    book.show(shown())
    assert book.remaining(SELL) == ASKS


def test_the_earlier_of_two_orders_at_one_price_trades_first() -> None:
    book = opened()
    early, late = Order("1", SELL, 200, 1001), Order("2", SELL, 200, 1001)
    book.enter(early)
    book.enter(late)
    book.show(Shown(1002, 0, ((1001, 250),), ((1003, 300),)))
    assert (early.filled, late.filled) == (200, 50)


#  id                         terms                        keeps its place
PRIORITY = [
    ("less quantity keeps",   Terms(quantity=150),         True),
    ("more quantity loses",   Terms(quantity=250),         False),
    ("another price loses",   Terms(limit=1002),           False),
    ("nothing new keeps",     Terms(limit=1001, quantity=200), True),
]  # fmt: skip


@pytest.mark.parametrize("row", PRIORITY, ids=[row[0] for row in PRIORITY])
def test_a_modification_keeps_or_loses_the_place_in_the_queue(row: tuple) -> None:
    _, terms, keeps = row
    book = opened()
    order, rival = Order("1", SELL, 200, 1001), Order("2", SELL, 200, 1001)
    book.enter(order)
    book.enter(rival)
    book.amend(order, terms)
    assert (order.rank < rival.rank) is keeps


def test_a_stop_is_triggered_by_the_last_trade_and_takes_what_it_finds() -> None:
    book = opened()
    order = Order("1", SELL, 100, 985, trigger=995)
    book.enter(order)
    assert book.show(shown(996)) == []
    events = book.show(shown(994))
    assert [e.evidence for e in events if isinstance(e, Change)] == [
        Evidence.TRIGGERED,
        Evidence.FILLED,
    ]
    assert fills(events) == [(100, 993)]


def test_a_gap_below_a_stop_limit_leaves_it_open_and_unfilled() -> None:
    book = opened()
    order = Order("1", SELL, 100, 990, trigger=995)
    book.enter(order)
    book.show(shown(900))
    assert (order.state, order.filled) == (State.OPEN, 0)
    assert fills(book.show(shown(992))) == [(100, 990)]


#  id                         before (last)  terms                     evidence              state
AMENDMENTS = [
    ("trigger moved",          1000, Terms(trigger=998, limit=990),       AMENDED,     ARMED),
    ("trigger moved past",     1000, Terms(trigger=1001, limit=990),      AMENDED,     DONE),
    ("made a limit",           1000, Terms(limit=999, plain=True),        RETYPED,     DONE),
    ("made a resting limit",   1000, Terms(limit=1005, plain=True),       RETYPED,     OPEN),
    ("the trigger won",        985,  Terms(trigger=994, limit=980),       REFUSED, OPEN),
    ("triggered, made a limit", 985, Terms(limit=984, plain=True),        AMENDED,     DONE),
]  # fmt: skip


@pytest.mark.parametrize("row", AMENDMENTS, ids=[row[0] for row in AMENDMENTS])
def test_a_stop_that_is_modified(row: tuple) -> None:
    _, last, terms, evidence, state = row
    book = opened()
    order = Order("1", SELL, 100, 990, trigger=995)
    book.enter(order)
    book.show(shown(last))  # at 985 it is triggered, above its reach
    events = book.amend(order, terms)
    assert events[0].evidence is evidence
    assert order.state is state


def test_a_fill_that_wins_leaves_nothing_to_modify_or_cancel() -> None:
    book = opened()
    order = Order("1", BUY, 100, 1001)
    book.enter(order)
    assert [e.evidence for e in book.amend(order, Terms(quantity=50))] == [Evidence.NOT_AMENDED]
    assert [e.evidence for e in book.withdraw(order)] == [Evidence.NOT_WITHDRAWN]
    assert order.state is State.COMPLETE


def test_a_quantity_that_has_traded_already_cannot_be_asked_back() -> None:
    book = opened()
    order = Order("1", BUY, 500, 1001)
    book.enter(order)
    assert book.amend(order, Terms(quantity=300))[0].evidence is Evidence.NOT_AMENDED
    assert book.amend(order, Terms(quantity=301))[0].evidence is Evidence.AMENDED


ACTION = st.one_of(
    st.tuples(st.just("show"), st.integers(950, 1050), st.integers(0, 1_500)),
    st.tuples(
        st.just("enter"), st.sampled_from([BUY, SELL]), st.integers(1, 900),
        st.integers(950, 1050), st.one_of(st.just(0), st.integers(950, 1050)), st.booleans(),
    ),
    st.tuples(
        st.just("amend"), st.integers(0, 20), st.integers(1, 900), st.integers(950, 1050),
        st.booleans(),
    ),
    st.tuples(st.just("withdraw"), st.integers(0, 20)),
)  # fmt: skip


@settings(max_examples=120)
@given(st.lists(ACTION, max_size=40))
def test_no_order_trades_beyond_its_limit_its_quantity_or_what_was_there(actions: list) -> None:
    book, orders = opened(), []
    for action in actions:
        before = {order.id: order.filled for order in orders}
        pool = sum(s for _, s in (*book.remaining(BUY), *book.remaining(SELL)))
        match action:
            case ("show", last, traded):
                events = book.show(shown(last, traded))
                pool = traded + sum(shares for _, shares in (*BIDS, *ASKS))
            case ("enter", side, quantity, limit, trigger, ioc):
                order = Order(str(len(orders)), side, quantity, limit, trigger, ioc)
                orders.append(order)
                events = book.enter(order)
            case ("amend", n, quantity, limit, plain):
                if not orders:
                    continue
                events = book.amend(
                    orders[n % len(orders)], Terms(quantity=quantity, limit=limit, plain=plain)
                )
            case ("withdraw", n):
                events = book.withdraw(orders[n % len(orders)]) if orders else []
        for event in events:
            if isinstance(event, Fill):
                assert event.quantity > 0
                assert event.order.side * (event.price - event.order.limit) <= 0
        assert sum(quantity for quantity, _ in fills(events)) <= pool
        for order in orders:
            assert before.get(order.id, 0) <= order.filled <= order.quantity
            assert (order.state is State.COMPLETE) == (order.filled == order.quantity)
            assert (order.id in book.orders) == order.live
