"""The exchange in virtual time: days, instants, timers, and everything that happens at one.

It never looks at a clock and opens nothing: whoever drives it (clock.py, a test) asks when the
next instant is and lets it move there. At an instant the ticks come first, then what has matured:
orders, changes, session timers. Same market, same requests at the same instants, same book.
Overnight the clock jumps from five minutes after the close to twenty before the open.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any, Final

from agent.errors import check
from agent.market.sessions import IST, Session, epoch_ms, from_epoch_ms
from agent.paper import closing
from agent.paper.auctions import STRIKES
from agent.paper.audit import Audit
from agent.paper.board import FAR, Board
from agent.paper.books import Books
from agent.paper.desk import Desk, Notes
from agent.paper.laid import Laid
from agent.paper.listings import is_index
from agent.paper.market import Candle, Market
from agent.paper.shorts import AUCTION_AT

BEFORE_OPEN_MS: Final = 20 * 60_000  # 08:55 on a normal day
AFTER_CLOSE_MS: Final = 5 * 60_000  # 15:35
REGULAR_END: Final = time(15, 35)

Callback = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Instant:
    """What an instant brought: who ticked, and what is to be told and kept."""

    now_ms: int
    ticked: tuple[Board, ...]
    notes: Notes
    last: bool


class Exchange:
    """The market, the desk, the account and the audit, at one virtual instant.

    Parameters
    ----------
    market : Market or Laid
    cash : int, paise
    """

    def __init__(self, market: Market | Laid, *, cash: int) -> None:
        self.market = market
        self.books = Books(cash)
        self.audit = Audit()
        self.desk = Desk(self.books, self.call_in)
        self.day = 0
        self.boards: dict[str, Board] = {}
        self.by_token: dict[int, Board] = {}
        self._timers: list[tuple[int, int, Callback]] = []
        self._timer_number = 0
        self._ticked: list[Board] = []
        # by instrument, in paise: yesterday's last price, and the close that its auction made
        self._closes: dict[str, tuple[int, int]] = {}
        # the same of every day and instrument that was asked for, None where there was no auction
        self._auctioned: dict[tuple[str, date], tuple[int, int] | None] = {}
        self._over = False
        self.overnight = False  # after the end of a day, until the next one begins
        self.now_ms = self._open_ms(market.days[0])

    def start(self) -> None:
        """Begin the first day at its open."""
        self._set_up(0)
        self._happen(self.now_ms)

    def resume(self, day: int, now_ms: int) -> None:
        """Take up a day at an instant after a restart; the desk and the books are restored after.

        The ticks so far are played without orders; after the day's end it is the night.
        """
        self.now_ms = now_ms
        if day:
            self._closes = self._closes_of(self.market.days[day - 1])
        self._set_up(day)
        for board in self.boards.values():
            board.skip_to(now_ms)
            last = board.last
            if closing.catch_up(board, now_ms):
                self._closes[board.instrument.key] = (last, board.last)
        if now_ms >= self._end_ms():
            self._after_day()

    @property
    def on(self) -> date:
        """The virtual day."""
        return self.market.days[self.day]

    @property
    def over(self) -> bool:
        """Whether the last session of the market is over."""
        return self._over

    def next_due(self) -> int | None:
        """Return the next instant at which something happens by itself; None after the last."""
        due = min(self.ticks_due, self.timers_due)
        return None if due >= FAR else due

    @property
    def ticks_due(self) -> int:
        """When the next tick comes; `FAR` where none does."""
        return min([board.next_ms for board in self.boards.values()], default=FAR)

    @property
    def timers_due(self) -> int:
        """When something other than a tick happens next by itself; `FAR` where nothing does."""
        return self._timers[0][0] if self._timers else FAR

    def tick(self, at_ms: int) -> bool:
        """Move to an instant at which only ticks are due; return whether that was all.

        The boards that ticked have it as their `ticked_ms`. Where an order met a tick, what came
        of it is in `instant`.
        """
        check(self.now_ms <= at_ms < self.timers_due, "only ticks are due", at=at_ms)
        self.now_ms = at_ms
        plain = True
        for board in self.boards.values():
            if board.next_ms <= at_ms:
                plain = not self._tick(board, at_ms) and plain
        return plain

    def move_to(self, at_ms: int) -> Instant:
        """Move to an instant, not past the next one due, and let happen what is due there.

        Raises
        ------
        Broken
            If time would go back or an instant would be skipped.
        """
        due = self.next_due()
        check(at_ms >= self.now_ms, "time does not go back", at=at_ms, now=self.now_ms)
        check(due is None or at_ms <= due, "no instant is skipped", at=at_ms, due=due)
        self._happen(at_ms)
        return self.instant()

    def instant(self) -> Instant:
        """Return what has happened since the last time, audited."""
        notes = self.desk.read_notes()
        for event in notes.events:
            self.audit.apply(event)
        ticked, self._ticked = tuple(self._ticked), []
        return Instant(self.now_ms, ticked, notes, self._over)

    def findings(self) -> dict[str, Any]:
        """Return the audit as of now."""
        return self.audit.document(self.now_ms, {k: b.last for k, b in self.boards.items()})

    def _happen(self, at_ms: int) -> None:
        self.now_ms = at_ms
        for board in self.boards.values():
            if board.next_ms <= at_ms:
                self._tick(board, at_ms)
                self._ticked.append(board)
        while self._timers and self._timers[0][0] <= at_ms:
            _, _, callback = heapq.heappop(self._timers)
            callback(at_ms)

    def _tick(self, board: Board, at_ms: int) -> bool:
        """Let a board's next tick come; return whether an order met it."""
        events = board.tick()
        if events:
            self.desk.apply(events, at_ms)
        watched = board.instrument.key in self.desk.gtts.watched
        if watched:
            self.desk.watch(board, at_ms)
        return bool(events) or watched

    def candles(self, key: str, interval: str, span_ms: tuple[int, int]) -> list[Candle]:
        """Return past candles as the market has them; a day's close is its auction's."""
        found = self.market.candles(key, interval, span_ms, self.now_ms)
        if interval != "day":
            return found
        played = set(self.market.days[: self.day])
        return [
            self._closed_by_auction(key, one, on)
            if (on := from_epoch_ms(one.start_ms).date()) in played
            else one
            for one in found
        ]

    def _closed_by_auction(self, key: str, candle: Candle, on: date) -> Candle:
        if (key, on) not in self._auctioned:
            self._auctioned[key, on] = self._close_of(key, on)
        told = self._auctioned[key, on]
        if told is None:
            return candle
        last, official = told
        close = round(official * candle.close / last)  # a split since has divided the candle
        return replace(
            candle, high=max(candle.high, close), low=min(candle.low, close), close=close
        )

    def call_in(self, delay_ms: int, callback: Callback) -> None:
        """Call back after some virtual time, at an instant of its own."""
        self.call_at(self.now_ms + delay_ms, callback)

    def call_at(self, due_ms: int, callback: Callback) -> None:
        """Call back when virtual time reaches an instant."""
        self._timer_number += 1
        heapq.heappush(self._timers, (due_ms, self._timer_number, callback))

    def _set_up(self, day: int) -> None:
        self.day = day
        on = self.on
        self.boards = {
            key: board for key in self.market.keys if (board := self._board(key, on)) is not None
        }
        self.by_token = {board.instrument.token: board for board in self.boards.values()}
        self.desk.open_day(on, self.boards, self.now_ms)
        for key, board in self.boards.items():
            self._day_timers(key, board.session)
        for clock, do in (
            (AUCTION_AT, self.desk.settle_owed),
            (STRIKES, self.desk.sell_in_auctions),
        ):
            self._later(epoch_ms(datetime.combine(on, clock, tzinfo=IST)), do)
        self._later(self._end_ms(), self._end_day)

    def _day_timers(self, key: str, session: Session) -> None:
        self._later(epoch_ms(session.square_off), lambda at: self.desk.square_off(key, at))
        strikes_ms = closing.strikes_ms(self.boards[key])
        if strikes_ms is None:
            self._later(session.closes_ms, lambda at: self.desk.expire(key, at))
            return
        self._later(session.closes_ms, lambda at: self.desk.begin_auction(key, at))
        self._later(strikes_ms, lambda at: self._strike(key, at))

    def _strike(self, key: str, now_ms: int) -> None:
        board = self.boards[key]
        last = board.last
        self.desk.strike(key, now_ms)
        self._closes[key] = self._auctioned[key, self.on] = (last, board.last)
        self._ticked.append(board)

    def _later(self, due_ms: int, callback: Callback) -> None:
        """Schedule a timer of the day, unless the day is past it already."""
        if due_ms > self.now_ms:
            self.call_at(due_ms, callback)

    def _end_day(self, now_ms: int) -> None:
        for key in self.boards:
            self.desk.expire(key, now_ms)
        self._after_day()

    def _closes_of(self, on: date) -> dict[str, tuple[int, int]]:
        """Play a day's tapes again for the closes that its auctions made."""
        found = {key: self._close_of(key, on) for key in self.market.keys}
        return {key: told for key, told in found.items() if told is not None}

    def _close_of(self, key: str, on: date) -> tuple[int, int] | None:
        """Play an instrument's day again: its last price and the close that its auction made."""
        session = self.market.session(key, on)
        if session is None or session.auction is None:
            return None
        board = self._board(key, on)
        if board is None:
            return None
        board.skip_to(session.closes_ms)
        last = board.last
        matched = closing.catch_up(board, closing.strikes_ms(board) or 0)
        return (last, board.last) if matched else None

    def _after_day(self) -> None:
        self.desk.close_day()
        if self.day + 1 == len(self.market.days):
            self._over = True
            return
        self.overnight = True
        following = self.market.days[self.day + 1]
        self.call_at(self._open_ms(following) - BEFORE_OPEN_MS, self._begin_day)

    def _begin_day(self, _: int) -> None:
        self.overnight = False
        self.books.roll({key: (board.last, board.high) for key, board in self.boards.items()})
        self._set_up(self.day + 1)

    def _board(self, key: str, on: date) -> Board | None:
        session = self.market.session(key, on)
        if session is None or not self.market.listed(key, on):
            return None
        instrument = self.market.instrument(key, on)
        lower, upper = self.market.band(key, on)
        close = self.market.previous_close(key, on)
        last, official = self._closes.get(key, (0, 0))
        if close == last:  # not adjusted since: the auction made the close
            close = official
        return Board(
            instrument,
            session,
            self.market.tape(key, on),
            (lower // instrument.tick_paise, upper // instrument.tick_paise),
            close,
            self.market.seed,
            is_index=is_index(instrument.tradingsymbol),
        )

    def _open_ms(self, on: date) -> int:
        sessions = [s for key in self.market.keys if (s := self.market.session(key, on))]
        return min(session.opens_ms for session in sessions)

    def _end_ms(self) -> int:
        closes = [board.session.closes_ms + AFTER_CLOSE_MS for board in self.boards.values()]
        regular = [b for b in self.boards.values() if b.session.kind == "regular"]
        if regular:
            closes.append(epoch_ms(datetime.combine(self.on, REGULAR_END, tzinfo=IST)))
        return max(closes)
