"""`make bench` runs what is there and refuses what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bench(home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.run", *names, "--home", str(home)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unknown_benchmark_names_those_that_there_are(home: Path) -> None:
    told = bench(home, "nonsense")
    assert told.returncode == 2
    assert "nonsense" in told.stderr
    assert "pipeline" in told.stderr
    assert "trailing" in told.stderr


def test_figures_have_one_form(home: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.trailing", "--ticks", "500", "--home", str(home)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    figures = json.loads((home / "bench" / "trailing.json").read_text())
    assert {frozenset(f) for f in figures} == {
        frozenset({"name", "value", "unit", "against", "ratio"})
    }
    compared = [f for f in figures if f["against"]]
    assert compared
    assert all(abs(f["ratio"] - f["value"] / f["against"]) < 0.001 for f in compared)
