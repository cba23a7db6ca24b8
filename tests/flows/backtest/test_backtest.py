"""`ratchet backtest` over a small store: a file's signals, a version's, and honest words."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.backtest.results import DRAWN
from agent.errors import SettingRefused
from agent.market.instruments import Side
from flows.backtest.ask import Asked, backtest
from flows.backtest.report import NO_TRADE, SIMULATED, report
from flows.backtest.signals import rows_of_file
from flows.data.intake import ingest
from flows.data.sources import Request
from flows.data.store import MANIFEST, CandleStore
from flows.home import Home
from flows.model import Recipe, preset
from flows.training import TrainSettings, train_model
from flows.trials import Trials
from flows.validation.walk import Entries

QUICK = Recipe({**preset("champion").params, "min_data_in_leaf": 20}, 5, 20, 5)


def quiet(_line: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("backtest"))
    home.tmp.mkdir()
    request = Request("synthetic", dataset="small", interval="day", symbols=2, days=300, seed=3)
    ingest(home, request, quiet)
    return home


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def signals(opened: Home) -> str:
    """A signal a symbol at the closes of the last days but one."""
    frame = CandleStore(opened).read("small")
    days = np.unique(frame["ts"].dt.date)[-4:-1]
    rows = [
        f"{day}T15:30:00+05:30,{symbol},{side}"
        for day in days
        for symbol, side in zip(sorted(set(frame["symbol"])), ("LONG", "SHORT"), strict=True)
    ]
    return "\n".join(["ts,symbol,side", *rows]) + "\n"


def of_file(home: Home, text: str, **changed: Any) -> dict[str, Any]:
    return backtest(home, Asked("small", signals=(text, "signals.csv"), **changed), quiet)


def test_a_files_signals_are_traded_on_the_next_days(opened: Home, signals: str) -> None:
    seen: list[int] = []
    asked = Asked("small", signals=(signals, "signals.csv"))
    document = backtest(opened, asked, quiet, lambda done, of, on: seen.append(of - done))
    trades = document["trades"]
    assert document["signals"] == 6
    assert 4 <= len(trades) <= 6
    assert seen == [2, 1, 0]
    assert {trade["side"] for trade in trades} == {"LONG", "SHORT"}
    assert document["sides"]["LONG"]["trades"] + document["sides"]["SHORT"]["trades"] == len(trades)
    assert document["net"] == pytest.approx(sum(trade["net"] for trade in trades), abs=0.005)
    assert document["charges"] > 0
    assert document["unprotected_ms_max"] <= 240
    # a handful of trades is too short a record, and that is what is said
    assert document["verdict"] == "insufficient"
    assert "are needed to judge it" in document["words"]
    assert document["figures"]["trials"] == 1
    json.dumps(document, allow_nan=False)
    # entries leave from 09:20 on, on a later day than the candle's
    for trade in trades:
        assert (trade["entry_ms"] / 60_000 + 330) % 1440 >= 9 * 60 + 20
        assert trade["entry_ms"] > trade["signal_ms"]


def test_drawn_prices_are_named_and_judged_by_no_gate(opened: Home, signals: str) -> None:
    header, *rows = signals.splitlines()
    one = "\n".join([header, rows[-1]])
    document = of_file(opened, one, path=DRAWN)
    assert (document["verdict"], document["words"]) == ("refused", SIMULATED)
    assert document["simulated_path"]
    path = CandleStore(opened).folder("small") / MANIFEST
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | {"simulated_path": True}))
    try:
        document = of_file(opened, one)
    finally:
        path.write_text(before)
    assert (document["verdict"], document["simulated_path"]) == ("refused", True)


def test_a_version_is_asked_after_its_training_and_trades_by_its_own_policy(opened: Home) -> None:
    settings = TrainSettings(
        "small", "mine", recipe=QUICK, folds=2, last=date(2025, 11, 28),
        entries=Entries("top_share", 0.3),
    )  # fmt: skip
    train_model(opened, settings, quiet)
    document = backtest(opened, Asked("small", "mine", last=date(2025, 12, 3)), quiet)
    assert document["version"] == 1
    assert document["first"] > "2025-11-28"
    assert document["in_sample"] is None
    assert {trade["version"] for trade in document["trades"]} == {"1"}
    assert document["figures"]["trials"] >= 1
    again = Asked("small", "mine", first=date(2025, 11, 28), last=date(2025, 11, 28))
    assert "proves nothing" in backtest(opened, again, quiet)["in_sample"]
    with pytest.raises(SettingRefused, match="last training day"):
        backtest(opened, Asked("small", "mine", last=date(2025, 11, 20)), quiet)


def test_what_cannot_be_run_is_one_clear_error(opened: Home, signals: str) -> None:
    for changed, said in (
        ({"symbols": ("NSE:NONE",)}, "--symbols"),
        ({"first": date(2025, 12, 2), "last": date(2025, 12, 1)}, "first before last"),
        ({"policy": "mode = 'percent'\nstop = 'x'\n"}, "policy: share"),
    ):
        with pytest.raises(SettingRefused, match=said):
            of_file(opened, signals, **changed)
    with pytest.raises(SettingRefused, match="choose one of those"):
        backtest(opened, Asked("small", "nobody"), quiet)
    with pytest.raises(SettingRefused, match="line 2"):
        rows_of_file("ts,symbol,side\n2025-12-01,INFY,UP\n", "signals.csv")


def test_rows_of_a_file_are_opinions() -> None:
    text = "ts,symbol,side\n2025-12-01T10:00:00+05:30,INFY,BUY\n"
    assert [(row.key, row.side) for row in rows_of_file(text, "x")] == [("NSE:INFY", Side.LONG)]


def test_no_trade_says_nothing_of_an_edge(opened: Home) -> None:
    text = "ts,symbol,side\n2031-12-01T10:00:00+05:30,NSE:NONE,BUY\n"
    document = of_file(opened, text)
    assert (document["verdict"], document["words"]) == ("insufficient", NO_TRADE)
    assert document["trades"] == []


def test_a_result_without_an_edge_is_called_that(tmp_path: Path) -> None:
    from tests.flows.backtest.losing import losing

    result, days = losing()
    document = report(result, days, trials=Trials(3, 0.01), seed=1, simulated=False)
    assert document["verdict"] == "failed"
    assert document["words"].startswith("earns no more than staying flat: ")
    assert document["figures"]["trials"] == 3
    assert document["sides"]["LONG"]["hit_rate"] < 0.5
