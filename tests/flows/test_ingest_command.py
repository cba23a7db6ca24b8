"""`ratchet ingest` from outside: exit status, stdout, stderr, what is in the store afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent.errors import Refused, SettingRefused
from flows.data.frame import PRICES
from flows.data.intake import ingest
from flows.data.sources import Request
from flows.data.store import CandleStore
from flows.home import Home
from tests.flows.data.candles import day_frame, minute_frame

DAYS = [date(2021, 5, 10), date(2021, 5, 11), date(2021, 5, 12)]
ROOT = Path(__file__).resolve().parents[2]


def ratchet(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=False, env=os.environ | {"PYTHONSAFEPATH": "", "TMPDIR": ""},
    )  # fmt: skip


@pytest.fixture
def store_home(home: Path) -> Home:
    home.mkdir()
    return Home(home)


def run(home: Home, source: str, **options: Any) -> dict[str, Any]:
    return ingest(home, Request(source, **options), lambda _line: None)


def test_the_program_prints_one_document_and_progress_beside_it(home: Path) -> None:
    ended = ratchet("ingest", "--source", "sample", "--home", str(home), "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["dataset"] == document["source"] == "sample"
    assert (document["interval"], document["candles"]) == ("day", 11958)
    assert document["symbols"] == ["NSE:AAPL", "NSE:GOOG", "NSE:IBM", "NSE:MSFT"]
    assert document["first"].startswith("2000-03-01")
    assert document["last"].startswith("2013-03-01")
    assert document["simulated_path"] is False
    assert [skip["name"] for skip in document["skipped"]] == ["NSE:FB"]
    totals = document["quality"]["totals"]
    assert (totals["bad"], totals["duplicates"], totals["jumps"]) == (0, 0, 1)
    assert totals["missing_days"] == 0
    assert document["quality"]["sessions_unknown_to_nse"] > 100
    assert "4/4 symbols" in ended.stderr
    assert not list((home / "tmp").iterdir())


STATUS = [
    ("no login", ["--source", "kite"], 1, "blocked: log in"),
    ("unknown source", ["--source", "oracle"], 2, "expected sample, synthetic"),
    ("no file", ["--source", "csv:/nowhere/*.csv"], 2, "no file matches"),
]


@pytest.mark.parametrize(
    ("case", "arguments", "status", "told"), STATUS, ids=[r[0] for r in STATUS]
)
def test_what_cannot_be_done_ends_with_its_status_and_one_line(
    home: Path, case: str, arguments: list[str], status: int, told: str
) -> None:
    ended = ratchet("ingest", *arguments, "--home", str(home), "--json")
    assert (ended.returncode, ended.stdout) == (status, "")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_again_is_the_same_dataset_unchanged(store_home: Home) -> None:
    first = run(store_home, "synthetic", symbols=2, days=10)
    again = run(store_home, "synthetic", symbols=2, days=10)
    other = run(store_home, "synthetic", symbols=2, days=10, seed=1)
    assert (first["unchanged"], again["unchanged"], other["unchanged"]) == (False, True, False)
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]


def test_a_window_of_dates_is_inclusive_at_both_ends(store_home: Home) -> None:
    window = {"first": date(2013, 2, 1), "last": date(2013, 2, 28)}
    document = run(store_home, "sample", dataset="feb", **window)
    assert document["first"].startswith("2013-02-01")
    assert document["last"].startswith("2013-02-28")
    assert len(CandleStore(store_home).manifest("feb").sessions) == document["sessions"] == 19
    with pytest.raises(SettingRefused, match="--first"):
        run(store_home, "sample", first=date(2013, 3, 1), last=date(2013, 2, 1))
    with pytest.raises(SettingRefused, match="no candle"):
        run(store_home, "sample", dataset="none", first=date(2020, 1, 1))


def _planted(folder: Path) -> str:
    """Return a source with, in two symbols, each kind of thing that is worth telling."""
    good = day_frame("GOOD", DAYS)
    bad = day_frame("BAD", DAYS)
    bad.loc[1, "high"] = 1.0
    bad = bad.drop(index=2)
    repeated = pd.concat([good, good.iloc[:1]], ignore_index=True)
    folder.mkdir()
    repeated.to_parquet(folder / "good.parquet")
    bad.to_parquet(folder / "bad.parquet")
    return f"parquet:{folder}/*.parquet"


def test_a_bad_candle_refuses_the_ingest_and_leaves_the_dataset_as_it_was(
    store_home: Home, tmp_path: Path
) -> None:
    before = run(store_home, "synthetic", symbols=1, days=5, dataset="mine")
    with pytest.raises(SettingRefused) as caught:
        run(store_home, _planted(tmp_path / "in"), dataset="mine")
    told = str(caught.value)
    assert "NSE:BAD" in told
    assert "2021-05-11" in told
    assert "high is below another price" in told
    assert "--drop-bad" in told
    assert CandleStore(store_home).manifest("mine").fingerprint == before["fingerprint"]


def test_bad_candles_are_dropped_only_when_asked_and_counted(
    store_home: Home, tmp_path: Path
) -> None:
    document = run(store_home, _planted(tmp_path / "in"), dataset="mine", drop_bad=True)
    quality = document["quality"]
    assert (quality["bad_dropped"], quality["totals"]["duplicates"]) == (1, 1)
    assert [candle["symbol"] for candle in quality["bad_candles"]] == ["NSE:BAD"]
    assert quality["symbols"]["NSE:BAD"]["candles"] == 1
    read = CandleStore(store_home).read("mine")
    assert len(read) == document["candles"] == 4
    assert (read[list(PRICES)] > 50).all().all()


def test_gaps_are_in_the_report(store_home: Home, tmp_path: Path) -> None:
    whole, hole = minute_frame("A", DAYS, 10), minute_frame("B", DAYS, 10)
    both = pd.concat([whole, hole.drop([3, 4, *range(10, 20)])], ignore_index=True)
    both.to_csv(tmp_path / "both.csv", index=False)
    document = run(store_home, f"csv:{tmp_path}/both.csv")
    assert document["dataset"] == "both"
    of_b = document["quality"]["symbols"]["NSE:B"]
    assert (of_b["missing_days"], of_b["missing_candles"]) == (1, 2)
    assert document["quality"]["nse_sessions_absent"] == 0


def test_a_universe_narrows_a_source_and_a_stranger_in_it_is_named(store_home: Home) -> None:
    document = run(store_home, "sample", universe=("IBM", "NSE:MSFT", "NSE:FB"))
    assert document["symbols"] == ["NSE:IBM", "NSE:MSFT"]
    with pytest.raises(SettingRefused, match="found NSE:TCS"):
        run(store_home, "sample", universe=("NSE:TCS",))


def test_candles_of_the_broker_are_not_replaced_by_others(store_home: Home) -> None:
    document = run(store_home, "synthetic", symbols=1, days=5, dataset="live")
    manifest = store_home.candles / "live" / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"source": "synthetic"', '"source": "kite"'))
    with pytest.raises(Refused, match="choose another --dataset"):
        run(store_home, "sample", dataset="live")
    assert CandleStore(store_home).manifest("live").fingerprint == document["fingerprint"]


FILES = [
    ("nse_1min_2014-12_2015-10.parquet", "minute", 812_671, 12),
    ("nse_60min_2024-12_2025-10.parquet", "60minute", 75_312, 48),
    ("nse_day_2020-07_2026-01.parquet", "day", 65_616, 48),
    ("nse_5min_RELIANCE_2025-08_2025-12.parquet", "5minute", 5_112, 1),
    ("nse_index_1min_2020-01_2021-01.parquet", "minute", 195_476, 2),
]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "interval", "candles", "symbols"), FILES)
def test_real_files_come_in_whole(
    store_home: Home, shared_data: Path, name: str, interval: str, candles: int, symbols: int
) -> None:
    document = run(store_home, f"parquet:{shared_data / name}")
    assert (document["interval"], document["candles"]) == (interval, candles)
    assert len(document["symbols"]) == symbols
    totals = document["quality"]["totals"]
    assert (totals["bad"], totals["duplicates"], totals["outside_session"]) == (0, 0, 0)
    assert document["skipped"] == []


@pytest.mark.shared
def test_a_folder_of_many_kinds_takes_one_interval_and_names_the_rest(
    store_home: Home, shared_data: Path
) -> None:
    document = run(store_home, f"parquet:{shared_data}/*.parquet", interval="day")
    assert document["candles"] == 65_616
    reasons = {Path(s["name"]).name: s["reason"] for s in document["skipped"]}
    assert sum("ticks" in reason for reason in reasons.values()) == 4
    assert "60minute candles" in reasons["nse_60min_2024-12_2025-10.parquet"]
    with pytest.raises(SettingRefused, match="an instrument dump"):
        run(store_home, f"csv:{shared_data}/*.csv.gz")
