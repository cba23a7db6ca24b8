"""The demo's figures come from the books of others, and books that differ are an error."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent.errors import Broken, EnvironmentRefused, SettingRefused
from flows.data.intake import ingest
from flows.data.sources import Request
from flows.demo.figures import agent_figures, closed_so_far, read_trades, served_figures
from flows.demo.replay import choose, most_traded
from flows.home import Home
from tests.flows.demo.test_report import trade

AUDIT: dict[str, Any] = {
    "orders": 4, "trades": 4, "gross_pnl_paise": 10_500, "charges_paise": 155 * 2,
    "net_pnl_paise": 10_190, "max_unprotected_ms": 40, "surplus_exits": 0, "stops_moved_back": 0,
    "duplicate_tags": 0, "final_position": {"NSE:AAPL": -3, "NSE:IBM": 0},
}  # fmt: skip


def test_money_and_safety_are_the_exchanges() -> None:
    trades = [trade(0, net_paise=12_190), trade(1, side="SHORT", net_paise=-2_000)]
    told = agent_figures(AUDIT, trades)
    assert (told["net_pnl"], told["gross_pnl"], told["charges"]) == (101.9, 105.0, 3.1)
    assert (told["long_trades"], told["short_trades"]) == (1, 1)
    assert (told["stop_moves"], told["target_moves"]) == (2, 0), "the sums of the cards"
    assert told["final_position"] == 3, "a short that is left counts, it does not cancel"


def test_a_paisa_between_the_books_is_an_error() -> None:
    trades = [trade(0, net_paise=10_191)]
    with pytest.raises(Broken, match=r"10191 paise net.*10190"):
        agent_figures(AUDIT, trades)


def test_no_journal_is_named(home: Path) -> None:
    with pytest.raises(EnvironmentRefused, match=r"journal\.db"):
        read_trades(home)


def test_a_journal_that_is_not_laid_out_yet_holds_no_trade(home: Path) -> None:
    assert closed_so_far(home) == (0, 0)
    (home / "agent").mkdir(parents=True)
    (home / "agent" / "journal.db").touch()
    assert closed_so_far(home) == (0, 0)


def said(model: str, variant: str, latency_ms: float) -> str:
    record = {"kind": "prediction", "model": model, "variant": variant, "latency_ms": latency_ms}
    return json.dumps(record) + "\n"


def test_each_model_has_its_own_requests_and_latency(home: Path) -> None:
    opened = Home.open(home)
    opened.predictions.mkdir(parents=True)
    lines = [said("demo", "champion", 8.0), said("demo", "shadow", 99.0)]
    lines += [said("demo-intraday", "champion", 1.0), said("demo-intraday", "champion", 3.0)]
    (opened.predictions / "predictions-1.jsonl").write_text("".join(lines))
    daily = served_figures(opened, "demo", "ratchet:1")
    other = served_figures(opened, "demo-intraday", "ratchet:1")
    assert (daily["requests"], daily["p50_ms"], daily["shadow_requests"]) == (1, 8.0, 1)
    assert (other["requests"], other["p50_ms"], other["shadow_requests"]) == (2, 2.0, 0)
    with pytest.raises(Broken, match="no answer of model third"):
        served_figures(opened, "third", "ratchet:1")


def frame(**turnover: float) -> pd.DataFrame:
    days = pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("Asia/Kolkata")
    rows = [
        {"symbol": f"NSE:{name}", "ts": day, "close": 10.0, "volume": volume / 10.0}
        for name, volume in turnover.items()
        for day in days
    ]
    return pd.DataFrame(rows)


def test_the_most_traded_are_kept_and_unknown_volume_comes_last() -> None:
    candles = frame(A=5.0, B=50.0, C=float("nan"), D=7.0)
    assert most_traded(candles, 2) == ("NSE:B", "NSE:D")
    assert most_traded(candles, 4) == ("NSE:A", "NSE:B", "NSE:C", "NSE:D")


def test_a_symbol_that_stopped_trading_is_not_replayed() -> None:
    candles = frame(A=5.0, B=50.0)
    gone = (candles["symbol"] == "NSE:B") & (candles["ts"].dt.day == 2)
    assert most_traded(candles[~gone], 2) == ("NSE:A",)


def test_the_replayed_days_are_the_last_and_training_stops_before(home: Path) -> None:
    opened = Home.open(home)
    ingest(opened, Request(source="sample", dataset="demo"), lambda _: None)
    replay = choose(opened, "demo", days=5, symbols_max=8)
    assert replay.symbols == ("NSE:AAPL", "NSE:GOOG", "NSE:IBM", "NSE:MSFT")
    assert (replay.first, replay.last) == (date(2013, 2, 25), date(2013, 3, 1))
    assert replay.trained_through == date(2013, 2, 22)
    candles = pd.read_parquet(replay.candles)
    assert candles["ts"].max().date() == replay.last
    assert candles["ts"].min().date() < replay.first


def test_too_few_sessions_to_learn_from_are_refused(home: Path) -> None:
    opened = Home.open(home)
    ingest(opened, Request(source="sample", dataset="demo", first=date(2013, 2, 1)), lambda _: None)
    with pytest.raises(SettingRefused, match="at least 41"):
        choose(opened, "demo", days=20, symbols_max=8)
