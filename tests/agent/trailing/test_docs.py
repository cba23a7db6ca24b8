"""docs/trailing.md is run: its console blocks, its Python, its policy file, its table of files."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.trailing.policy import Policy
from agent.trailing.presets import PRESETS

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "trailing.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_console_block_prints_what_it_says(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = 0
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            run = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                check=False, env={**os.environ, "PATH": path},
            )  # fmt: skip
            # stderr may be merged in: its lines come in their own time.
            assert sorted(run.stdout.splitlines()) == sorted(wanted.splitlines()), run.stderr
            assert run.returncode == 0
            commands += 1
    assert commands >= 6


@pytest.mark.shared
def test_a_picture_on_the_page_is_what_its_commands_draw(shared_data, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (block,) = blocks("sh")
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    subprocess.run(
        ["bash", "-ec", block.replace(" DATA ", f" {shared_data} ")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    drawn = (tmp_path / "half_giveback-short.svg").read_text(encoding="utf-8")
    shown = PAGE.parent / "images" / "trailing" / "half_giveback-short.svg"
    assert drawn == shown.read_text(encoding="utf-8")


def test_the_python_on_the_page_runs() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried >= 8
    assert failed == 0


def test_the_policy_on_the_page_is_legal_and_presets_are_named() -> None:
    (text,) = blocks("toml")
    assert Policy.parse(text).planner.modifications == 25
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in PRESETS)


def test_every_file_of_the_room_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    files = {p.name for p in (ROOT / "agent" / "trailing").glob("*.py")} - {"__init__.py"}
    assert {name for name in files if f"`{name}`" not in page} == set()


def test_the_tables_are_filled_and_the_pictures_are_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "_TABLE" not in page
    for picture in re.findall(r"!\[[^]]*\]\(([^)]*)\)", page):
        text = (PAGE.parent / picture).read_text(encoding="utf-8")
        assert text.startswith("<svg")
