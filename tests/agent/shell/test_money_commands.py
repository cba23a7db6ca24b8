"""`trades --csv` and `pnl` over a real journal: while it is written, after a kill, with nothing."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent.cli import app
from agent.core import events as ev
from agent.core.trade import Trade
from agent.errors import SettingRefused
from agent.portfolio.tax_rows import COLUMNS
from agent.shell.history import read_trades
from agent.shell.journal import Journal
from tests.agent.orders.bench import KEY, Bench

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def said(*words: str) -> dict[str, Any]:
    result = run(*words)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


def stopped(bench: Bench, journal: Journal, side: str = "BUY", agent: str = "model") -> Trade:
    """Enter, let the stop fill, and write the trade."""
    before = bench.desk
    bench.opened(side)
    bench.row(bench.exit, "COMPLETE", filled=300)
    trade = replace(bench.trade, pin=replace(bench.trade.pin, agent=agent))
    desk = replace(bench.desk, trades={trade.number: trade})
    journal.write(before, desk, [], [])
    return trade


def rest(bench: Bench, journal: Journal, last: int = 2_010) -> None:
    """Enter, hold, and see one more price; every event is written."""
    before = bench.desk
    bench.opened()
    journal.write(before, bench.desk, [], [])
    before = bench.desk
    told = bench.tick(last)
    event = ev.TickSeen(bench.now, KEY, bench.desk.sights[KEY].quote)
    journal.write(before, bench.desk, [event], told)


def test_a_round_trip_is_one_row_with_the_journal_s_own_net(home: Path) -> None:
    journal = Journal(home)
    trade = stopped(Bench(), journal)
    result = run("trades", "--home", str(home), "--csv", "--fy", "2025-26")  # while it is open
    journal.close()
    assert result.exit_code == 0, result.output
    (row,) = table(result.stdout)
    assert tuple(row) == COLUMNS
    (kept,) = read_trades(home, None, 1)
    assert row["net"] == f"{kept['net_paise'] / 100:.2f}"
    assert row["charges"] == f"{kept['charges_paise'] / 100:.2f}"
    assert (row["symbol"], row["side"], row["quantity"]) == ("AAA", "LONG", "300")
    assert (row["opened_date"], row["opened_time"]) == ("2025-11-03", "10:00:01")
    assert (row["model"], row["model_version"], row["reason"]) == ("tiny", "3", "STOP")
    assert "1 round trips of financial year 2025-26" in result.stderr
    assert trade.closed_ms


def test_another_year_is_empty_with_its_header_and_all_has_everything(home: Path) -> None:
    journal = Journal(home)
    stopped(Bench(), journal)
    journal.close()
    other = run("trades", "--home", str(home), "--csv", "--fy", "2026-27")
    assert other.stdout.strip() == ",".join(COLUMNS)
    assert "0 round trips of financial year 2026-27" in other.stderr
    for words in (("--csv",), ("--csv", "--fy", "all")):
        assert len(table(run("trades", "--home", str(home), *words).stdout)) == 1
    document = said("trades", "--home", str(home), "--fy", "2025-26", "--json")
    assert document["financial_year"] == "2025-26"
    assert document["heads"]["speculative business"]["net"] == document["round_trips"][0]["net"]
    shown = run("trades", "--home", str(home), "--fy", "2025-26")
    assert "speculative business" in shown.stdout
    empty = run("trades", "--home", str(home), "--fy", "2026-27")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "0 round trips" in empty.stderr


def test_a_file_is_written_whole_and_for_its_owner_alone(home: Path, tmp_path: Path) -> None:
    journal = Journal(home)
    stopped(Bench(), journal, "SELL", agent="=HYPERLINK(1)")
    journal.close()
    out = tmp_path / "taxes" / "trades.csv"
    isins = tmp_path / "isins.csv"
    isins.write_text("tradingsymbol,isin\nAAA,INE000A01011\nBBB,\n", encoding="utf-8")
    words = ("trades", "--home", str(home), "--csv", "--isins", str(isins), "--out", str(out))
    for _ in range(2):  # a second time over the first
        result = run(*words)
        assert (result.exit_code, result.stdout) == (0, "")
    (row,) = table(out.read_bytes().decode())
    assert (row["isin"], row["signal_agent"]) == ("INE000A01011", "'=HYPERLINK(1)")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [p.name for p in out.parent.iterdir()] == ["trades.csv"]
    assert str(out) in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trades", "--csv", "--fy", "2026"), "2026-27 is 1 April 2026"),
        (("trades", "--csv", "--fy", "2026-28"), "found '2026-28'"),
        (("trades", "--csv", "--day", "2025-11-03"), "--day beside --csv, --fy"),
        (("trades", "--csv", "--limit", "3"), "--limit beside"),
        (("trades", "--fy", "all", "--refused"), "--refused beside"),
        (("trades", "--csv", "--json"), "--json beside --csv"),
        (("trades", "--out", "x.csv"), "--out with --csv"),
        (("trades", "--fy", "all", "--out", "x.csv"), "--out with --csv"),
        (("trades", "--csv", "--isins", "nowhere.csv"), "nowhere.csv"),
        (("trades", "--csv", "--out", "."), "not a file"),
        (("trades", "--csv", "--out", "/proc/nothing/here"), "/proc/nothing"),
        (("pnl", "--since", "yesterday"), "YYYY-MM-DD"),
        (("pnl", "--since", "2026-11-02", "--until", "2026-11-01"), "exchange them"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_printed(
    home: Path, words: tuple[str, ...], told: str
) -> None:
    Journal(home).close()
    result = run(words[0], "--home", str(home), *words[1:])
    assert isinstance(result.exception, SettingRefused)
    assert result.exception.exit_status == 2
    assert told in str(result.exception)
    assert result.stdout == ""


def test_a_refusal_ends_the_program_with_status_two_and_one_sentence(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "trades", "--home", str(home), "--csv", "--fy", "2026"],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ratchet-agent: --fy: found '2026'; expected a financial year")
    assert done.stderr.count("\n") == 1


def test_a_trade_that_cannot_be_read_is_named(home: Path) -> None:
    journal = Journal(home)
    stopped(Bench(), journal)
    journal.close()
    with sqlite3.connect(home / "agent" / "journal.db") as db:
        db.execute("update trades set doc = '{}'")
    for words in (("pnl",), ("trades", "--csv")):
        result = run(*words, "--home", str(home))
        assert isinstance(result.exception, SettingRefused)
        assert "trade 1 of " in str(result.exception)


def test_pnl_counts_what_is_open_at_the_last_price_while_the_agent_writes(home: Path) -> None:
    journal = Journal(home)
    rest(Bench(), journal)
    found = said("pnl", "--home", str(home), "--json")
    entered = 300 * 10_015
    assert found["total"]["unrealised_paise"] == 300 * 2_010 * 5 - entered
    (position,) = found["open"]
    assert (position["key"], position["price_paise"]) == (KEY, 10_050)
    assert found["unpriced"] == []
    journal.close()
    assert said("pnl", "--home", str(home), "--json") == found
    shown = run("pnl", "--home", str(home))
    assert "last price Rs 100.50 of 2025-11-03 10:00" in shown.stderr
    assert "2025-11-03" in shown.stdout


def test_pnl_of_closed_trades_adds_up_by_every_question(home: Path) -> None:
    journal = Journal(home)
    stopped(Bench(), journal)
    journal.close()
    found = said("pnl", "--home", str(home), "--json")
    (kept,) = read_trades(home, None, 1)
    assert found["total"]["net_paise"] == kept["net_paise"]
    for by in ("day", "side", "symbol", "agent", "version", "product"):
        lines = found[f"by_{by}"].values()
        assert sum(line["net_paise"] for line in lines) == kept["net_paise"]
    assert list(found["by_agent"]) == ["model"]
    assert list(found["by_version"]) == ["tiny 3"]
    assert said("pnl", "--home", str(home), "--since", "2025-11-04", "--json")["trades"] == 0


def test_nothing_to_show_is_said(home: Path) -> None:
    Journal(home).close()
    assert "no trade has filled anything" in run("pnl", "--home", str(home)).stdout
    assert said("pnl", "--home", str(home), "--json")["total"]["net_paise"] == 0
    nowhere = run("pnl", "--home", str(home / "nowhere"))
    assert nowhere.exit_code != 0
    assert "an agent that has run on this home" in str(nowhere.exception)


KILLED = """
import sys, os
from pathlib import Path
from agent.shell.journal import Journal
from tests.agent.orders.bench import Bench
from tests.agent.shell.test_money_commands import rest
rest(Bench(), Journal(Path(sys.argv[1])))
print("written", flush=True)
sys.stdin.read()
"""


def test_after_a_kill_both_read_what_was_written(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stdin.close()
    process.stdout.close()
    found = said("pnl", "--home", str(home), "--json")
    assert found["open"][0]["price_paise"] == 10_050
    result = run("trades", "--home", str(home), "--csv")
    assert table(result.stdout) == []
    assert "1 trades are still open" in result.stderr
