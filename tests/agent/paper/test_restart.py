"""kill -9 and start again: the book goes on where it stood, over real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.paper.books import Books
from agent.paper.desk import Notes
from agent.paper.market import Market
from agent.paper.opening import open_exchange
from agent.paper.store import Store
from tests.agent.paper.lab import DAY, Running, at, start, wander
from tests.agent.paper.test_rest import BUY


def acked(running: Running, through: int) -> int:
    return int(str(running.post("ack", through=through)["now"]))


def test_orders_trades_positions_audit_and_the_clock_survive_kill_9(
    minutes: Path, tmp_path: Path
) -> None:
    arguments = ("--candles", str(minutes), "--lockstep")
    running = start(tmp_path, *arguments)
    kite = running.kite()
    now = int(str(running.post("join")["now"]))
    sell = BUY | {"transaction_type": "SELL"}
    kite.place_order(**BUY, order_type="MARKET", market_protection=-1, tag="entry")
    now = acked(running, now)
    stop = kite.place_order(**sell, order_type="SL", price=97, trigger_price=98, tag="stop")
    now = acked(running, now + 40)
    kite.modify_order("regular", stop, trigger_price=98.5)
    now = acked(running, now + 40)
    in_flight = kite.place_order(**BUY, order_type="LIMIT", price=95)
    before = [kite.orders(), kite.trades(), kite.positions(), kite.margins(),
              running.get("audit"), kite.order_history(stop)]  # fmt: skip
    running.kill()

    again = start(tmp_path, *arguments)
    try:
        kite = again.kite()
        assert "goes on where it stood" in again.log
        assert again.get("clock")["now"] == now
        after = [kite.orders(), kite.trades(), kite.positions(), kite.margins(),
                 again.get("audit"), kite.order_history(stop)]  # fmt: skip
        assert after == before
        assert again.post("join")["now"] == now
        now = acked(again, now + 40)  # what was on its way arrives
        assert kite.order_history(in_flight)[-1]["status"] == "OPEN"
        kite.modify_order("regular", stop, order_type="MARKET", market_protection=-1)
        acked(again, now + 40)
        assert kite.order_history(stop)[-1]["status"] == "COMPLETE"
        assert kite.positions()["net"][0]["quantity"] == 0
        assert kite.place_order(**BUY, order_type="LIMIT", price=95) not in {stop, in_flight}
    finally:
        again.kill()
    fresh = start(tmp_path, *arguments, "--fresh")
    try:
        assert fresh.kite().orders() == []
        assert fresh.get("clock")["now"] == at("09:15")
        assert len(list((tmp_path / "paper").glob("exchange-0.*.db"))) == 1  # set aside, not lost
    finally:
        fresh.kill()


def a_market() -> Market:
    return Market(wander(9, 6), first=DAY.replace(day=2), ticks_per_day=60)


@pytest.mark.parametrize("cut", [1, 7, 60, 64, 70, 110])
def test_a_run_cut_anywhere_ends_as_the_one_that_was_not(tmp_path: Path, cut: int) -> None:
    """Every instant is kept, so a restart at any of them changes nothing that follows."""
    uncut, again = Store(tmp_path / "uncut.db", "x"), Store(tmp_path / "cut.db", "x")
    findings = play(a_market(), again, cut=cut)
    assert findings == play(a_market(), uncut, cut=None)
    assert findings["trades"] > 5
    uncut.close()
    again.close()


def play(market: Market, store: Store, cut: int | None) -> dict:
    exchange, _ = open_exchange(market, store, cash_paise=100_000_000)
    keep(exchange, store, exchange.instant())
    step = 0
    while (due := exchange.next_due()) is not None:
        keep(exchange, store, exchange.move_to(due))
        step += 1
        if step % 9 == 1 and not exchange.overnight and exchange.day == 0:
            for key, board in exchange.boards.items():
                side = "BUY" if step % 2 else "SELL"
                tick = board.instrument.tick_paise
                trigger = board.last // tick * tick + (tick if side == "BUY" else -tick) * 9
                params = {"transaction_type": side, "quantity": "40", "product": "MIS",
                          "order_type": "SL-M", "trigger_price": str(trigger / 100),
                          "market_protection": "5"}  # fmt: skip
                exchange.desk.place(key, params, exchange.now_ms)
            keep(exchange, store, exchange.instant())
        if step == cut:
            exchange, resumed = open_exchange(a_market(), store, cash_paise=100_000_000)
            assert resumed
    return exchange.findings()


def keep(exchange, store: Store, instant) -> None:
    store.save(
        (exchange.day, instant.now_ms), exchange.on.isoformat(), instant.notes, exchange.books
    )


def test_a_run_of_another_market_or_one_that_is_over_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    first = Store(path, "one market")
    first.keep("instant", [0, 5])
    first.close()
    same = Store(path, "one market")
    assert same.instant() == (0, 5)
    same.save((0, 6), "2025-11-03", Notes(), Books(1), marks={"over": True})
    same.close()
    over = Store(path, "one market")
    assert over.instant() is None
    over.keep("instant", [0, 5])
    over.close()
    other = Store(path, "another market")
    assert other.instant() is None
    other.close()


def test_two_exchanges_cannot_have_one_file(tmp_path: Path) -> None:
    from agent.errors import EnvironmentRefused

    first = Store(tmp_path / "exchange.db", "x")
    with pytest.raises(EnvironmentRefused, match="in use by another exchange"):
        Store(tmp_path / "exchange.db", "x")
    first.close()
