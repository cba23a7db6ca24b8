"""The account to the paisa: cash, positions and charges conserve, whatever is traded."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.market.charges import charges_on, rates_for
from agent.paper.books import Position, position_row
from agent.paper.exchange import Exchange
from agent.paper.market import Market
from agent.paper.refusals import RequestRefused
from tests.agent.paper.lab import DAY, opened, run_to, wander

CASH = 100_000_000
STEPS_A_DAY = 12


@cache
def market() -> Market:
    return Market(wander(5, 4), first=DAY - timedelta(days=2), ticks_per_day=120)


ORDER = st.tuples(
    st.integers(0, 2), st.sampled_from(["BUY", "SELL"]), st.integers(1, 2_500),
    st.sampled_from(["MARKET", "LIMIT", "SL", "SL-M"]), st.integers(-30, 30),
    st.sampled_from(["MIS", "MIS", "CNC"]),
)  # fmt: skip
KINDS = st.sampled_from(["LIMIT", "MARKET", ""])
CHANGE = st.tuples(KINDS, st.integers(0, 30), st.integers(-20, 20))
STEP = st.tuples(st.lists(ORDER, max_size=2), st.lists(CHANGE, max_size=1))


def ask(exchange: Exchange, order: tuple) -> None:
    symbol, side, quantity, kind, away, product = order
    board = list(exchange.boards.values())[symbol]
    tick = board.instrument.tick_paise
    sign = 1 if side == "BUY" else -1
    price = (board.last // tick + away) * tick
    trigger = (board.last // tick + sign * abs(away)) * tick
    params = {"transaction_type": side, "order_type": kind, "product": product,
              "quantity": str(quantity), "market_protection": "-1", "tag": "t"}  # fmt: skip
    params["price"] = str((price if kind == "LIMIT" else trigger + sign * 5 * tick) / 100)
    params["trigger_price"] = str(trigger / 100)
    try:
        exchange.desk.place(board.instrument.key, params, exchange.now_ms)
    except RequestRefused:
        return  # nothing was changed: what is checked below still holds


def change(exchange: Exchange, wanted: tuple) -> None:
    kind, n, away = wanted
    live = exchange.desk.pending()
    if not live:
        return
    record = live[n % len(live)]
    board = exchange.boards[record.key]
    price = board.last + away * board.instrument.tick_paise
    try:
        if not kind:
            exchange.desk.cancel(record.order_id, exchange.now_ms)
        else:
            params = {"order_type": kind, "price": str(price / 100), "market_protection": "1"}
            exchange.desk.modify(record.order_id, params, exchange.now_ms)
    except RequestRefused:
        return


def conserves(exchange: Exchange, trades: list, fees: int) -> None:
    """Check the account against nothing but the trades."""
    books = exchange.books
    last = {key: board.last for key, board in exchange.boards.items()}
    net: dict[str, int] = {}
    flow = 0
    for trade in trades:
        sign = 1 if trade.transaction == "BUY" else -1
        net[trade.key] = net.get(trade.key, 0) + sign * trade.quantity
        flow -= sign * trade.quantity * trade.price
    held: dict[str, int] = {}
    tied = 0
    for position in books.positions.values():
        held[position.key] = held.get(position.key, 0) + position.net
        tied += sum(shares * price for shares, price in position.lots)
        assert position.net == sum(shares for shares, _ in position.lots)
    for key, holding in books.holdings.items():
        held[key] = held.get(key, 0) + holding.quantity
        tied += holding.cost
    for owed in books.owed:
        held[owed.key] = held.get(owed.key, 0) - owed.quantity
        tied -= owed.proceeds
    assert {k: q for k, q in held.items() if q} == {k: q for k, q in net.items() if q}
    assert flow + tied == books.realised  # what was paid is in the lots or was realised
    found = exchange.findings()
    assert found["gross_pnl_paise"] == flow + sum(q * last[k] for k, q in net.items())
    assert found["charges_paise"] == books.charges
    assert found["net_pnl_paise"] == found["gross_pnl_paise"] - books.charges
    assert found["trades"] == len(trades)
    assert books.charges >= fees


def charged_anew(exchange: Exchange) -> None:
    """Check each order's charges: once an order on all that it filled, however often it filled."""
    for record in exchange.desk.records.values():
        rates = rates_for(record.product, "NSE", exchange.on)
        assert record.charges == charges_on(rates, record.transaction, record.value).total


@settings(max_examples=12)
@given(st.lists(STEP, min_size=STEPS_A_DAY, max_size=2 * STEPS_A_DAY))
def test_cash_positions_and_charges_conserve_over_days_of_anything(steps: list) -> None:
    exchange = Exchange(market(), cash=CASH)
    exchange.start()
    trades: list = list(exchange.instant().notes.trades)
    waits = 2_000_000
    for orders, changes in steps:
        for order in orders:
            ask(exchange, order)
        for wanted in changes:
            change(exchange, wanted)
        ends = exchange.now_ms + waits
        day = exchange.day
        while (due := exchange.next_due()) is not None and due <= ends:
            trades += exchange.move_to(due).notes.trades
        if exchange.day == day:
            charged_anew(exchange)
        conserves(exchange, trades, 0)
        if exchange.next_due() is not None and exchange.overnight:
            trades += exchange.move_to(exchange.next_due()).notes.trades
    while (due := exchange.next_due()) is not None:
        trades += exchange.move_to(due).notes.trades
    conserves(exchange, trades, 0)
    assert not exchange.desk.pending()
    mis = [p for p in exchange.books.positions.values() if p.product == "MIS" and p.net]
    assert mis == []  # the broker squared them off


def test_delivery_becomes_holdings_and_can_be_sold_the_next_day() -> None:
    exchange = Exchange(market(), cash=CASH)
    exchange.start()
    first, *_ = exchange.boards
    ask(exchange, (0, "BUY", 100, "MARKET", 0, "CNC"))
    while exchange.day == 0:
        exchange.move_to(exchange.next_due())
    assert exchange.books.positions == {}
    holding = exchange.books.holdings[first]
    assert (holding.quantity, holding.t1) == (100, 100)
    run_to(exchange, exchange.boards[first].session.opens_ms)
    ask(exchange, (0, "SELL", 100, "MARKET", 0, "CNC"))
    while exchange.day == 1:
        exchange.move_to(exchange.next_due())
    assert exchange.books.holdings == {}
    assert exchange.findings()["final_position"] == {}


def test_funds_are_blocked_for_what_is_open_and_pending_and_come_back() -> None:
    exchange = opened({"NSE:A": [100.0] * 375})
    books, desk = exchange.books, exchange.desk
    base = {"transaction_type": "BUY", "product": "MIS", "quantity": "100"}
    desk.place("NSE:A", base | {"order_type": "LIMIT", "price": "99"}, exchange.now_ms)
    assert books.blocked(desk.pending()) == 100 * 9_900 // 5
    record = desk.place(
        "NSE:A", base | {"order_type": "MARKET", "market_protection": "-1"}, exchange.now_ms
    )
    run_to(exchange, exchange.now_ms + 40)
    assert books.blocked(desk.pending()) == (record.value + 100 * 9_900) // 5
    sell = base | {"transaction_type": "SELL", "order_type": "MARKET", "market_protection": "-1"}
    desk.place("NSE:A", sell, exchange.now_ms)
    run_to(exchange, exchange.now_ms + 40)
    assert books.blocked(desk.pending()) == 100 * 9_900 // 5
    assert books.funds() == CASH + books.realised - books.charges


FILLS = st.lists(
    st.tuples(st.sampled_from([1, -1]), st.integers(1, 50), st.integers(1, 10_000)), max_size=30
)


@settings(max_examples=60)
@given(FILLS, st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_positions_row_adds_up(fills: list, last: int, close: int) -> None:
    position = Position("NSE:A", "MIS", 257)
    realised = sum(position.fill(*fill) for fill in fills)
    row = position_row(position, last, close)
    flow = -sum(side * quantity * price for side, quantity, price in fills)
    assert round(row["pnl"] * 100) == flow + position.net * last
    assert round(row["realised"] * 100) == realised
    assert round((row["realised"] + row["unrealised"]) * 100) == round(row["pnl"] * 100)
    assert row["quantity"] == row["buy_quantity"] - row["sell_quantity"]
    assert round(row["value"] * 100) == flow
