"""Receive, journal, decide, journal, send: what leaves when the journal cannot be written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.values import Fault, Mode, OrderRow, Role
from agent.kite.budget import Budget
from agent.market.sessions import Calendar
from agent.shell.broker import Broker
from agent.shell.calls import Calls
from agent.shell.clock import ExchangeClock, SystemClock
from agent.shell.inbox import (
    Answer,
    ClockFrame,
    Connection,
    Item,
    Refusal,
    Stop,
    Tick,
    Update,
    Word,
)
from agent.shell.journal import Journal
from agent.shell.loop import Loop, Parts
from agent.shell.notices import Notices
from agent.shell.ticker import Ticker
from tests.agent.orders.bench import INSTRUMENT, KEY, Bench
from tests.agent.paper.lab import DAY
from tests.agent.shell.test_broker import Scripted


class At(SystemClock):
    """A clock that stands where the bench stands."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def now_ms(self) -> int:
        return self._bench.now


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    threading.Thread(target=scripted.server.serve_forever, daemon=True).start()
    scripted.say({"status": "success", "data": {"order_id": "7"}})
    yield scripted
    scripted.server.shutdown()
    scripted.server.server_close()


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def loop(bench: Bench, server: Scripted, home: Path) -> Iterator[Loop]:
    """Return a loop whose state is the bench's, between a scripted broker and a real journal."""
    inbox: SimpleQueue[Item] = SimpleQueue()
    broker = Broker("paper", "paper", server.url, timeout_s=2)
    broker.know({KEY: INSTRUMENT})
    calls = Calls(
        broker, None, Budget(home / "kite", "paper"), Calendar.of_days([DAY]), inbox, one_lane=True
    )
    ticker = Ticker("paper", "paper", "ws://127.0.0.1:9", inbox)  # never started
    parts = Parts(At(bench), Journal(home), calls, ticker, Notices(shown="alarm"), inbox)
    yield Loop(bench.desk, parts)
    calls.stop()


def asked(server: Scripted) -> list[str]:
    return [method for method, _, _ in server.asked]


def answered(loop: Loop) -> ev.Event:
    item = loop.parts.inbox.get(timeout=20)
    assert isinstance(item, Answer)
    return item.make(loop.parts.clock.now_ms())


def wants_to_enter(bench: Bench) -> list[ev.Event]:
    """Return the event after which an entry would leave."""
    bench.tick(2_000)
    bench.take(ev.TimerFired(bench.now, "decide"))
    told = ev.Prediction(KEY, "BUY", "3", "champion", "r", 0.5, 0.5, bench.now + 600_000)
    bench.take(ev.ModelAnswered(bench.now, bench.last(cmd.AskModel).call, (told,)))
    call = bench.last(cmd.ReadOrderMargins).call
    return [ev.OrderMarginsRead(bench.now, call, {(KEY, "BUY"): 100})]


def test_an_entry_leaves_after_its_intent_is_on_disk(
    loop: Loop, bench: Bench, server: Scripted, home: Path
) -> None:
    events = wants_to_enter(bench)
    loop.desk = bench.desk
    loop._batch(events)
    with sqlite3.connect(home / "agent" / "journal.db") as db:
        assert db.execute("select kind, answer from intents").fetchall() == [("place", None)]
    assert asked(server) == []
    loop.parts.calls.dispatch(bench.now)
    assert answered(loop) == ev.CallAnswered(bench.now, loop.desk.calls, "7")
    assert asked(server) == ["POST"]


def test_an_entry_that_cannot_be_journaled_does_not_leave(
    loop: Loop, bench: Bench, server: Scripted
) -> None:
    events = wants_to_enter(bench)
    loop.desk = bench.desk
    loop.parts.journal._db.close()
    loop._batch(events)
    loop.parts.calls.dispatch(bench.now)
    failed = answered(loop)
    assert isinstance(failed, ev.CallFailed)
    assert (failed.fault, failed.words) == (Fault.RETRYABLE, "not journaled, so not sent")
    assert asked(server) == []
    assert loop.desk.mode is Mode.NO_NEW
    assert "journal" in loop.desk.guards


def test_protection_leaves_though_it_cannot_be_journaled(
    loop: Loop, bench: Bench, server: Scripted
) -> None:
    bench.enter()
    bench.accept()
    loop.desk = bench.desk
    loop.parts.journal._db.close()
    loop._batch([ev.OrderSeen(bench.now, bench.made(bench.entry, "COMPLETE", filled=300))])
    loop.parts.calls.dispatch(bench.now)
    assert isinstance(answered(loop), ev.CallAnswered)
    assert asked(server) == ["POST"]
    assert "order_type=SL" in server.asked[0][2]
    assert [leg.role for leg in loop.desk.trades[1].exits] == [Role.EXIT]


def test_a_bug_of_ours_keeps_the_state_and_stops_entries(loop: Loop, bench: Bench) -> None:
    bench.opened()
    loop.desk = bench.desk
    before = loop.desk.trades
    row = bench.made(bench.exit, "OPEN")
    broken = ev.OrderSeen(bench.now, OrderRow(**{n: getattr(row, n) for n in row.__slots__}))
    object.__setattr__(loop.desk.trades[1].exits[0], "state", "no such state")
    loop._batch([broken])
    assert loop.desk.trades[1].entry == before[1].entry
    assert "broken" in loop.desk.guards
    assert loop.desk.mode is Mode.NO_NEW


def test_items_become_events_with_the_clock_of_the_process(loop: Loop, bench: Bench) -> None:
    bench.tick(2_000)
    quote = bench.desk.sights[KEY].quote
    items: list[Item] = [
        Connection(True, "connected"),
        Tick(KEY, quote, cached=False),
        Refusal(KEY, "last price 0"),
        Update({"nonsense": 1}),
        Word("halt", "me"),
        Stop("enough"),
    ]
    loop._work_on(items)
    assert loop.desk.feed_up
    assert loop.desk.sights[KEY].at_ms == bench.now
    assert loop.desk.operator is Mode.HALT
    assert loop.stopped == "enough"


@pytest.mark.parametrize("frames_before", [0, 1])
def test_a_word_beside_a_clock_frame_does_not_lose_the_frame(
    loop: Loop, bench: Bench, frames_before: int
) -> None:
    """In lock-step a lost frame is a deadlock: each side waits for the other."""
    clock = ExchangeClock("http://127.0.0.1:9")
    clock.stand_at(bench.now)
    loop.parts.clock = clock
    later = bench.now + 15_000
    stale = [ClockFrame(bench.now, last=True)] * frames_before
    for item in (*stale, Word("halt", "operator"), ClockFrame(later, last=False)):
        loop.parts.inbox.put(item)

    loop._next_instant(clock)  # acts on the word at once, the frame still waits
    assert (loop.desk.operator, clock.now_ms()) == (Mode.HALT, bench.now)
    loop._work_on(loop._take(0.0))  # what the loop does before it acknowledges

    assert clock.now_ms() == later
    assert not loop.ended, "a frame of an instant that is past says nothing"
