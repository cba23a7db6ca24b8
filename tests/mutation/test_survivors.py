"""The list of mutants that may live is about the code as it stands."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("survivors.toml")


def test_every_survivor_is_of_a_line_that_is_there_and_has_its_reason() -> None:
    rows = tomllib.loads(LIST.read_text(encoding="utf-8"))["survivor"]
    assert rows
    for row in rows:
        lines = {line.strip() for line in (ROOT / row["file"]).read_text().splitlines()}
        assert row["line"] in lines, row
        assert row["mutant"] != row["line"]
        assert len(row["why"]) > 10
    names = [(row["file"], row["line"], row["mutant"]) for row in rows]
    assert len(names) == len(set(names))
