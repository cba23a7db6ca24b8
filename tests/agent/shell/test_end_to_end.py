"""The real process, the official client, real sockets: against the paper exchange in lock-step.

What counts is the exchange's own book. The served model is a small HTTP server that speaks its
contract; the real one is another room's.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import EnvironmentRefused
from agent.shell.control import ask
from tests.agent.paper.lab import DAY, Running, start, wander, write_csv
from tests.agent.shell.proxy import Proxy
from tests.agent.shell.served import Served

SIDES = {"NSE:AAA": "BUY", "NSE:BBB": "SELL", "NSE:CCC": "HOLD"}
ROOT = Path(__file__).parents[3]
DEADLINE_S = 90.0


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Running]:
    candles = write_csv(tmp_path / "days.csv", wander(11, 20))
    running = start(
        tmp_path / "paper", "--candles", str(candles), "--lockstep", "--first", str(DAY),
        "--ticks-per-day", "400",
    )  # fmt: skip
    yield running
    running.kill()


def agent(
    home: Path, exchange: Running, served: Served, *command: str, **settings: str
) -> subprocess.Popen[str]:
    """Start `ratchet-agent run`, in lock-step unless another command is given."""
    named = {f"RATCHET_AGENT__{key.upper()}": value for key, value in settings.items()}
    sessions = home.parent / "sessions.json"
    sessions.write_text(json.dumps([str(DAY)]))
    lockstep = ("agent", "run", "--home", str(home), "--clock", "exchange", "--until-end", "--json")
    return subprocess.Popen(
        [sys.executable, "-m", *(command or lockstep)],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "RATCHET_AGENT__BROKER__REST_URL": exchange.rest,
            "RATCHET_AGENT__BROKER__TICKER_URL": exchange.ticker,
            "RATCHET_AGENT__MODEL__URL": served.url,
            "RATCHET_AGENT__CONTROL__PORT": "0",
            "RATCHET_AGENT__MARKET__SESSIONS_FILE": str(sessions),
        }
        | named,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out)


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"{what} within {DEADLINE_S} s"
        time.sleep(0.02)


def check_book(audit: dict[str, Any]) -> None:
    assert audit["surplus_exits"] == 0
    assert audit["stops_moved_back"] == 0
    assert audit["duplicate_tags"] == 0
    assert audit["final_position"] == {}
    assert audit["over_budget"] == {}


def test_a_day_of_one_long_and_one_short(exchange: Running, home: Path) -> None:
    with Served(SIDES) as served:
        summary = ended(agent(home, exchange, served))
    audit = exchange.get("audit")
    check_book(audit)
    assert {trip["side"] for trip in audit["positions"]} == {"LONG", "SHORT"}
    assert audit["max_unprotected_ms"] == 40  # the exchange's own latency, nothing of ours
    assert summary["trades"]["LONG"]["trades"] == 1
    assert summary["trades"]["SHORT"]["trades"] == 1
    assert summary["stop_moves"] > 0
    assert summary["target_moves"] > 0
    for ours, theirs in (("gross", "gross_pnl"), ("charges", "charges"), ("net", "net_pnl")):
        assert summary[f"{ours}_paise"] == audit[f"{theirs}_paise"]
    (batch,) = served.questions
    assert [one["key"] for one in batch["instances"]] == sorted(SIDES)
    assert all(len(one["candles"]["ts"]) == 5 for one in batch["instances"])
    check_journal(home)


def check_journal(home: Path) -> None:
    with sqlite3.connect(home / "agent" / "journal.db") as db:
        trades = db.execute("select side, version, variant, net_paise, closed_ms from trades")
        assert sorted(row[:3] for row in trades) == [
            ("LONG", "3", "champion"),
            ("SHORT", "3", "champion"),
        ]
        path = db.execute("select count(*), count(distinct stop) from path").fetchone()
        assert path[0] > 20
        assert path[1] > 2
        unanswered = db.execute("select count(*) from intents where answer is null").fetchone()
        assert unanswered == (0,)


def test_killed_in_a_trade_it_comes_back_protects_and_enters_nothing_twice(
    exchange: Running, home: Path
) -> None:
    with Served(SIDES) as served:
        kills = 0
        process = agent(home, exchange, served)
        while kills < 2:
            until_open(home, process)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
            kills += 1
            process = agent(home, exchange, served)
        summary = ended(process)
    audit = exchange.get("audit")
    check_book(audit)
    assert kills == 2
    assert len(audit["positions"]) == 2  # one LONG, one SHORT: no entry was sent twice
    # A stop whose sending the kill left in doubt is looked for (3 s) before another one is sent.
    assert audit["max_unprotected_ms"] <= 5_000
    assert summary["open"] == []
    with sqlite3.connect(home / "agent" / "journal.db") as db:
        net = db.execute("select sum(net_paise) from trades").fetchone()[0]
    assert net == audit["net_pnl_paise"]


def until_open(home: Path, process: subprocess.Popen[str]) -> None:
    until(lambda: open_trades(home, process), "an open trade")


def open_trades(home: Path, process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert process.poll() is None, process.stderr and process.stderr.read()[-3000:]
    try:
        positions = ask(home, "GET", "/positions")["positions"]
    except EnvironmentRefused:
        return []
    return [p for p in positions if p["open"] and p["exit_order"]]


def test_flatten_by_the_operator_closes_and_halts(exchange: Running, home: Path) -> None:
    with Served(SIDES) as served:
        process = agent(home, exchange, served)
        until_open(home, process)
        assert ask(home, "POST", "/flatten") == {"asked": "flatten"}
        summary = ended(process)
    check_book(exchange.get("audit"))
    assert summary["mode"] == "HALT"
    assert "FLATTEN" in summary["reasons"]


def test_a_model_that_is_down_lets_nothing_in(exchange: Running, home: Path) -> None:
    with Served(SIDES) as served:
        served.down = True
        process = agent(home, exchange, served)
        until(lambda: guards(home, process).get("model"), "the guard of the model")
        assert ask(home, "GET", "/status")["freeze_cuts"] == []
        process.send_signal(signal.SIGTERM)
        summary = ended(process)
    assert summary["orders"] == 0
    assert summary["stopped"] == "signal SIGTERM"


def guards(home: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.poll() is None, process.stderr and process.stderr.read()[-3000:]
    try:
        return dict(ask(home, "GET", "/status")["guards"])
    except EnvironmentRefused:
        return {}


def test_a_ticker_that_drops_again_and_again_costs_no_promise(
    exchange: Running, home: Path
) -> None:
    with Served(SIDES) as served, Proxy(exchange.port) as proxy:
        through = f"ws://127.0.0.1:{proxy.port}"
        process = agent(home, exchange, served, broker__ticker_url=through)
        for n in range(1, 4):
            until_open(home, process)
            proxy.cut()
            until(lambda n=n: proxy.opened > n or process.poll() is not None, "a new connection")
        summary = ended(process)
    check_book(exchange.get("audit"))
    assert proxy.opened >= 3
    assert summary["trades"]["LONG"]["trades"] == summary["trades"]["SHORT"]["trades"] == 1


def test_by_the_systems_clock_it_trades_and_notices_a_silent_ticker(
    tmp_path: Path, home: Path
) -> None:
    candles = write_csv(tmp_path / "days.csv", wander(11, 20))
    running = start(
        tmp_path / "paper", "--candles", str(candles), "--first", str(DAY),
        "--ticks-per-day", "22500",
    )  # fmt: skip
    try:
        with Served(SIDES) as served, Proxy(running.port) as proxy:
            home.mkdir()
            offset = int(str(running.get("clock")["now"])) - time.time_ns() // 1_000_000
            process = agent(
                home, running, served, "tests.agent.shell.shifted", str(home), str(offset),
                broker__ticker_url=f"ws://127.0.0.1:{proxy.port}", watch__silent_s="2",
                entry__since="09:15", entry__spread_bp_max="100", market__interval="day",
            )  # fmt: skip
            until(lambda: len(open_trades(home, process)) == 2, "both sides open")
            proxy.frozen.set()
            until(lambda: guards(home, process).get("feed"), "the watchdog")
            proxy.frozen.clear()
            until(lambda: not guards(home, process).get("feed"), "the ticker again")
            ask(home, "POST", "/flatten")
            until(lambda: not open_trades(home, process), "flat")
            process.send_signal(signal.SIGTERM)
            summary = ended(process)
        audit = running.get("audit")
    finally:
        running.kill()
    assert audit["final_position"] == {}
    assert audit["surplus_exits"] == audit["stops_moved_back"] == audit["duplicate_tags"] == 0
    assert audit["max_unprotected_ms"] <= 1_000
    assert summary["reasons"] == {"FLATTEN": 2}
    assert summary["mode"] == "HALT"
