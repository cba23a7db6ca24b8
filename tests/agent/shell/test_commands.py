"""The verbs as a person types them: one JSON document, or one sentence where nothing runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.core import commands as cmd
from agent.core import events as ev
from agent.shell.control import Control
from agent.shell.inbox import Item, Word
from agent.shell.journal import Journal
from agent.shell.views import positions_of, status_of
from tests.agent.orders.bench import KEY, Bench


@pytest.fixture
def running(home: Path) -> Iterator[SimpleQueue[Item]]:
    """Return the inbox of something that answers as a running agent does."""
    bench = Bench()
    bench.opened("SELL")
    bench.take(ev.GuardRaised(bench.now, "clock", "this clock is 9 s off"))
    inbox: SimpleQueue[Item] = SimpleQueue()
    reads = {"status": lambda: status_of(bench.desk), "positions": lambda: positions_of(bench.desk)}
    control = Control(home, 0, inbox, reads)
    yield inbox
    control.stop()


def said(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_status_and_positions(running: SimpleQueue[Item], home: Path) -> None:
    status = said("status", "--home", str(home), "--json")
    assert status["mode"] == "NO_NEW"
    assert status["guards"]["clock"]["words"] == "this clock is 9 s off"
    assert status["open_trades"] == 1
    (position,) = said("positions", "--home", str(home), "--json")["positions"]
    assert (position["key"], position["side"], position["open"]) == (KEY, "SHORT", 300)
    assert position["stop"] > position["entry"] > position["target"]
    assert position["placed_stop"] == position["stop"]
    for verb in ("status", "positions"):
        shown = CliRunner().invoke(app, [verb, "--home", str(home)])
        assert shown.exit_code == 0
        assert "NO_NEW" in shown.stdout or KEY in shown.stdout


@pytest.mark.parametrize("verb", ["halt", "resume", "flatten"])
def test_a_word_reaches_the_loop(running: SimpleQueue[Item], home: Path, verb: str) -> None:
    assert said(verb, "--home", str(home), "--json") == {"asked": verb}
    assert running.get(timeout=5) == Word(verb, "operator")


def test_trades_and_refusals(home: Path) -> None:
    journal, bench = Journal(home), Bench()
    before = bench.desk
    bench.opened()
    refused = cmd.Note("refused", KEY, "LONG refused: spread", 0, {"reason": "spread"})
    journal.write(before, bench.desk, [], [*bench.out, refused])
    journal.close()
    (trade,) = said("trades", "--home", str(home), "--json")["trades"]
    assert (trade["key"], trade["side"], trade["shares"]) == (KEY, "LONG", 300)
    (row,) = said("trades", "--home", str(home), "--refused", "--json")["refused"]
    assert row["words"] == "LONG refused: spread"
    assert KEY in CliRunner().invoke(app, ["trades", "--home", str(home)]).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status",), "ratchet-agent run"),
        (("trades",), "journal"),
        (("trades", "--day", "yesterday"), "YYYY-MM-DD"),
        (("login", "--request-token", "x"), "KITE_API_KEY"),
        (("run",), "--live"),
        (("run", "--clock", "sundial"), "system or exchange"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_two(
    home: Path, words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KITE_API_KEY", "KITE_API_SECRET", "RATCHET_AGENT__BROKER__REST_URL"):
        monkeypatch.delenv(name, raising=False)
    verb, *rest = words
    done = subprocess.run(
        [sys.executable, "-m", "agent", verb, "--home", str(home), *rest],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert "Traceback" not in done.stderr
