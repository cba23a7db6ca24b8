"""A process that kills copies of itself inside SQLite's statements, and goes on from the files.

Each copy plays the same days, keeps every instant, and ends with SIGKILL at the n-th statement
that it gives to its file: between two transactions or in the middle of one. Its maker opens the
file again, plays on to the end, and prints what came of it beside what an uncut run comes to.
Run as `python -m tests.agent.paper.killed SEED FOLDER`; prints JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

from agent.paper.exchange import Exchange
from agent.paper.market import Market
from agent.paper.opening import Opening, assemble, open_exchange
from agent.paper.refusals import RequestRefused
from agent.paper.service import Service
from agent.paper.store import Store
from tests.agent.paper.lab import DAY, wander

CUTS = 12
EVERY_MS = 20 * 60_000


def play(path: Path, die_at: int = 0) -> tuple[dict, int]:
    """Play to the end; return the findings and the count of statements, or die at one of them."""
    store = Store(path, "x")
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    store._db.set_trace_callback(count)
    market = Market(wander(9, 6), first=DAY.replace(day=2), ticks_per_day=60)
    exchange, _ = open_exchange(market, store, cash_paise=100_000_000)
    service = assemble(Opening(path.parent, DAY, lockstep=True), exchange, store)
    service.changed()
    trade(service)
    while (due := exchange.next_due()) is not None:
        service.publish(exchange.move_to(due))
        trade(service)
    store.close()
    return exchange.findings() | {"rows": rows(exchange)}, seen


def trade(service: Service) -> None:
    """Place an order with a stop's shape now and then, unless this instant has one already."""
    exchange = service.exchange
    if exchange.overnight or exchange.over or exchange.now_ms % EVERY_MS:
        return
    for key, board in exchange.boards.items():
        tag = f"{board.instrument.token}at{exchange.now_ms // 60_000 % 1_000_000}"
        if any(one.tag == tag for one in exchange.desk.records.values()):
            continue
        side = "BUY" if exchange.now_ms // EVERY_MS % 2 else "SELL"
        tick = board.instrument.tick_paise
        trigger = board.last // tick * tick + (tick if side == "BUY" else -tick) * 9
        params = {"transaction_type": side, "quantity": "40", "product": "MIS",
                  "order_type": "SL-M", "trigger_price": str(trigger / 100),
                  "market_protection": "5", "tag": tag}  # fmt: skip
        try:
            exchange.desk.place(key, params, exchange.now_ms)
        except RequestRefused:  # outside market hours: the same in every run
            continue
        service.changed()


def rows(exchange: Exchange) -> list[list[object]]:
    return [[one.order_id, one.tag, one.status, one.filled, one.value]
            for one in exchange.desk.records.values()]  # fmt: skip


def main() -> None:
    """Cut runs at drawn statements and print [statement, findings] of each, the uncut one first."""
    draw, folder = random.Random(f"killed {sys.argv[1]}"), Path(sys.argv[2])
    whole, statements = play(folder / "uncut.db")
    told: list[list[object]] = [[0, whole]]
    for number in range(CUTS):
        path, at = folder / f"cut{number}.db", draw.randrange(1, statements)
        child = os.fork()
        if not child:
            play(path, at)
            os._exit(1)  # it should not have come so far
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"statement {at} was never given"
        told.append([at, play(path)[0]])
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
