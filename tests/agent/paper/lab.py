"""Small markets and running exchanges for the tests of the paper exchange."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import numpy as np
import requests
from kiteconnect import KiteConnect, KiteTicker
from twisted.internet import reactor

from agent.market.sessions import IST, epoch_ms
from agent.paper.exchange import Exchange
from agent.paper.market import Market
from agent.paper.source import CandleSet, Columns

DAY = date(2025, 11, 3)  # a Monday; continuous trading 09:15 to 15:30
START_DEADLINE_S = 60.0


def at(clock: str, on: date = DAY) -> int:
    """Return an instant of the day, `HH:MM[:SS]`, as epoch ms."""
    return epoch_ms(datetime.combine(on, time_of_day.fromisoformat(clock), tzinfo=IST))


def minute_columns(prices: list[float], *, on: date = DAY, volume: float = 4_000.0) -> Columns:
    """Return flat minute candles, one a price, from the open on: every tick of a minute is it."""
    ts = at("09:15", on) + 60_000 * np.arange(len(prices), dtype=np.int64)
    flat = np.array(prices, dtype=np.float64)
    return Columns(ts, flat, flat.copy(), flat.copy(), flat.copy(), np.full(len(prices), volume))


def scripted(prices: dict[str, list[float]], *, on: date = DAY, **settings: object) -> Market:
    """Return a market whose minutes stand at the given prices, four ticks each."""
    candles = {key: minute_columns(row, on=on) for key, row in sorted(prices.items())}
    return Market(CandleSet("minute", candles), **settings)  # type: ignore[arg-type]


def opened(prices: dict[str, list[float]], *, cash: int = 100_000_000) -> Exchange:
    """Return an exchange at the open of a scripted day."""
    exchange = Exchange(scripted(prices), cash=cash)
    exchange.start()
    exchange.instant()
    return exchange


def run_to(exchange: Exchange, ms: int) -> list[dict[str, object]]:
    """Move through every instant up to one; return the updates that were pushed."""
    updates: list[dict[str, object]] = []
    while (due := exchange.next_due()) is not None and due <= ms:
        updates += exchange.move_to(due).notes.updates
    return updates


def wander(seed: int, days: int, *, symbols: tuple[str, ...] = ("AAA", "BBB", "CCC")) -> CandleSet:
    """Return day candles of a random walk with a whole day's range, in session days."""
    rng = np.random.default_rng(seed)
    candles = {}
    for n, symbol in enumerate(symbols):
        close = 180.0 * (n + 1) * np.exp(np.cumsum(0.015 * rng.standard_normal(days)))
        open_ = np.concatenate(([close[0]], close[:-1])) * np.exp(0.004 * rng.standard_normal(days))
        reach = np.abs(0.008 * rng.standard_normal((2, days))) + 0.001
        high = np.maximum(open_, close) * np.exp(reach[0])
        low = np.minimum(open_, close) * np.exp(-reach[1])
        first = DAY - timedelta(days=days - 1)
        ts = [at("00:00", first + timedelta(days=k)) for k in range(days)]
        rounded = [np.round(column, 2) for column in (open_, high, low, close)]
        stamps = np.array(ts, dtype=np.int64)
        candles[f"NSE:{symbol}"] = Columns(stamps, *rounded, np.full(days, 900_000.0))
    return CandleSet("day", candles)


def write_csv(path: Path, source: CandleSet) -> Path:
    """Write candles as a CSV file with stamps without a zone."""
    lines = ["symbol,ts,open,high,low,close,volume"]
    for key, one in source.candles.items():
        columns = (one.ts_ms, one.open, one.high, one.low, one.close, one.volume)
        for ms, o, h, low, c, v in zip(*(column.tolist() for column in columns), strict=True):
            stamp = datetime.fromtimestamp(ms / 1000, IST).strftime("%Y-%m-%d %H:%M:%S")
            lines.append(f"{key},{stamp},{o},{h},{low},{c},{v}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass
class Running:
    """An exchange in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ticker(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def kite(self, token: str | None = "paper") -> KiteConnect:
        return KiteConnect("paper", access_token=token, root=self.rest)

    def post(self, path: str, **document: object) -> dict[str, object]:
        return requests.post(f"{self.rest}/_paper/{path}", json=document, timeout=30).json()

    def get(self, path: str) -> dict[str, object]:
        return requests.get(f"{self.rest}/_paper/{path}", timeout=30).json()

    @property
    def log(self) -> str:
        return (self.home / "stderr.log").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


def start(home: Path, *arguments: str, port: int = 0) -> Running:
    """Start `ratchet-agent paper` and wait until it serves."""
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "agent", "paper", "--port", str(port), "--home", str(home)]
    home.mkdir(parents=True, exist_ok=True)
    log = home / "stderr.log"
    with log.open("a") as told:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), *arguments],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
            stderr=told,
        )
    deadline = time.monotonic() + START_DEADLINE_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(log.read_text())
        time.sleep(0.02)
    return Running(process, json.loads(ready.read_text())["port"], home)


def until(condition: Callable[[], object], *, deadline_s: float = 15.0) -> bool:
    """Poll a condition until it holds or the deadline passes."""
    ends = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True


class Ticker:
    """The official ticker on the one reactor of the test process; it keeps all that comes."""

    def __init__(self, root: str, *, token: str = "paper") -> None:
        self.kite = KiteTicker("paper", token, root=root)
        self.ticks: list[list[dict]] = []
        self.updates: list[dict] = []
        self.texts: list[dict] = []
        self.errors: list[tuple] = []
        self.heartbeats = 0
        self.opened = threading.Event()
        self.kite.on_connect = lambda *_: self.opened.set()
        self.kite.on_ticks = lambda _, ticks: self.ticks.append(ticks)
        self.kite.on_order_update = lambda _, update: self.updates.append(update)
        self.kite.on_error = lambda *error: self.errors.append(error[1:])
        self.kite.on_message = self._message
        self._call(self.kite.connect, threaded=True)

    def subscribe(self, tokens: list[int], mode: str) -> None:
        assert self.opened.wait(15)
        self._call(self.kite.subscribe, tokens)
        self._call(self.kite.set_mode, mode, tokens)

    def unsubscribe(self, tokens: list[int]) -> None:
        self._call(self.kite.unsubscribe, tokens)

    def send(self, text: str) -> None:
        self._call(lambda: self.kite.ws.sendMessage(text.encode()))

    def now(self) -> int:
        """Return the last instant that the exchange has told."""
        clocks = [text["data"]["now"] for text in self.texts if text["type"] == "paper_clock"]
        return clocks[-1] if clocks else 0

    def close(self) -> None:
        self._call(self.kite.close)

    def _message(self, _: object, payload: bytes, is_binary: bool) -> None:
        if not is_binary:
            self.texts.append(json.loads(payload))
        elif len(payload) == 1:
            self.heartbeats += 1

    @staticmethod
    def _call(function: Callable[..., object], *arguments: object, **named: object) -> None:
        if reactor.running:
            reactor.callFromThread(function, *arguments, **named)
        else:
            function(*arguments, **named)
            assert until(lambda: reactor.running)
