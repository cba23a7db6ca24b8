"""What holds whatever is asked for: every variety, GTTs, conversions, changes, over three days.

No fill outside its limit, the circuit or its quantity; cash and shares conserve; margin that was
blocked is free once the account is flat; the same requests at the same instants give the same
book.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.paper.conversion import convert
from agent.paper.exchange import Exchange
from agent.paper.gtt import Leg, Wanted, gtt_row
from agent.paper.market import Market
from agent.paper.records import row_of, trade_row
from agent.paper.refusals import RequestRefused
from tests.agent.paper.lab import DAY, wander
from tests.agent.paper.test_books import conserves

CASH = 100_000_000
SYMBOLS = 3
WAITS_MS = 1_500_000


@cache
def market() -> Market:
    return Market(wander(9, 4), first=DAY - timedelta(days=2), ticks_per_day=100)


SYMBOL = st.integers(0, SYMBOLS - 1)
SIDE = st.sampled_from(["BUY", "SELL"])
ORDER = st.tuples(
    st.just("order"), SYMBOL, SIDE, st.integers(1, 2_000),
    st.sampled_from(["MARKET", "LIMIT", "LIMIT", "SL", "SL-M"]), st.integers(-40, 40),
    st.sampled_from(["MIS", "MIS", "CNC"]), st.sampled_from(["regular", "co", "iceberg", "amo"]),
    st.sampled_from(["DAY", "DAY", "IOC", "TTL"]), st.sampled_from([0, 0, 50]),
)  # fmt: skip
GTT = st.tuples(st.just("gtt"), SYMBOL, SIDE, st.integers(1, 300), st.integers(-60, 60))
CHANGE = st.tuples(st.just("change"), st.sampled_from(["LIMIT", "MARKET", "", "trigger"]),
                   st.integers(0, 30), st.integers(-20, 20), st.integers(1, 900))  # fmt: skip
CONVERT = st.tuples(st.just("convert"), SYMBOL, st.booleans(), st.integers(1, 500))
STEPS = st.lists(st.lists(st.one_of(ORDER, ORDER, GTT, CHANGE, CONVERT), max_size=3),
                 min_size=20, max_size=40)  # fmt: skip


def order(exchange: Exchange, asked: tuple) -> None:
    _, symbol, side, quantity, kind, away, product, variety, validity, disclosed = asked
    board = list(exchange.boards.values())[symbol]
    tick, sign = board.instrument.tick_paise, 1 if side == "BUY" else -1
    price = (board.last // tick + away) * tick
    stop = sign if variety != "co" else -sign
    trigger = (board.last // tick + stop * (abs(away) + 1)) * tick
    if kind == "SL":
        price = trigger + sign * 5 * tick
    params = {
        "transaction_type": side, "order_type": kind, "product": product, "validity": validity,
        "quantity": str(quantity), "market_protection": "-1", "validity_ttl": "20",
        "price": str(price / 100), "trigger_price": str(trigger / 100), "iceberg_legs": "3",
        "disclosed_quantity": str(quantity * disclosed // 100),
    }  # fmt: skip
    exchange.desk.place(board.instrument.key, params, exchange.now_ms, variety)


def wait_for(exchange: Exchange, asked: tuple) -> None:
    _, symbol, side, quantity, away = asked
    board = list(exchange.boards.values())[symbol]
    tick = board.instrument.tick_paise
    trigger = board.last + (away or 1) * tick
    leg = Leg(side, "CNC", quantity, trigger // tick * tick)
    wanted = Wanted("single", board.instrument.key, board.instrument.token, board.last,
                    (trigger,), (leg,))  # fmt: skip
    exchange.desk.gtts.place(wanted, exchange.now_ms)


def change(exchange: Exchange, asked: tuple) -> None:
    _, kind, n, away, quantity = asked
    live = exchange.desk.pending()
    if not live:
        return
    record = live[n % len(live)]
    board = exchange.boards[record.key]
    price = (board.last // record.tick + away) * record.tick / 100
    params = {"LIMIT": {"order_type": "LIMIT", "price": str(price), "quantity": str(quantity)},
              "MARKET": {"order_type": "MARKET", "market_protection": "1"},
              "trigger": {"trigger_price": str(price)}}.get(kind)  # fmt: skip
    if params is None:
        exchange.desk.cancel(record.order_id, exchange.now_ms)
    else:
        exchange.desk.modify(record.order_id, params, exchange.now_ms)


def converted(exchange: Exchange, asked: tuple) -> None:
    _, symbol, back, quantity = asked
    key = list(exchange.boards)[symbol]
    old, new = ("CNC", "MIS") if back else ("MIS", "CNC")
    fields = {"exchange": "NSE", "tradingsymbol": key.partition(":")[2], "position_type": "day",
              "transaction_type": "BUY", "quantity": str(quantity)}  # fmt: skip
    convert(exchange.desk, fields | {"old_product": old, "new_product": new}, exchange.now_ms)


DO = {"order": order, "gtt": wait_for, "change": change, "convert": converted}


def inside_its_terms(exchange: Exchange, trades: list) -> None:
    for trade in trades:
        record = exchange.desk.records[trade.order_id]
        board = exchange.boards[trade.key]
        tick = board.instrument.tick_paise
        assert record.side * (trade.price - record.limit) <= 0, (record, trade)
        assert board.band[0] <= trade.price // tick <= board.band[1]
        assert trade.price % tick == 0
        assert trade.quantity > 0
    for record in exchange.desk.records.values():
        assert 0 <= record.filled <= record.quantity
        if record.order is not None:
            assert record.order.filled == record.filled


def free_once_flat(exchange: Exchange) -> None:
    books, pending = exchange.books, exchange.desk.pending()
    if not pending and not books.owed and not any(p.net for p in books.positions.values()):
        assert books.blocked(pending) == 0


def played(steps: list) -> list[object]:
    """Play requests over three days, checking all the way; return the book."""
    exchange = Exchange(market(), cash=CASH)
    exchange.start()
    trades: list = list(exchange.instant().notes.trades)
    told: list[object] = []

    def move() -> bool:
        due = exchange.next_due()
        if due is None:
            return False
        fresh = exchange.move_to(due).notes.trades
        inside_its_terms(exchange, fresh)
        trades.extend(fresh)
        return True

    for requests in steps:
        for asked in requests:
            try:
                DO[asked[0]](exchange, asked)
            except RequestRefused as refused:
                told.append(refused.message)
        ends = exchange.now_ms + WAITS_MS
        while (due := exchange.next_due()) is not None and due <= ends:
            move()
        conserves(exchange, trades, 0)
        free_once_flat(exchange)
        told += [row_of(record) for record in exchange.desk.records.values()]
        if exchange.overnight:
            move()
    while move():
        pass
    conserves(exchange, trades, 0)
    assert [one for one in exchange.desk.pending() if not one.held] == []
    free_once_flat(exchange)
    return [*told, [trade_row(one) for one in trades], exchange.findings(),
            [gtt_row(one) for one in exchange.desk.gtts.all.values()]]  # fmt: skip


@settings(max_examples=15)
@given(STEPS)
def test_the_promises_hold_and_a_run_repeats(steps: list) -> None:
    assert played(steps) == played(steps)
