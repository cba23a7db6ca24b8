"""kill -9 in the middle of traffic: whatever was acknowledged is there afterwards, nothing else.

Several threads trade over sockets while the clock runs; the process is killed at a moment that a
seed draws, started again on the same file, and its book is compared with what the clients heard.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect.exceptions import KiteException

from tests.agent.paper.lab import Running, start, until
from tests.agent.paper.test_rest import BUY

SEEDS = (1, 2)
GONE = (requests.RequestException,)


class Trader(threading.Thread):
    """Places, changes and cancels until the exchange is gone; keeps every acknowledgement."""

    def __init__(self, running: Running, number: int) -> None:
        super().__init__(daemon=True)
        self.kite: KiteConnect = running.kite()
        self.number = number
        self.draw = random.Random(f"trader {number}")
        self.placed: dict[str, str] = {}
        self.tried: set[str] = set()
        self.trades: dict[str, dict] = {}

    def run(self) -> None:
        try:
            while True:
                self._step()
                time.sleep(0.02)  # a pace, not a wait for anything
        except GONE:
            return

    def _step(self) -> None:
        tag = f"t{self.number}n{len(self.tried)}"
        self.tried.add(tag)
        kind = self.draw.choice(["MARKET", "LIMIT", "SL"])
        prices = {"MARKET": {"market_protection": -1}, "LIMIT": {"price": 95},
                  "SL": {"price": 96, "trigger_price": 97}}[kind]  # fmt: skip
        side = "SELL" if kind == "SL" else "BUY"
        order = BUY | {"transaction_type": side, "order_type": kind}
        try:
            self.placed[tag] = self.kite.place_order(**order, **prices, tag=tag)
            if self.draw.random() < 0.3:
                self.kite.cancel_order("regular", self.draw.choice([*self.placed.values()]))
            for row in self.kite.trades():
                self.trades[row["trade_id"]] = row
        except KiteException:
            return  # refused: 429, final already


def a_gtt(kite: KiteConnect, trigger: float) -> int:
    order = {"transaction_type": "BUY", "quantity": 1, "order_type": "LIMIT", "product": "CNC",
             "price": trigger}  # fmt: skip
    placed = kite.place_gtt("single", "A", "NSE", [trigger], 100.0, [order])
    return int(placed["trigger_id"])


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_is_there(seed: int, minutes: Path, tmp_path: Path) -> None:
    arguments = ("--candles", str(minutes), "--speed", "20")
    running = start(tmp_path, *arguments)
    gtts = [a_gtt(running.kite(), 90.0 + n) for n in range(3)]
    traders = [Trader(running, n) for n in range(3)]
    for one in traders:
        one.start()
    until_s = 0.5 + random.Random(f"kill {seed}").random()
    enough = time.monotonic() + until_s
    while time.monotonic() < enough or not all(one.trades for one in traders):
        assert time.monotonic() < enough + 60
        time.sleep(0.005)
    running.kill()
    for one in traders:
        one.join(20)

    again = start(tmp_path, *arguments)
    try:
        stood = int(str(again.get("clock")["now"]))
        arrived = until(lambda: int(str(again.get("clock")["now"])) > stood + 1_000)
        assert arrived  # what was on its way
        kite = again.kite()
        rows = {row["order_id"]: row for row in kite.orders()}
        trades = {row["trade_id"]: row for row in kite.trades()}
        net = {row["tradingsymbol"]: row["quantity"] for row in kite.positions()["net"]}
        audit = again.get("audit")
        standing = {row["id"]: row["condition"]["trigger_values"] for row in kite.get_gtts()}
    finally:
        again.kill()
    assert standing == {number: [90.0 + n] for n, number in enumerate(gtts)}
    for one in traders:
        for tag, order_id in one.placed.items():
            assert rows[order_id]["tag"] == tag
        for trade_id, row in one.trades.items():
            assert trades[trade_id] == row
    tags = [row["tag"] for row in rows.values()]
    assert set(tags) <= {tag for one in traders for tag in one.tried}
    assert len(set(tags)) == len(tags)
    sign = {"BUY": 1, "SELL": -1}
    assert net["A"] == sum(
        sign[row["transaction_type"]] * row["quantity"] for row in trades.values()
    )
    assert audit["trades"] == len(trades)
    assert audit["orders"] == len(rows)
    for row in rows.values():
        own = [one for one in trades.values() if one["order_id"] == row["order_id"]]
        assert row["filled_quantity"] == sum(one["quantity"] for one in own)
