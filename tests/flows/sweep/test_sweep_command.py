"""`ratchet sweep` from outside: results, resuming after a kill, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from flows.data.frame import ts_ms
from flows.data.store import CandleStore
from flows.home import Home
from tests.flows.data.candles import facts
from tests.flows.sweep.prices import GRID, walk_frame

ROOT = Path(__file__).resolve().parents[3]
SYMBOLS = ("AAA", "BBB", "CCC")
WIDE = 40  # symbols of a sweep that is hit under way: too many to be done before the signal comes


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flows", "sweep", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONSAFEPATH": "", "TMPDIR": "", "COLUMNS": "200"}


def sweep(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
        env=environment(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of minute candles a symbol, one of day candles, and the grid."""
    folder = tmp_path_factory.mktemp("market")
    for seed, symbol in enumerate(SYMBOLS):
        walk_frame(f"NSE:{symbol}", bars=90, seed=seed).to_parquet(folder / f"{symbol}.parquet")
    walk_frame("NSE:DDD", bars=1).to_parquet(folder / "days.parquet")
    (folder / "grid.toml").write_text(GRID)
    (folder / "ticks.csv").write_text("ts,price,symbol\n")
    return folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    for seed in range(WIDE):
        frame = walk_frame(f"NSE:S{seed:02}", bars=90, seed=seed)
        frame.to_parquet(folder / f"S{seed:02}.parquet")
    (folder / "grid.toml").write_text(GRID)
    return folder


def over(market: Path, home: Path, *more: str) -> list[str]:
    return [
        "--grid", str(market / "grid.toml"), "--data", str(market / "*.parquet"), "--home",
        str(home), "--jobs", "1", "--every", "15", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def done(market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    run = sweep(*over(market, home, "--json"))
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout) | {"stderr": run.stderr, "home": str(home)}


def test_the_document_says_what_was_tried_and_what_it_is_worth(done: dict[str, Any]) -> None:
    assert (done["policies"], done["trials"], done["symbols"]) == (4, 4, 3)
    assert done["days"] == 12
    assert done["simulated_path"] is False
    assert done["verdict"] in {"loses", "luck", "more than luck"}
    assert "4 policies" in done["warning"]
    nets = [row["net_rupees"] for row in done["top"]]
    assert nets == sorted(nets, reverse=True)
    for row in done["top"]:
        assert set(row["values"]) == {"stop", "share"}
        assert row["low_a_trade"] == row["net_a_trade"] <= row["high_a_trade"]
        assert row["ambiguous"] > 0
        assert row["net_a_trade"] == pytest.approx(
            row["gross_a_trade"] - row["charges_a_trade"] - row["slippage_a_trade"], abs=0.001
        )


def test_files_of_another_interval_are_told_and_left_out(done: dict[str, Any]) -> None:
    assert "days.parquet" in done["stderr"]
    assert "minute" in done["stderr"]


def test_the_results_hold_every_policy_symbol_and_side(done: dict[str, Any]) -> None:
    table = pq.read_table(done["results"]).to_pandas()
    assert len(table) == 4 * 3 * 2
    assert set(table["side"]) == {"LONG", "SHORT"}
    assert set(table["stop"]) == {"0.4%", "0.8%"}
    assert table["net_paise"].sum() == pytest.approx(
        sum(row["net_rupees"] for row in done["top"]) * 100
    )


def test_the_heat_map_is_one_page_without_a_request(done: dict[str, Any]) -> None:
    page = Path(done["map"]).read_text()
    assert page.count("<rect") == 4
    assert "http" not in page
    assert "<script" not in page
    assert done["warning"].split(":")[0] in page


def test_the_same_sweep_again_does_nothing_and_says_the_same(
    market: Path, done: dict[str, Any]
) -> None:
    again = sweep(*over(market, Path(done["home"])))
    assert again.returncode == 0
    assert "3/3 parts are there from before" in again.stderr
    assert done["warning"] in again.stdout
    assert "band" in again.stdout
    assert "4 trials on these data so far" in again.stdout


def test_another_grid_is_another_run_and_its_trials_add_up(
    market: Path, done: dict[str, Any], tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(GRID.replace('"0.8%"]', '"0.8%", "1%"]'))
    arguments = over(market, Path(done["home"]), "--json")
    arguments[1] = str(other)
    run = sweep(*arguments)
    told = json.loads(run.stdout)
    assert told["run"] != done["run"]
    assert (told["policies"], told["trials"]) == (6, 6)  # four of the six were tried before


def test_a_killed_sweep_goes_on_where_it_was(wide: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    running = subprocess.Popen(
        command(*over(wide, home, "--json")), cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    assert running.stderr is not None
    for line in running.stderr:
        if f"/{WIDE} parts" in line:
            break
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stderr.close()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    found = [p for p in home.glob("sweeps/*/parts/*.parquet") if "days" not in p.name]
    parts = {path: path.stat().st_mtime_ns for path in found}
    assert 1 <= len(parts) < WIDE
    run = sweep(*over(wide, home, "--json"))
    assert f"{len(parts)}/{WIDE} parts are there from before" in run.stderr
    assert list((home / "tmp").glob("sweep-*")) == []  # nor is anything left of the killed one
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    told = json.loads(run.stdout)
    whole = json.loads(sweep(*over(wide, tmp_path / "whole", "--json")).stdout)
    assert told["run"] == whole["run"]
    assert told["top"] == whole["top"]


def test_an_interrupted_sweep_ends_at_once_and_with_three(wide: Path, tmp_path: Path) -> None:
    running = subprocess.Popen(
        command(*over(wide, tmp_path / "home")), cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True,
    )  # fmt: skip
    assert running.stderr is not None
    for line in running.stderr:
        if f"/{WIDE} parts" in line:
            break
    os.killpg(running.pid, signal.SIGINT)
    told = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=120) == 3
    assert "interrupted" in told
    assert "Traceback" not in told
    (folder,) = (tmp_path / "home" / "sweeps").iterdir()
    assert not (folder / "work").exists()


def test_entries_that_fit_no_policy_are_told_as_no_trade(market: Path, tmp_path: Path) -> None:
    tight = tmp_path / "tight.toml"
    tight.write_text('mode = "percent"\nstop = ["0.001%", "0.002%"]\nshare = 0.5\n')
    arguments = over(market, tmp_path / "home", "--symbols", "AAA", "--json")
    arguments[1] = str(tight)
    run = sweep(*arguments)
    told = json.loads(run.stdout)
    assert "2 policies fit at no entry" in run.stderr
    assert "0.001%" in run.stderr.partition("the first: ")[2]
    assert told["verdict"] == "no trade"
    assert "a stop under two ticks" in told["warning"]
    assert told["symbols_without_trades"] == ["NSE:AAA"]


def test_what_a_worker_refuses_is_told_by_its_name(market: Path, tmp_path: Path) -> None:
    run = sweep(*over(market, tmp_path / "home", "--notional", "999999999999"))
    assert run.returncode == 2
    assert "NSE:AAA: --notional" in run.stderr
    assert "at most Rs 100,000,000 a trade" in run.stderr


def test_a_simulated_path_says_so_on_every_output(market: Path, tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    with CandleStore(home).writing("drawn") as writer:
        frame = walk_frame("NSE:AAA", bars=60)
        parts = writer.put(frame, "minute")
        made = facts(interval="minute", simulated_path=True)
        writer.commit(made, parts, sessions=[], quality={})
    grid = str(market / "grid.toml")
    run = sweep("--grid", grid, "--home", str(home.root), "--jobs", "1")
    assert run.returncode == 0, run.stderr
    assert "SIMULATED PATH" in run.stdout
    assert "SIMULATED PATH" in run.stderr
    (folder,) = (home.root / "sweeps").iterdir()
    assert "SIMULATED PATH" in (folder / "map.html").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["simulated_path"] is True
    assert summary["warning"].startswith("SIMULATED PATH")
    assert pq.read_table(folder / "results.parquet")["simulated_path"].to_pylist()[0] is True


def test_ticks_are_swept_without_an_unsure_exit(market: Path, tmp_path: Path) -> None:
    frame = walk_frame("NSE:AAA", bars=300)
    ticks = pd.DataFrame({"ts": ts_ms(frame), "price": frame["close"]})
    ticks.to_csv(tmp_path / "AAA.csv", index=False)
    signals = tmp_path / "signals.csv"
    stamps = ts_ms(frame)[100:2000:100]
    rows = [f"{ms},NSE:AAA,{'LONG' if n % 2 else 'SHORT'}" for n, ms in enumerate(stamps)]
    signals.write_text("ts,symbol,side\n" + "\n".join(rows) + "\n")
    run = sweep(
        "--grid", str(market / "grid.toml"), "--data", str(tmp_path / "AAA.csv"), "--signals",
        str(signals), "--home", str(tmp_path / "home"), "--jobs", "1", "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["interval"] == "tick"
    assert told["top"][0]["trades"] > 5
    assert {row["ambiguous"] for row in told["top"]} == {0}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--data", "no-such-folder/*.parquet"], "no file matches"),
        (["--dataset", "x", "--data", "y"], "--dataset, --data"),
        (["--dataset", "no-such"], "no-such"),
        (["--side", "up"], "--side"),
        (["--map", "stop,no_such"], "--map"),
        (["--entry-from", "25:00"], "--entry-from"),
        (["--tick-size", "none"], "--tick-size"),
        (["--symbols", "NSE:ZZZ", "--data", "{market}/*.parquet"], "NSE:ZZZ"),
        (["--interval", "5minute", "--data", "{market}/*.parquet"], "5minute"),
        (["--data", "{market}/ticks*.csv"], "without a row"),
        (["--data", "{market}/[At]*.*"], "one kind a run"),
    ],
)
def test_what_cannot_be_swept_is_refused_by_name(
    market: Path,
    home: Path,
    arguments: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [part.replace("{market}", str(market)) for part in arguments]
    grid = str(market / "grid.toml")
    monkeypatch.setattr(
        sys, "argv", ["ratchet", "sweep", "--grid", grid, "--home", str(home), *given]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
