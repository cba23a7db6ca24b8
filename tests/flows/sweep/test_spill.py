"""The folder of what memory does not hold: its own process's, and cleared after a killed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.sweep.spill import clear, spill


def test_what_nobody_holds_is_cleared_and_what_is_held_stays(tmp_path: Path) -> None:
    for name in ("sweep-killed", "sweep-older", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text("left")
    (tmp_path / "sweep-killed.lock").touch()
    with spill(tmp_path) as one:
        (one / "part").write_text("mine")
        with spill(tmp_path) as other:
            assert one != other
            clear(tmp_path)
            assert (one / "part").read_text() == "mine"
            assert other.is_dir()
        assert not other.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_it_is_gone_after_a_fault_too(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), spill(tmp_path) as work:
        (work / "absent").read_text()
    assert list(tmp_path.iterdir()) == []
