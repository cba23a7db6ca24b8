"""What is on disk after a batch, and what comes back of it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.codec import from_plain
from agent.core.decide import decide
from agent.core.restore import Kept, restored
from agent.core.state import Desk
from agent.core.values import Fault, Mode
from agent.errors import Broken, EnvironmentRefused
from agent.orders.lifecycle import OrderState
from agent.shell.history import read_refusals, read_trades
from agent.shell.journal import Journal
from tests.agent.orders.bench import KEY, Bench
from tests.agent.orders.world import rules


@pytest.fixture
def journal(home: Path) -> Journal:
    return Journal(home)


def traded(journal: Journal, bench: Bench) -> Bench:
    """Let a bench trade with every batch written."""
    take = bench.take

    def written(event: ev.Event) -> list[cmd.Command]:
        before = bench.desk
        said = take(event)
        journal.write(before, bench.desk, [event], said)
        return said

    bench.take = written  # type: ignore[method-assign]
    bench.opened()
    bench.tick(2_020)
    return bench


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "agent" / "journal.db") as db:
        return db.execute(query).fetchall()


def test_an_intent_is_there_before_its_answer_and_the_answer_after(
    journal: Journal, home: Path
) -> None:
    bench = Bench()
    before = bench.desk
    bench.enter()
    journal.write(before, bench.desk, [], bench.out)
    ((call, kind, role, tag, answer),) = rows(
        home, "select call, kind, role, tag, answer from intents"
    )
    assert (kind, role, answer) == ("place", "ENTRY", None)
    assert tag == bench.entry.tag
    said = bench.fail(Fault.UNKNOWN, "timed out")
    event = ev.CallFailed(bench.now, int(str(call)), Fault.UNKNOWN, "timed out")
    journal.write(before, bench.desk, [event], said)
    assert rows(home, "select answer from intents") == [("unknown: timed out",)]


def test_a_trade_its_path_and_its_words_can_be_drawn(journal: Journal, home: Path) -> None:
    traded(journal, Bench())
    ((key, side, shares, agent, version, variant),) = rows(
        home, "select key, side, shares, agent, version, variant from trades"
    )
    assert (key, side, shares) == (KEY, "LONG", 300)
    assert (agent, version, variant) == ("model", "3", "champion")
    path = rows(home, "select price, stop, target, placed from path order by at_ms")
    assert (2_020, 1_992, 2_043, 1_983) in path  # 2003 in, 1 % and 2 %, half of 17 ticks
    kinds = {kind for (kind,) in rows(home, "select distinct kind from notes")}
    assert {"taken", "fill", "levels", "trail"} <= kinds


def test_why_a_level_moved_can_be_worked_again_from_its_note(journal: Journal, home: Path) -> None:
    traded(journal, Bench())
    ((words, text),) = rows(home, "select words, facts from notes where kind = 'trail' limit 1")
    facts = json.loads(str(text))
    # 1 % under 2003 is 1982.97; half of the 17 ticks gained is 8.5: 1991.47, up to the grid.
    assert facts == {
        "mode": "percent", "price": 2020, "best": 2020, "atr": None, "atr_at_entry": None,
        "stop_before": 1983, "stop": 1992, "target_before": 2043, "target": 2043,
        "candidate": 1991.47, "bound_by": "",
    }  # fmt: skip
    assert str(words).startswith("stop ")


def test_every_event_is_kept_and_can_be_read_again(journal: Journal, home: Path) -> None:
    traded(journal, Bench())
    kept = rows(home, "select kind, body from events order by seq")
    assert len(kept) == 10
    for kind, body in kept:
        assert type(from_plain(json.loads(str(body)))).__name__ == kind


def test_after_a_restart_calls_in_flight_are_lost_and_the_stop_is_not_looser(
    journal: Journal, home: Path
) -> None:
    bench = traded(journal, Bench())
    assert bench.exit.flight is not None  # a stop move whose answer has not come
    levels = bench.trade.levels
    journal.close()
    again = Journal(home)
    kept = again.kept()
    desk, _ = decide(restored(rules(), kept), ev.Started(bench.now))
    (trade,) = desk.open_trades
    assert trade.exits[0].flight is not None
    assert trade.exits[0].flight.lost
    assert trade.levels is not None
    assert levels is not None
    assert trade.levels.stop == levels.stop
    assert desk.calls > bench.desk.calls
    assert desk.numbers == 1
    assert desk.decided == bench.desk.decided
    again.close()


def test_an_entry_that_was_journaled_and_never_answered_is_unknown_after_a_restart() -> None:
    bench = Bench()
    bench.enter()
    kept = Kept(bench.desk.calls, bench.desk.numbers, (bench.trade,), {}, Mode.HALT)
    desk, _ = decide(restored(rules(), kept), ev.Started(bench.now))
    (trade,) = desk.open_trades
    assert trade.entry is not None
    assert trade.entry.state is OrderState.UNKNOWN
    assert trade.entry.lost_ms == bench.now  # it is looked for from now on
    assert desk.operator is Mode.HALT  # a halt outlives the process


def test_a_second_agent_on_the_same_home_is_refused(journal: Journal, home: Path) -> None:
    with pytest.raises(EnvironmentRefused, match="another agent"):
        Journal(home)
    journal.close()
    Journal(home).close()


def test_a_batch_that_cannot_be_written_leaves_nothing_of_itself(
    journal: Journal, home: Path
) -> None:
    bench = Bench()
    bad = cmd.Note("odd", KEY, "words", 0, {"unwritable": object()})
    broken = ev.TickRefused(bench.now, object(), "words")  # type: ignore[arg-type]
    with pytest.raises(Broken):
        journal.write(bench.desk, bench.desk, [broken], [bad])
    assert rows(home, "select count(*) from events") == [(0,)]
    journal.write(bench.desk, bench.desk, [ev.Started(bench.now)], [])
    assert rows(home, "select count(*) from events") == [(1,)]


def test_what_is_not_a_journal_is_refused_and_not_a_bug(home: Path) -> None:
    (home / "agent").mkdir(parents=True)
    (home / "agent" / "journal.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(EnvironmentRefused, match="journal"):
        Journal(home)


def test_trades_and_refusals_are_listed(journal: Journal, home: Path) -> None:
    bench = traded(journal, Bench())
    refused = cmd.Note("refused", KEY, "LONG refused: spread", 0, {"reason": "spread"})
    journal.write(bench.desk, bench.desk, [], [refused])
    (trade,) = read_trades(home, None, 10)
    assert (trade["entry"], trade["open"], trade["exit"]) == (100.15, 300, None)
    assert read_trades(home, "2025-11-03", 10) == [trade]
    assert read_trades(home, "2025-11-04", 10) == []
    assert [r["words"] for r in read_refusals(home, None, 10)] == ["LONG refused: spread"]
    with pytest.raises(EnvironmentRefused):
        read_trades(home / "nowhere", None, 10)


def test_a_desk_without_trades_is_an_empty_start(journal: Journal) -> None:
    kept = journal.kept()
    assert kept == Kept()
    assert restored(rules(), kept) == Desk(rules())
