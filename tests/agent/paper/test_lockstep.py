"""Lock-step over real sockets: who holds the clock, where it stands, and that a run repeats."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect.exceptions import KiteException

from tests.agent.paper.lab import DAY, Running, at, start

ORDER = {"variety": "regular", "exchange": "NSE", "product": "MIS"}


def test_the_clock_stands_until_every_client_has_acknowledged(moving: Running) -> None:
    opens = at("09:15")
    assert moving.get("clock")["now"] == opens
    one, two = moving.post("join"), moving.post("join")
    assert one["now"] == two["now"] == opens
    assert moving.post("ack", client=one["client"], through=opens) == {"now": opens}
    assert moving.post("ack", client=two["client"], through=opens) == {"now": opens + 15_000}
    # beyond an instant: it lets the clock run through that time, too
    assert moving.post("ack", client=one["client"], through=at("09:20")) == {"now": opens + 15_000}
    assert moving.post("ack", client=two["client"], through=at("09:16")) == {"now": at("09:16:15")}
    assert moving.post("leave", client=two["client"])["now"] == at("09:20:15")
    assert moving.post("ack", through=at("09:20:15"))["now"] == at("09:20:30")  # the only one
    wake = at("09:20:30") + 1_234
    assert moving.post("ack", through=at("09:20:30"), wake=wake)["now"] == wake
    two = moving.post("join")["client"]
    for wrong, words in (({"through": 1}, "name one"), ({"client": two}, "through"),
                         ({"client": two, "through": "soon"}, "through"),
                         ({"client": "c9", "through": 1}, "join again")):  # fmt: skip
        refused = moving.post("ack", **wrong)
        assert (refused["error_type"], words in str(refused["message"])) == (
            "InputException", True,
        )  # fmt: skip


def test_a_web_page_may_not_drive_the_clock(standing: Running) -> None:
    answer = requests.post(
        standing.rest + "/_paper/join", headers={"Origin": "http://evil.example"}, timeout=10
    )
    assert answer.status_code == 403


def trade_a_run(running: Running, seed: int) -> list[object]:
    """Trade at random but seeded through every session; return what the exchange answered."""
    rng = random.Random(seed)
    kite, heard = running.kite(), []
    now = running.post("join")["now"]
    while True:
        for _ in range(rng.randrange(3)):
            symbol = rng.choice(["AAA", "BBB", "CCC"])
            last = kite.ltp(f"NSE:{symbol}")[f"NSE:{symbol}"]["last_price"]
            side = rng.choice(["BUY", "SELL"])
            kind = rng.choice(["MARKET", "LIMIT", "SL"])
            away = rng.randrange(1, 20) * 0.05 * (1 if side == "BUY" else -1)
            trigger = round(round((last + away) * 20) / 20, 2)
            price = round(trigger + (0.5 if side == "BUY" else -0.5), 2)
            prices = {"MARKET": {"market_protection": -1}, "LIMIT": {"price": price},
                      "SL": {"price": price, "trigger_price": trigger}}[kind]  # fmt: skip
            if kind == "MARKET" and rng.random() < 0.5:
                stop = round(round(last * (0.98 if side == "BUY" else 1.02) * 20) / 20, 2)
                prices |= {"variety": "co", "trigger_price": stop}
            elif kind == "LIMIT" and rng.random() < 0.5:
                prices |= {"variety": "iceberg", "iceberg_legs": 3}
            asked = ORDER | {"tradingsymbol": symbol, "transaction_type": side} | prices
            try:
                heard.append(kite.place_order(quantity=rng.randrange(9, 900), order_type=kind,
                                              **asked))  # fmt: skip
                if rng.random() < 0.3:
                    heard.append(wait_for(kite, symbol, last, rng.choice([0.99, 1.01])))
            except KiteException as refused:
                heard.append(str(refused))
        live = [row for row in kite.orders() if row["status"] in {"OPEN", "TRIGGER PENDING"}]
        if live and rng.random() < 0.5:
            chosen = rng.choice(live)
            try:
                if chosen["parent_order_id"] and rng.random() < 0.5:
                    kite.exit_order("co", chosen["order_id"], chosen["parent_order_id"])
                else:
                    kite.modify_order(chosen["variety"], chosen["order_id"], order_type="MARKET",
                                      market_protection=-1)  # fmt: skip
            except KiteException as refused:
                heard.append(str(refused))
        through = now + rng.randrange(1, 3_000_000)
        now = running.post("ack", through=through, wake=through + 7)["now"]
        heard += [now, kite.orders(), kite.trades(), kite.positions(), kite.get_gtts()]
        if running.get("clock")["last"]:
            return [*heard, running.get("audit")]


def wait_for(kite: KiteConnect, symbol: str, last: float, share: float) -> object:
    trigger = round(round(last * share * 20) / 20, 2)
    buy = {"transaction_type": "BUY", "quantity": 7, "order_type": "LIMIT", "product": "CNC",
           "price": trigger}  # fmt: skip
    return kite.place_gtt("single", symbol, "NSE", [trigger], last, [buy])


def stored(running: Running) -> list[tuple]:
    """Return the rows that the exchange has kept."""
    (path,) = (running.home / "paper").glob("exchange-*.db")
    with sqlite3.connect(path) as db:
        return [
            db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("orders", "trades", "positions", "events", "gtts")
        ]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, days: Path) -> tuple[list, list]:
    return a_run(tmp_path_factory.mktemp("run"), days)


def a_run(home: Path, days: Path) -> tuple[list, list]:
    running = start(home, "--candles", str(days), "--lockstep", "--seed", "1",
                    "--first", "2025-11-02", "--ticks-per-day", "100")  # fmt: skip
    try:
        return trade_a_run(running, 42), stored(running)
    finally:
        running.stop()


def test_same_seed_same_orders_same_book(first_run: tuple, days: Path, tmp_path: Path) -> None:
    assert a_run(tmp_path, days) == first_run
    audit = first_run[0][-1]
    assert audit["trades"] > 10
    gtts = first_run[0][-2]
    fired = [gtt for gtt in gtts if gtt["status"] == "triggered"]
    assert fired
    # intraday is flat; what the GTTs bought for delivery, 7 shares each, is held
    assert {net % 7 for net in audit["final_position"].values()} <= {0}
    assert sum(audit["final_position"].values()) <= 7 * len(fired)
    assert audit["net_pnl_paise"] == audit["gross_pnl_paise"] - audit["charges_paise"]


def test_days_follow_each_other_and_the_end_is_told(first_run: tuple) -> None:
    instants = [heard for heard in first_run[0] if isinstance(heard, int)]
    assert instants == sorted(instants)
    assert instants[0] > at("09:15", DAY.replace(day=2))
    assert instants[-1] >= at("15:35")
