"""Quiet readings: the poll and its answers, where a book, positions and margins bring no news.

While something is open the books are read every ten seconds, and nearly every reading shows what is
known. Then only numbers change (calls given out, calls open), and idle.py's proof holds on: nothing
needs to be written down, and the ticks that follow stay idle.
Rule 1: the plain way (decide.py) is the truth; what is not proven to be quiet takes it.
Rule 2: only where every open trade has a lull (`Frame.whole`). Drive, asked after a reading of the
positions, then does nothing: what it does hangs on time alone, and each lull says until when.
Rows are proven once, by taking them in on a turn that is thrown away: an order without a call in
flight makes the same of the same row whenever it comes.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from agent.core import events as ev
from agent.core.commands import Command, ReadBook, ReadMargins, SetTimer
from agent.core.idle import Asked, Frame, Idle, begun, is_short
from agent.core.state import Desk, unwritten
from agent.core.turn import Turn
from agent.core.values import HeldRow, OrderRow, Priority
from agent.orders.fills import legs_of, take_row
from agent.risk.margin import Margins

QUIET = frozenset({ev.TimerFired, ev.BookRead, ev.MarginsRead})
Answer = tuple[Desk, tuple[Command, ...]]
# What a row tells, as a tuple: rows read anew compare in half the time that their own `==` takes.
_told = attrgetter(*(field.name for field in fields(OrderRow)))


def quiet_after(desk: Desk, event: ev.Event) -> Answer | None:
    """Return state and commands after a poll or an answer that brings no news; else None."""
    if type(event) is ev.TimerFired and event.name != "poll":
        return None
    bare = desk.bare or begun(desk)
    if bare is None or not bare[0].whole or event.at_ms < bare[1]:
        return None
    idle = bare[0].idle(bare)
    match event:
        case ev.TimerFired():
            return _polled(idle, event.at_ms)
        case ev.BookRead():
            return _book(idle, event)
        case ev.MarginsRead():
            return _margins(idle, event)
        case _:
            return None


def _polled(idle: Idle, at_ms: int) -> Answer | None:
    """Ask for the book, as `day._poll` does with something open and every price fresh."""
    frame, asked = idle.frame, idle.asked
    watch = frame.desk.rules.watch
    if not frame.opens_ms <= at_ms < frame.closes_ms:
        return None
    if asked.asking and any(purpose.startswith("book") for purpose in asked.asking.values()):
        return None
    if any(at_ms - seen[3].at_ms > watch.stale_ms for seen in idle.seen.values()):
        return None
    calls, polls, asking = asked.calls + 1, asked.polls + 1, dict(asked.asking)
    whole = polls % watch.positions_every == 0
    asking[calls] = "book:full" if whole else "book:orders"
    said: tuple[Command, ...] = (
        SetTimer("poll", at_ms + watch.poll_ms),
        ReadBook(calls, Priority.BOOK, positions=whole),
    )
    if whole:
        calls += 1
        asking[calls] = "margins"
        said = (*said, ReadMargins(calls, Priority.READ))
    told = Asked(calls, polls, asking, asked.book_call, asked.margins)
    return _after(idle, at_ms, told), said


def _book(idle: Idle, read: ev.BookRead) -> Answer | None:
    """Take in a book that shows what is known."""
    frame, asked = idle.frame, idle.asked
    desk, full = frame.desk, read.positions is not None
    if desk.wanted_book or (not full and asked.asking.get(read.call) == "book:full"):
        return None
    if frame.known.rows != [_told(row) for row in read.orders] and not _no_news(frame, read.orders):
        return None
    told = _answered(asked, read.call)
    if read.positions is not None:
        late = any(lull is None or read.at_ms >= lull.until_ms for lull in frame.lulls.values())
        if late or desk.mismatches or "books" in desk.guards or "token" in desk.guards:
            return None
        if not _explained(frame, read.positions):
            return None
        told = told._replace(book_call=max(told.book_call, read.call))
    return _after(idle, read.at_ms, told), ()


def _margins(idle: Idle, read: ev.MarginsRead) -> Answer | None:
    """Take in figures of a margin that is not short."""
    desk = idle.frame.desk
    margins = Margins(read.available_paise, read.utilised_paise, read.at_ms)
    if is_short(desk, margins) or any(trade.reserved for trade in desk.open_trades):
        return None
    told = _answered(idle.asked, read.call)._replace(margins=margins)
    return _after(idle, read.at_ms, told), ()


def _answered(asked: Asked, call: int) -> Asked:
    if call not in asked.asking:
        return asked
    calls, polls, asking, book_call, margins = asked
    left = {n: p for n, p in asking.items() if n != call}
    return Asked(calls, polls, left, book_call, margins)


def _after(idle: Idle, at_ms: int, asked: Asked) -> Desk:
    frame, _, waiting, log, net, best, seen, _ = idle
    return unwritten((frame, at_ms, waiting, log, net, best, seen, asked))


def _no_news(frame: Frame, rows: tuple[OrderRow, ...]) -> bool:
    """Tell whether every row is about a known order and changes nothing; remember it."""
    trades = frame.desk.trades.values()
    if any(leg.flight is not None for trade in trades for leg in legs_of(trade)):
        return False
    turn = Turn(frame.desk, frame.desk.now_ms)
    if not all(take_row(turn, row, book_call=1) for row in rows):
        return False
    if turn.touched or turn.commands:
        return False
    frame.known.rows = [_told(row) for row in rows]
    return True


def _explained(frame: Frame, positions: tuple[HeldRow, ...]) -> bool:
    """Tell whether the broker holds what the trades hold, and nothing else."""
    held = frame.known.held
    if held is None:
        open_trades = frame.desk.open_trades
        held = {trade.slot: trade.side.sign * trade.open for trade in open_trades}
        frame.known.held = held
    theirs = {(row.key, row.product): row.quantity for row in positions}
    return held == {slot: quantity for slot, quantity in theirs.items() if quantity}
