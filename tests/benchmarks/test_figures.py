"""One form of every figure, also where it is held against nothing or against 0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.figures import figure, keep


def test_a_table_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = [
        figure("alone", 3.0, "ms"),
        figure("bound", 3.0, "ms", 2.0),
        figure("against 0", 3.0, "requests", 0.0),
    ]
    path = keep("tried", figures, tmp_path)
    assert json.loads(path.read_text()) == figures
    assert [f["ratio"] for f in figures] == [None, 1.5, None]
    told = capsys.readouterr().out
    assert "against 2, x1.5" in told
    assert "3.000 requests  against 0\n" in told
