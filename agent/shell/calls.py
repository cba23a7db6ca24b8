"""Commands that are calls: who goes first, how many may leave, and their answers as events.

Rule 1: protection and exits go ahead of everything; entries are the first to wait.
Rule 2: a call leaves when the budget has it; else it waits here, and what waited too long for an
entry is answered "not sent".
Rule 3: every call gets exactly one answer, whatever happens to it.
One thread a lane: orders, reads, model. In lock-step there is one lane for all, so that the same
seed brings the same order of answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from queue import SimpleQueue
from typing import Final

from agent.core import commands as cmd
from agent.core import events as ev
from agent.core.queue import Queue, Waiting, kind_of, requests_of
from agent.core.values import Fault
from agent.errors import RatchetError, Refused, Retryable, Unknown
from agent.kite.budget import Budget
from agent.market.instruments import Instrument
from agent.market.sessions import Calendar, from_epoch_ms
from agent.risk.freezes import with_freeze
from agent.shell.broker import Broker, TokenDead, WritesRefused
from agent.shell.inbox import Answer, Item
from agent.shell.model import ModelClient
from agent.shell.rows import instrument_of

WRITES: Final = (cmd.Place, cmd.Modify, cmd.Cancel)
Maker = Callable[[int], ev.Event]


class Calls:
    """Carries out calls in threads of its own.

    Parameters
    ----------
    broker : Broker
    model : ModelClient or None
    budget : Budget
    calendar : Calendar
    inbox : SimpleQueue of Item
    one_lane : bool
    """

    def __init__(
        self,
        broker: Broker,
        model: ModelClient | None,
        budget: Budget,
        calendar: Calendar,
        inbox: SimpleQueue[Item],
        one_lane: bool,
    ) -> None:
        self._broker = broker
        self._model = model
        self._budget = budget
        self._calendar = calendar
        self._freezes: Mapping[str, int] = {}
        self.inbox = inbox
        self._queue = Queue()
        self._flying: set[int] = set()
        self._dumps: dict[tuple[str, str], dict[str, Instrument]] = {}
        self._lanes: dict[str, SimpleQueue[cmd.Call | None]] = {}
        names = ("all",) if one_lane else ("orders", "reads", "model")
        for name in names:
            lane: SimpleQueue[cmd.Call | None] = SimpleQueue()
            self._lanes[name] = lane
            threading.Thread(
                target=self._work, args=(lane,), name=f"{name} calls", daemon=True
            ).start()

    @property
    def flying(self) -> int:
        """Calls that are being made."""
        return len(self._flying)

    def know(self, instruments: Mapping[str, Instrument], freezes: Mapping[str, int]) -> None:
        """Take what is known before a day has been opened.

        Parameters
        ----------
        instruments : mapping of key to Instrument
            Whose prices the broker reads and writes already.
        freezes : mapping of key to shares
            Freeze quantities that the instruments dump does not have.
        """
        self._broker.know(instruments)
        self._freezes = freezes

    def add(self, call: cmd.Call, now_ms: int) -> None:
        """Take a call; it leaves with `dispatch`."""
        self._queue.add(call, now_ms)

    def dispatch(self, now_ms: int) -> int | None:
        """Let leave what the budget allows; return when to try again, None if nothing waits."""
        return self._queue.dispatch(lambda waiting: self._leave(waiting, now_ms))

    def landed(self, call: int) -> None:
        """Note that a call's answer was taken out of the inbox."""
        self._flying.discard(call)

    def stop(self) -> None:
        """Let the threads end."""
        for lane in self._lanes.values():
            lane.put(None)

    def _leave(self, waiting: Waiting, now_ms: int) -> int:
        call = waiting.call
        kind = kind_of(call)
        if kind is not None:
            if words := waiting.too_late(now_ms):
                self._give(call.call, _failed(call.call, Fault.RETRYABLE, words))
                return 0
            requests = requests_of(call)
            due = self._budget.take(kind, now_ms, hurried=waiting.hurried, calls=requests)
            if due:
                return due
        self._flying.add(call.call)
        self._lane(call).put(call)
        return 0

    def _lane(self, call: cmd.Call) -> SimpleQueue[cmd.Call | None]:
        if "all" in self._lanes:
            return self._lanes["all"]
        if isinstance(call, WRITES):
            return self._lanes["orders"]
        return self._lanes["model" if isinstance(call, cmd.AskModel | cmd.Describe) else "reads"]

    def _work(self, lane: SimpleQueue[cmd.Call | None]) -> None:
        while (call := lane.get()) is not None:
            self._give(call.call, self._made(call))

    def _give(self, number: int, make: Maker) -> None:
        self.inbox.put(Answer(number, make))

    def _made(self, call: cmd.Call) -> Maker:
        """Make a call; its answer is an event, a failure too."""
        number = call.call
        try:
            return self._make(call)
        except Unknown as fault:
            return _failed(number, Fault.UNKNOWN, str(fault))
        except TokenDead as fault:
            return _failed(number, Fault.TOKEN, str(fault))
        except WritesRefused as fault:
            return _failed(number, Fault.BLOCKED, str(fault))
        except Retryable as fault:
            return _failed(number, Fault.RETRYABLE, str(fault))
        except (Refused, RatchetError) as fault:
            return _failed(number, Fault.REFUSED, str(fault))
        except Exception as fault:  # noqa: BLE001  (a lane must not die: the answer says what broke)
            lost = Fault.UNKNOWN if isinstance(call, WRITES) else Fault.RETRYABLE
            return _failed(number, lost, f"{type(fault).__name__}: {fault}")

    def _make(self, call: cmd.Call) -> Maker:
        number, broker = call.call, self._broker
        match call:
            case cmd.Place():
                return _answered(number, broker.place(call))
            case cmd.Modify():
                return _answered(number, broker.modify(call))
            case cmd.Cancel():
                return _answered(number, broker.cancel(call))
            case cmd.ReadBook():
                return self._book(call)
            case cmd.ReadQuotes():
                quotes, bands = broker.quotes(call.keys)
                return lambda at: ev.QuotesRead(at, number, quotes, bands)
            case cmd.ReadMargins():
                available, utilised = broker.margins()
                return lambda at: ev.MarginsRead(at, number, available, utilised)
            case cmd.ReadOrderMargins():
                per_share = broker.order_margins(call)
                return lambda at: ev.OrderMarginsRead(at, number, per_share)
            case cmd.ReadHistory():
                candles = broker.history(call)
                return lambda at: ev.HistoryRead(at, number, call.key, call.interval, candles)
            case cmd.OpenDay():
                return self._day(call)
            case _:
                return self._of_model(call)

    def _of_model(self, call: cmd.Call) -> Maker:
        if self._model is None:
            raise Refused("no model is served: set model.url")
        if isinstance(call, cmd.AskModel):
            found = self._model.ask(call, 0)
        elif isinstance(call, cmd.Describe):
            found = self._model.describe(call.call, 0)
        else:
            raise Refused(f"no such call: {type(call).__name__}")
        return lambda at: replace(found, at_ms=at)

    def _book(self, call: cmd.ReadBook) -> Maker:
        """Read orders, then positions: a failure of the second leaves the first."""
        orders = self._broker.orders()
        positions = None
        if call.positions:
            try:
                positions = self._broker.positions()
            except Retryable as fault:
                words = str(fault)
                return lambda at: ev.BookRead(at, call.call, orders, None, words)
        return lambda at: ev.BookRead(at, call.call, orders, positions)

    def _day(self, call: cmd.OpenDay) -> Maker:
        """Return the session of now or the next, and the dump's rows of the symbols asked for.

        The session is that of a stock with derivatives: it ends first (15:15 since August 2026),
        and what is flat by 15:05 misses nothing by it.
        """
        at = from_epoch_ms(call.at_ms)
        session = self._calendar.session(at.date(), derivatives=True)
        if session is None or at >= session.closes + timedelta(minutes=1):
            session = self._calendar.next_session(at.date(), derivatives=True)
        if session is None:
            raise Retryable(f"the calendar knows no session after {at.date()}")
        following = self._calendar.next_session(session.on, derivatives=True)
        found: dict[str, Instrument] = {}
        for exchange in sorted({key.partition(":")[0] for key in call.keys}):
            found |= {
                k: v for k, v in self._dump(exchange, str(at.date())).items() if k in call.keys
            }
        missing = tuple(key for key in call.keys if key not in found)
        self._broker.know(found)
        opens = 0 if following is None else following.opens_ms
        return lambda now: ev.DayOpened(now, call.call, session, found, missing, opens)

    def _dump(self, exchange: str, day: str) -> Mapping[str, Instrument]:
        known = self._dumps.get((exchange, day))
        if known is None:
            known = {}
            for row in self._broker.instruments(exchange):
                try:
                    instrument = instrument_of(row)
                except (RatchetError, KeyError, ValueError, TypeError, ArithmeticError):
                    continue  # a row that nobody can trade
                known[instrument.key] = with_freeze(instrument, self._freezes)
            self._dumps = {(e, d): v for (e, d), v in self._dumps.items() if d == day}
            self._dumps[exchange, day] = known
        return known


def _answered(number: int, order_id: str) -> Maker:
    return lambda at: ev.CallAnswered(at, number, order_id)


def _failed(number: int, fault: Fault, words: str) -> Maker:
    return lambda at: ev.CallFailed(at, number, fault, words)
