"""docs/data.md is run: its console blocks print what they say, its Python too."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.data.quality import SymbolQuality
from flows.data.sources import SOURCES

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "data.md"


def test_every_block_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = 0
    for block in re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            run = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                check=False, env=os.environ | {"PATH": path, "TMPDIR": ""},
            )  # fmt: skip
            assert _timeless(run.stdout) == _timeless(wanted), run.stderr
            assert run.returncode == 0, run.stderr
            commands += 1
    assert commands == 6
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, tried) == (0, 8)


def test_every_source_and_every_count_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in SOURCES if f"`{name}`" not in page] == []
    counts = set(SymbolQuality.__dataclass_fields__) - {"candles"}
    assert {name for name in counts if f"`{name}`" not in page} == set()


def _timeless(text: str) -> list[str]:
    return [re.sub(r"\d+\.\d s$", "? s", line) for line in text.splitlines()]
