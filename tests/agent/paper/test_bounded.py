"""A week of virtual time: what is kept in memory is a day's, or has a named bound."""

from __future__ import annotations

from pathlib import Path

from agent.paper.access import TOKENS_MAX, Access
from agent.paper.audit import CHARGED_MAX
from agent.paper.exchange import Exchange
from agent.paper.faults import Fault
from agent.paper.hub import UNREAD_MAX, Connection
from agent.paper.market import TAPES_KEPT, Market
from agent.paper.opening import Opening, assemble, open_exchange
from agent.paper.service import Service
from agent.paper.store import Store
from tests.agent.paper.lab import DAY, at, wander
from tests.agent.paper.test_rooms import login

ORDERS_A_DAY = 60


def test_a_week_keeps_no_more_than_its_last_day(tmp_path: Path) -> None:
    market = Market(wander(5, 40), first=DAY.replace(day=DAY.day - 2), ticks_per_day=120)
    market.days = tuple(sorted(market.candle_days())[-7:])
    store = Store(tmp_path / "x.db", "x")
    exchange, _ = open_exchange(market, store, cash_paise=100_000_000)
    service = assemble(Opening(tmp_path, DAY, lockstep=True), exchange, store)
    service.faults.arm(Fault(kind="updates_reordered", probability=0.5))
    connection = service.hub.open()
    assert connection is not None
    connection.modes.update(dict.fromkeys(exchange.by_token, "full"))
    service.changed()
    sizes: list[dict[str, int]] = []
    while (due := exchange.next_due()) is not None:
        day = exchange.day
        service.publish(exchange.move_to(due))
        early = all(0 <= board.cursor < 60 for board in exchange.boards.values())
        if early and len(exchange.desk.records) < ORDERS_A_DAY:
            trade(service, exchange)
        if exchange.overnight and day == len(sizes):
            sizes.append(held(service, len(connection.late)))
    assert len(sizes) >= 6
    for name, first in sizes[0].items():
        assert max(day[name] for day in sizes) <= 1.5 * first + 20, name
    assert len(connection.queue) <= UNREAD_MAX
    store.close()


def trade(service: Service, exchange: Exchange) -> None:
    """Buy one and sell it again, with a stop far below that is left alone."""
    for key, board in exchange.boards.items():
        tick = board.instrument.tick_paise
        far = board.last * 9 // 10 // tick * tick
        params = {"quantity": "1", "product": "MIS", "validity": "DAY"}
        buy = params | {"transaction_type": "BUY", "order_type": "MARKET", "market_protection": "5"}
        stop = params | {"transaction_type": "SELL", "order_type": "SL", "price": str(far / 100),
                         "trigger_price": str(far / 100)}  # fmt: skip
        for form in (buy, stop, buy | {"transaction_type": "SELL"}):
            exchange.desk.place(key, form | {"tag": f"n{len(exchange.desk.records)}"},
                                exchange.now_ms)  # fmt: skip
    service.changed()


def held(service: Service, late: int) -> dict[str, int]:
    """Return the sizes of what could grow."""
    exchange, market = service.exchange, service.exchange.market
    assert isinstance(market, Market)
    assert len(exchange.audit._charged) <= CHARGED_MAX
    assert len(market._tapes) <= max(TAPES_KEPT, 2 * len(market.keys))
    return {
        "orders": len(exchange.desk.records),
        "trades": len(exchange.desk.trades),
        "positions": len(exchange.books.positions),
        "timers": len(exchange._timers),
        "notes": len(exchange.desk.notes.events),
        "live": sum(len(board.book.orders) for board in exchange.boards.values()),
        "windows": len(service.limits._windows),
        "late updates": late,
        "legs of the audit": len(exchange.audit._legs),
    }


def test_sessions_have_a_bound() -> None:
    access, now = Access(strict=True), at("10:00")
    for _ in range(TOKENS_MAX + 50):
        login(access, access.request_token(now), now)
    assert len(access.tokens) == TOKENS_MAX
    tomorrow = at("10:00", DAY.replace(day=DAY.day + 1))
    login(access, access.request_token(tomorrow), tomorrow)
    assert len(access.tokens) == 1  # the others died at six


def test_a_client_that_reads_nothing_loses_its_connection() -> None:
    connection = Connection(1)
    for n in range(UNREAD_MAX + 10):
        connection.put(f"update {n}")
    assert connection.broken
    assert not connection.queue
