"""The live loop: receive, journal, decide, journal, send. One thread; everything else feeds it.

Rule 1: nothing is decided here. Items become events, events go to `decide`, commands are carried
out in the order in which they came.
Rule 2: a batch is journaled before anything of it leaves. If it cannot be, entries do not leave;
protection and exits do.
Rule 3: after an invariant of ours breaks, the state from before the event stays, and entries stop.
With the system's clock the loop waits for the queue or the next timer. In lock-step it works until
queue, timers and calls are empty, acknowledges the instant, and waits for the next clock frame.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.decide import decide
from agent.core.state import Desk
from agent.core.values import Fault, Role
from agent.errors import EnvironmentRefused, Retryable
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
from agent.shell.notices import Notices
from agent.shell.rows import order_row
from agent.shell.ticker import Ticker
from agent.signals.feed import CandleFeed

BATCH_MAX: Final = 500
IDLE_MS: Final = 500
LOCKSTEP_S_MAX: Final = 90.0
ANSWER_S_MAX: Final = 60.0
JOURNAL_RETRY_MS: Final = 5_000


@dataclass(slots=True)
class Parts:
    """What the loop drives; made in run.py."""

    clock: SystemClock | ExchangeClock
    journal: Journal
    calls: Calls
    ticker: Ticker
    notices: Notices
    inbox: SimpleQueue[Item]
    silent_ms: int = 10_000
    skew: Callable[[], int | None] = lambda: None
    skew_stop_ms: int = 5_000
    until_end: bool = False
    bug: Callable[[ev.Event, Exception], None] = lambda *_: None
    said: Callable[[Sequence[cmd.Command]], None] = lambda _: None


class Loop:
    """One process, one account, one writer."""

    def __init__(self, desk: Desk, parts: Parts) -> None:
        self.desk = desk
        self.parts = parts
        self.stopped = ""
        self.ended = False
        self._timers: dict[str, int] = {}
        self._feed: CandleFeed | None = None
        self._feed_since = 0
        self._down_since: int | None = None
        self._journal_down_ms = 0
        self._skewed = False
        self._up = False

    def run(self) -> str:
        """Run until told to stop; return why it stopped.

        Raises
        ------
        EnvironmentRefused, Retryable
            If a lock-step exchange is gone for good.
        """
        clock = self.parts.clock
        if isinstance(clock, ExchangeClock):
            self._connect(clock)
        self._batch([ev.Started(clock.now_ms())])
        while not self.stopped:
            if isinstance(clock, ExchangeClock):
                self._instant(clock)
            else:
                self._wait()
        return self.stopped

    def _wait(self) -> None:
        """Take what comes until the next thing is due."""
        now = self.parts.clock.now_ms()
        retry = self.parts.calls.dispatch(now)
        dues = [d for d in (self._next_timer(), retry) if d is not None]
        wait_ms = min([IDLE_MS, *(max(due - now, 0) for due in dues)])
        items = self._take(wait_ms / 1000)
        self._work_on(items)
        self._watch()

    def _instant(self, clock: ExchangeClock) -> None:
        """Work until nothing is left at this instant, acknowledge it, wait for the next."""
        calls = self.parts.calls
        while True:
            retry = calls.dispatch(clock.now_ms())
            items = self._take(ANSWER_S_MAX if calls.flying else 0.0)
            if items or self._due():
                self._work_on(items)
            else:
                break
            if self.stopped:
                return
        if not self._up:
            self._connect(clock)
        elif not self._over():
            dues = [d for d in (self._next_timer(), retry) if d is not None]
            try:
                clock.ack(clock.now_ms(), min(dues, default=None))
            except Retryable as fault:
                self._lost(clock, str(fault))
            else:
                self._next_instant(clock)

    def _next_instant(self, clock: ExchangeClock) -> None:
        """Collect what belongs to the next instant: all that precedes its clock frame."""
        items: list[Item] = []
        while True:
            try:
                item = self.parts.inbox.get(timeout=LOCKSTEP_S_MAX)
            except Empty:
                self._lost(clock, f"no clock frame for {LOCKSTEP_S_MAX:.0f} s")
                break
            if isinstance(item, ClockFrame):
                if self._moved_on(item):
                    break
                continue
            items.append(item)
            if isinstance(item, Stop | Word | Connection):
                break  # act on it now: the next frame may never come
        self._work_on(items)

    def _lost(self, clock: ExchangeClock, words: str) -> None:
        """Reconnect to an exchange that does not wait for us any more."""
        self.parts.notices.tell("warning", "lock-step", words)
        self._work_on([Connection(False, words)])
        self.parts.ticker.reconnect()
        self._connect(clock)

    def _connect(self, clock: ExchangeClock) -> None:
        """Wait for the ticker, then let the exchange wait for us: it stands meanwhile."""
        while not self._up and not self.stopped:
            try:
                item = self.parts.inbox.get(timeout=LOCKSTEP_S_MAX)
            except Empty:
                raise EnvironmentRefused(
                    "the paper exchange",
                    given=f"no ticker connection for {LOCKSTEP_S_MAX:.0f} s",
                    allowed="a paper exchange in lock-step",
                    fix="start it, or mend RATCHET_AGENT__BROKER__TICKER_URL",
                ) from None
            if isinstance(item, Connection) and item.connected:
                clock.join()
            if not isinstance(item, ClockFrame):
                self._work_on([item])

    def _take(self, wait_s: float) -> list[Item]:
        items: list[Item] = []
        try:
            items.append(
                self.parts.inbox.get(timeout=wait_s) if wait_s else self.parts.inbox.get_nowait()
            )
            while len(items) < BATCH_MAX:
                items.append(self.parts.inbox.get_nowait())
        except Empty:
            pass
        return items

    def _moved_on(self, frame: ClockFrame) -> bool:
        """Stand where a frame says, unless we do already; a frame dropped would be waited for."""
        clock = self.parts.clock
        if not isinstance(clock, ExchangeClock) or frame.now_ms <= clock.now_ms():
            return False
        clock.stand_at(frame.now_ms)
        self.ended = frame.last
        return True

    def _work_on(self, items: list[Item]) -> None:
        for item in items:  # what precedes a frame belongs to its instant
            if isinstance(item, ClockFrame):
                self._moved_on(item)
        now = self.parts.clock.now_ms()
        events: list[ev.Event] = []
        for item in items:
            events += self._events(item, now)
        if self._feed is not None:
            events += self._feed.timer(now)
        for name in sorted(n for n, due in self._timers.items() if due <= now):
            del self._timers[name]
            events.append(ev.TimerFired(now, name))
        if events:
            self._batch(events)

    def _events(self, item: Item, now: int) -> list[ev.Event]:
        match item:
            case Tick():
                seen: list[ev.Event] = [ev.TickSeen(now, item.key, item.quote, item.cached)]
                if self._feed is not None:
                    seen = [*self._feed.tick(item.key, item.quote, now), *seen]
                return seen
            case Update():
                try:
                    return [ev.OrderSeen(now, order_row(item.data, self.desk.instruments))]
                except (KeyError, ValueError, TypeError, ArithmeticError) as fault:
                    return [ev.TickRefused(now, "", f"an order update that is none: {fault!r}")]
            case Refusal():
                return [ev.TickRefused(now, item.key, item.words)]
            case Answer():
                self.parts.calls.landed(item.call)
                return [item.make(now)]
            case Connection():
                return [self._connection(item, now)]
            case Word():
                return [ev.Ordered(now, item.verb, item.who)]
            case Stop():
                self.stopped = item.why
                return []
            case ClockFrame():
                return []  # taken in before its batch: _work_on

    def _connection(self, item: Connection, now: int) -> ev.Event:
        self._up = item.connected
        if not item.connected:
            self._down_since = now if self._down_since is None else self._down_since
        elif self._down_since is not None:
            if self._feed is not None:
                self._feed.gap(self._down_since, now)
            self._down_since = None
        return ev.FeedChanged(now, item.connected, item.words)

    def _batch(self, events: list[ev.Event]) -> None:
        """Decide on a batch, write it down, send what it says."""
        before = self.desk
        out: list[cmd.Command] = []
        for event in events:
            try:
                self.desk, commands = decide(self.desk, event)
            except Exception as fault:  # noqa: BLE001  (any bug: the state from before stays)
                words = f"a bug of ours: {type(fault).__name__}: {fault}"
                self.parts.bug(event, fault)
                self.desk, commands = decide(
                    self.desk, ev.GuardRaised(event.at_ms, "broken", words)
                )
            if isinstance(event, ev.DayOpened):
                self._day(event)
            out += commands
        written = self._write(before, events, out)
        for command in out:
            self._carry_out(command, written=written)
        self.parts.said(out)

    def _day(self, event: ev.DayOpened) -> None:
        if self._feed is None or self._feed_since != event.session.opens_ms:
            self._feed = CandleFeed(event.session, self.desk.interval, event.at_ms)
            self._feed_since = event.session.opens_ms

    def _write(self, before: Desk, events: list[ev.Event], out: list[cmd.Command]) -> bool:
        now = self.desk.now_ms
        try:
            self.parts.journal.write(before, self.desk, events, out)
        except (sqlite3.Error, OSError) as fault:
            if not self._journal_down_ms:
                raised = ev.GuardRaised(now, "journal", f"the journal cannot be written: {fault}")
                self.desk, commands = decide(self.desk, raised)
                out += commands
            self._journal_down_ms = now
            return False
        if self._journal_down_ms:
            self._journal_down_ms = 0
            self.desk, commands = decide(self.desk, ev.GuardLifted(now, "journal"))
            out += commands
        return True

    def _carry_out(self, command: cmd.Command, *, written: bool) -> None:
        match command:
            case cmd.Place(role=Role.ENTRY) if not written:
                words = "not journaled, so not sent"
                number = command.call
                self.parts.inbox.put(
                    Answer(number, lambda at: ev.CallFailed(at, number, Fault.RETRYABLE, words))
                )
            case cmd.Call():
                self.parts.calls.add(command, self.parts.clock.now_ms())
            case cmd.SetTimer():
                self._timers[command.name] = command.due_ms
            case cmd.CancelTimer():
                self._timers.pop(command.name, None)
            case cmd.Watch():
                self.parts.ticker.watch(
                    self.desk.instruments[key]
                    for key in command.keys
                    if key in self.desk.instruments
                )
            case cmd.Reconnect():
                self.parts.ticker.reconnect()
            case cmd.Notify():
                self.parts.notices.tell(command.level, command.kind, command.words)
            case _:
                pass

    def _next_timer(self) -> int | None:
        dues = list(self._timers.values())
        if self._feed is not None and self._feed.next_ms is not None:
            dues.append(self._feed.next_ms)
        return min(dues, default=None)

    def _due(self) -> bool:
        due = self._next_timer()
        return due is not None and due <= self.parts.clock.now_ms()

    def _over(self) -> bool:
        """Stop by itself where that was asked for: the market data is over and all is flat."""
        if self.parts.until_end and self.ended and not self.desk.open_trades:
            self.stopped = "the market data is over and everything is flat"
        return bool(self.stopped)

    def _watch(self) -> None:
        """Notice a silent ticker and a wrong clock (system clock only)."""
        now = self.parts.clock.now_ms()
        silent = self.parts.ticker.silent_s() * 1000
        session = self.desk.session
        trading = session is not None and session.opens_ms <= now < session.closes_ms
        if trading and self.desk.feed_up and silent > self.parts.silent_ms:
            self._batch([ev.FeedChanged(now, False, f"silent for {silent / 1000:.0f} s")])
            self._down_since = now - int(silent)
        skew = self.parts.skew()
        if skew is not None and (abs(skew) > self.parts.skew_stop_ms) is not self._skewed:
            self._skewed = not self._skewed
            words = f"this clock is {skew / 1000:+.1f} s off the broker's"
            raised = ev.GuardRaised(now, "clock", words)
            self._batch([raised if self._skewed else ev.GuardLifted(now, "clock")])
