"""docs/sweep.md is run: its console blocks, its grid, its table of columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np

from agent.trailing.bulk.row import SweepRow
from flows.sweep.grid import read_grid

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL)


def market(folder: Path) -> None:
    """The page's grid, and a file of ticks."""
    (folder / "grid.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (folder / "ticks").mkdir()
    draw = np.random.default_rng(11)
    prices = 20_000 + np.cumsum(draw.integers(-6, 7, 6_000))
    stamps = 1_620_619_200_000 + 2_500 * np.arange(6_000)
    rows = [f"{ts},{price / 20:.2f}" for ts, price in zip(stamps, prices, strict=True)]
    (folder / "ticks" / "AAA.csv").write_text("ts,price\n" + "\n".join(rows) + "\n")


def test_every_console_block_prints_what_it_says(tmp_path: Path) -> None:
    market(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = 0
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            run = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=200,
                check=False, env=os.environ | {"PATH": path, "TMPDIR": ""},
            )  # fmt: skip
            told = run.stdout.replace(f"{tmp_path.resolve()}/", "")
            told = re.sub(r"sessions, [\d.]+ s", "sessions, SECONDS s", told)
            # a run over files is named by where and when they are: any hash of the page will do
            told = re.sub(r"sweeps/\w{16}", "sweeps/HASH", told)
            assert told == re.sub(r"sweeps/\w{16}", "sweeps/HASH", wanted), run.stderr
            assert run.returncode == 0
            commands += 1
    assert commands == 3


def test_the_grid_on_the_page_is_eighteen_policies() -> None:
    assert len(read_grid(blocks("toml")[0]).trials) == 18


def test_every_column_of_the_results_is_on_the_page() -> None:
    named = {field.name for field in fields(SweepRow)} - {"policy_sha256", "symbol", "side"}
    assert {name for name in named if f"`{name}`" not in PAGE} == set()
