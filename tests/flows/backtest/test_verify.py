"""`ratchet sweep --verify`: a real day's sweep, its best policy's trades again by the agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from agent.trailing.bulk.row import SweepRow
from flows.sweep.verify import sample

GRID = 'mode = "percent"\nstop = ["0.4%", "0.8%"]\ntarget = "1%"\nshare = 0.6\n'
DAY = "2021-05-10"
ENTRIES = (("10:05:00", "LONG"), ("11:00:00", "SHORT"), ("12:30:00", "LONG"), ("13:45:00", "SHORT"))


@pytest.mark.shared
def test_a_real_days_winner_is_run_again(tmp_path: Path, shared_data: Path) -> None:
    ticks = pq.read_table(shared_data / f"nse_ticks_1s_{DAY}.parquet")
    pq.write_table(ticks.filter(pc.equal(ticks["symbol"], "INFY")), tmp_path / "infy.parquet")
    rows = [f"{DAY}T{clock}+05:30,NSE:INFY,{side}" for clock, side in ENTRIES]
    (tmp_path / "signals.csv").write_text("\n".join(["ts,symbol,side", *rows]) + "\n")
    (tmp_path / "grid.toml").write_text(GRID)
    command = [
        sys.executable, "-m", "flows", "sweep", "--grid", "grid.toml", "--data", "infy.parquet",
        "--signals", "signals.csv", "--verify", "1", "--jobs", "1", "--home", "home", "--json",
    ]  # fmt: skip
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    verified = json.loads(run.stdout)["verified"]
    assert {again["side"] for again in verified} == {"LONG", "SHORT"}
    for again in verified:
        assert again["run_again"] == again["trades"] == 2
        assert again["same_exit"] == again["within_slippage"] == 2, again["told"]
        assert not again["simulated_path"]
    assert run.stderr.count("again by the agent: NSE:INFY") == 2
    assert "about 4 of 4 trades" in run.stderr


@pytest.mark.parametrize(
    ("rows", "trades", "chosen", "each"),
    [
        (0, 120, [], 120),
        (3, 120, [0, 1, 2], 40),
        (7, 3, [0, 3, 6], 1),
        (104, 120, list(range(104)), 1),
        (5, 1, [0], 1),
    ],
)
def test_a_sample_is_spread_and_bounded(
    rows: int, trades: int, chosen: list[int], each: int
) -> None:
    all_rows = [row_of(number) for number in range(rows)]
    found, a_row = sample(all_rows, trades)
    assert [int(row.symbol) for row in found] == chosen
    assert a_row == each
    assert len(found) * a_row <= trades


def row_of(number: int) -> SweepRow:
    facts: dict[str, object] = {
        field.name: "" if field.type == "str" else 1 for field in fields(SweepRow)
    }
    return SweepRow(**facts | {"symbol": str(number)})  # type: ignore[arg-type]
