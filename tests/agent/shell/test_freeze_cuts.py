"""An entry that the freeze quantity has cut: one order, its words in the journal, in the status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.core import commands as cmd
from agent.errors import EnvironmentRefused, SettingRefused
from agent.market.instruments import Instrument
from agent.shell.control import Control
from agent.shell.history import read_freeze_cuts
from agent.shell.inbox import Item
from agent.shell.journal import Journal
from agent.shell.run import Options, run, status_with_cuts
from agent.shell.settings import AgentSettings, freezes_of, rules_of, slices_note
from tests.agent.orders.bench import INSTRUMENT, KEY, Bench

DAY = "2025-11-03"


def entered(home: Path, freeze: int | None) -> Bench:
    """Let a signal enter an instrument with a freeze quantity, and write it down."""
    return signalled(home, replace(INSTRUMENT, freeze_quantity=freeze))


def signalled(home: Path, instrument: Instrument) -> Bench:
    """Let the model speak for an instrument; keep what came of it in a journal."""
    bench = Bench()
    before = bench.desk = replace(bench.desk, instruments={KEY: instrument})
    said = len(bench.out)
    with suppress(ValueError):  # of a bench without a trade: nothing was entered
        bench.enter()
    journal = Journal(home)
    journal.write(before, bench.desk, [], bench.out[said:])
    journal.close()
    return bench


def place_of(bench: Bench) -> cmd.Place:
    (place,) = [command for command in bench.out if isinstance(command, cmd.Place)]
    return place


@pytest.fixture
def asked(home: Path) -> Iterator[dict[str, Any]]:
    """Return what the status of an agent that has cut an entry is, while it can be asked."""
    bench = entered(home, 120)
    document: dict[str, Any] = status_with_cuts(home, bench.desk)
    control = Control(home, 0, SimpleQueue[Item](), {"status": lambda: document})
    yield document
    control.stop()


def test_one_order_of_the_freeze_quantity_leaves_and_that_much_is_reserved(home: Path) -> None:
    bench = entered(home, 120)
    assert place_of(bench).terms.quantity == 120
    assert bench.desk.money is not None
    assert [e.quantity for e in bench.desk.money.reserves.values()] == [120]


def test_what_stays_out_is_in_the_journal_in_words(home: Path) -> None:
    whole = place_of(entered(home / "whole", None)).terms.quantity
    entered(home, 120)
    (cut,) = read_freeze_cuts(home, DAY, 9)
    assert cut["key"] == KEY
    assert cut["words"].startswith(f"LONG 120 {KEY} at ")
    stay = f"{whole - 120} of {whole} shares stay out: an order carries at most the exchange's"
    assert stay in cut["words"]
    assert read_freeze_cuts(home, "2025-11-04", 9) == []


def test_a_freeze_quantity_under_a_lot_is_refused_in_the_same_places(home: Path) -> None:
    bench = signalled(home, replace(INSTRUMENT, lot_size=50, freeze_quantity=49))
    assert not [command for command in bench.out if isinstance(command, cmd.Place)]
    (cut,) = status_with_cuts(home, bench.desk)["freeze_cuts"]
    refused = "LONG refused: freeze: the exchange's freeze quantity, the most that an order carries"
    assert cut["words"].startswith(refused)


@pytest.mark.parametrize("freeze", [None, 100_000])
def test_an_entry_that_is_whole_is_no_cut(home: Path, freeze: int | None) -> None:
    bench = entered(home, freeze)
    assert status_with_cuts(home, bench.desk)["freeze_cuts"] == []


def test_the_status_tells_it_to_scripts_and_to_people(asked: dict[str, Any], home: Path) -> None:
    (cut,) = asked["freeze_cuts"]
    shown = CliRunner().invoke(app, ["status", "--home", str(home), "--json"])
    assert json.loads(shown.stdout)["freeze_cuts"] == [cut]
    shown = CliRunner().invoke(app, ["status", "--home", str(home)])
    assert f"cut to the freeze quantity: {KEY} {cut['words']}" in shown.stdout


def test_a_journal_that_cannot_be_read_leaves_the_rest_of_the_status(home: Path) -> None:
    bench = Bench()
    document = status_with_cuts(home, bench.desk)  # of a home without one
    assert (document["freeze_cuts"], document["mode"]) == (None, "NORMAL")
    control = Control(home, 0, SimpleQueue[Item](), {"status": lambda: document})
    shown = CliRunner().invoke(app, ["status", "--home", str(home)])
    control.stop()
    assert "entries cut to the freeze quantity are not known" in shown.stdout


def test_more_slices_than_one_are_not_sent_and_the_start_says_so() -> None:
    settings = AgentSettings(sizing={"slices": 3})  # type: ignore[arg-type]
    assert rules_of(settings, instance="abcd", live=False).money.sizing.slices == 1
    note = slices_note(settings)
    assert note is not None
    assert "agent.sizing.slices is 3: the agent enters one order a signal" in note
    assert slices_note(AgentSettings()) is None


def test_the_list_of_the_settings_is_read(tmp_path: Path) -> None:
    assert freezes_of(AgentSettings()) == {}
    path = tmp_path / "freeze.csv"
    path.write_text("symbol,freeze_quantity\nAAA,120\n")
    market = {"freeze_file": path}
    assert freezes_of(AgentSettings(market=market)) == {KEY: 120}  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [None, "symbol,shares\nAAA,1\n"])
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "freeze.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingRefused, match="freeze_file" if text is None else "freeze_quantity"):
        freezes_of(AgentSettings(market={"freeze_file": path}))  # type: ignore[arg-type]


@pytest.mark.parametrize("slices", [1, 3])
def test_the_start_says_so_on_stderr(
    home: Path, slices: int, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = 'rest_url = "http://127.0.0.1:9"\nticker_url = "ws://127.0.0.1:9"'
    home.mkdir(parents=True, exist_ok=True)
    text = f"[agent.broker]\n{nobody}\n[agent.sizing]\nslices = {slices}\n"
    (home / "ratchet.toml").write_text(text)
    with pytest.raises(EnvironmentRefused):  # nobody is there: what is told comes before
        run(Options(home), {})
    assert ("agent.sizing.slices is 3" in capsys.readouterr().err) is (slices == 3)
