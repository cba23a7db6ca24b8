"""docs/backtest.md is run: its commands, its names; its Python is the package's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import agent.backtest
from agent.backtest.reconcile import SAME
from agent.backtest.results import PATHS_TOLD, RECORDED
from tests.agent.backtest.test_reconcile import CAUSES

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "backtest.md"


def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = []
    for block in re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            run = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=200,
                check=False, env=os.environ | {"PATH": path, "TMPDIR": ""},
            )  # fmt: skip
            assert run.returncode == 0, run.stderr
            said.append(run.stdout)
    assert len(said) == 4
    assert "1 signals of signals.csv" in said[2]
    assert "LONG" in said[2]
    assert "verdict insufficient: " in said[2]
    document = json.loads(said[3])
    assert document["verdict"] == "refused"
    assert document["sides"]["LONG"]["trades"] == 1


def test_every_path_and_cause_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in PATHS_TOLD if name != RECORDED and f"`{name}`" not in page] == []
    assert [cause for cause in CAUSES if cause != SAME and f"`{cause}`" not in page] == []


def test_the_python_of_the_page_is_there() -> None:
    (line,) = re.findall(r"^from agent\.backtest import (.*)$", PAGE.read_text(), re.MULTILINE)
    assert {name.strip() for name in line.split(",")} == set(agent.backtest.__all__)
