"""All logs in one view: prefixed, rotated, and never a reason to wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.stack import logs
from flows.stack.logs import Followed, Logs, Terminal


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_only_what_is_new_is_shown_line_by_line_with_its_part(tmp_path: Path) -> None:
    shown: list[tuple[str, str]] = []
    append(tmp_path / "one.log", "old\n")
    view = Logs(tmp_path, lambda name, line: shown.append((name, line)))
    view.follow("one")
    view.follow("two")  # its file does not exist yet

    append(tmp_path / "one.log", "a\n\nhalf")
    view.look()
    append(tmp_path / "one.log", " a line\n")
    append(tmp_path / "two.log", "b\n")
    view.look()

    assert shown == [("one", "a"), ("one", "half a line"), ("two", "b")]
    assert view.last_line("one") == "half a line"


def test_a_large_file_is_rotated_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "ROTATE_BYTES", 1_000)
    path = tmp_path / "part.log"
    file = Followed("part", path)
    written = [f"line {n} {'x' * 90}" for n in range(70)]
    seen: list[str] = []
    for line in written:
        append(path, line + "\n")
        seen += file.new_lines()

    kept = sorted(tmp_path.glob("part.log*"))
    assert seen == written
    assert [p.name for p in kept] == ["part.log", *(f"part.log.{n}" for n in range(1, 6))]
    together = "".join(p.read_text() for p in [*reversed(kept[1:]), kept[0]]).splitlines()
    assert together == written[-len(together) :]
    assert max(p.stat().st_size for p in kept) <= 1_100


def test_a_line_without_an_end_takes_bounded_memory(tmp_path: Path) -> None:
    file = Followed("part", tmp_path / "part.log")
    append(tmp_path / "part.log", "x" * 100_000)
    assert [len(line) for line in file.new_lines()] == [logs.LINE_MAX]


def test_a_terminal_that_nobody_reads_drops_and_says_how_many(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "WAITING_LINES_MAX", 5)
    terminal = Terminal(colour=False)
    for n in range(9):
        terminal.show("part", f"line {n}")  # not started: nobody reads
    assert terminal.dropped == 4
    while not terminal.waiting.empty():
        terminal.waiting.get_nowait()
    terminal.start()
    terminal.show("part", "again")
    terminal.close()
    told = capsys.readouterr().err
    assert "(4 lines not shown here; they are in the files)" in told
    assert "part       | again" in told
