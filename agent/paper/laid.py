"""A stored market on real days: each of its days is played on a trading day of the calendar.

The first replayed day falls on an anchor, the following ones on the sessions after it; when they
are used up they begin again. Days before the first are history on the sessions before the anchor.
A day keeps its prices and its hours: open falls on open, and what lies outside the real day's
session (an evening's Muhurat hour, a pause) is left out. Pure: the anchor comes in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Final

from agent.errors import SettingRefused
from agent.market.candles import candle_end
from agent.market.instruments import Instrument
from agent.market.sessions import IST, NSE, Calendar, Session, epoch_ms, from_epoch_ms
from agent.paper.market import Candle, Market, Tape

DAYS_MAX: Final = 250  # about a year: more than any model's window
DAYS_AHEAD: Final = 400  # calendar days; a restart reckons them anew


class Laid:
    """A market whose days are real ones.

    Parameters
    ----------
    market : Market
        What is replayed; its `days` are the ones that are laid.
    anchor : date
        The session on which its first day falls.
    until : date
        Sessions are known to here.
    calendar : Calendar

    Raises
    ------
    SettingRefused
        If the anchor is not a session.
    """

    def __init__(self, market: Market, anchor: date, until: date, calendar: Calendar = NSE) -> None:
        if not calendar.is_open(anchor):
            raise SettingRefused(
                "the first day", given=anchor, allowed="a trading day", fix="choose another"
            )
        self._market = market
        self._calendar = calendar
        self.seed = market.seed
        self.interval = market.interval
        self.keys = market.keys
        self.days = tuple(calendar.days(anchor, max(until, anchor)))
        played = market.days
        self._played_on = {on: played[n % len(played)] for n, on in enumerate(self.days)}
        before = [day for day in market.candle_days() if day < played[0]]
        at = anchor
        for day in reversed(before[-DAYS_MAX:]):
            session = calendar.previous_session(at)
            if session is None:
                break
            at = session.on
            self._played_on[at] = day
        self._sessions = sorted(self._played_on)

    def session(self, key: str, on: date) -> Session | None:
        """Return the real day's session, with a closing auction where the played day has one."""
        base = self._base(key, on)
        if base is None:
            return None
        return self._calendar.session(on, derivatives=base.auction is not None)

    def instrument(self, key: str, on: date) -> Instrument:
        """Return an instrument with the price grid of the played day."""
        return self._market.instrument(key, self._played(on))

    def previous_close(self, key: str, on: date) -> int:
        """Return the last close before the played day, paise."""
        return self._market.previous_close(key, self._played(on))

    def band(self, key: str, on: date) -> tuple[int, int]:
        """Return the circuit limits of the played day, paise."""
        return self._market.band(key, self._played(on))

    def listed(self, key: str, on: date) -> bool:
        """Tell whether an instrument is known on the played day."""
        return self._market.listed(key, self._played(on))

    def tape(self, key: str, on: date) -> Tape:
        """Return an instrument's day as ticks in the real day's session."""
        base, session = self._base(key, on), self.session(key, on)
        if base is None or session is None:
            return Tape([], [], [])
        tape = self._market.tape(key, self._played(on))
        ahead = session.opens_ms - base.opens_ms
        rows = zip(tape.times, tape.prices, tape.volumes, strict=True)
        inside = [
            (at + ahead, price, volume)
            for at, price, volume in rows
            if session.is_continuous_ms(at + ahead)
        ]
        return Tape(*([row[n] for row in inside] for n in range(3)))

    def candles(
        self, key: str, interval: str, span_ms: tuple[int, int], now_ms: int
    ) -> list[Candle]:
        """Return past candles whose start lies in a span, as `Market.candles` does."""
        low, high = (from_epoch_ms(ms).date() for ms in span_ms)
        first, last = bisect_left(self._sessions, low), bisect_right(self._sessions, high)
        found: list[Candle] = []
        for on in self._sessions[first:last]:
            if on > from_epoch_ms(now_ms).date():
                break
            found += [
                one
                for one in self._candles_of(key, interval, on, now_ms)
                if span_ms[0] <= one.start_ms <= span_ms[1]
            ]
        return found

    def _candles_of(self, key: str, interval: str, on: date, now_ms: int) -> list[Candle]:
        base, session = self._base(key, on), self.session(key, on)
        today = from_epoch_ms(now_ms).date()
        if base is None or session is None or (interval == "day" and on == today):
            return []
        played = self._played(on)
        midnight, following = _midnight(played), _midnight(played + timedelta(days=1))
        built = self._market.candles(key, interval, (midnight, following - 1), following)
        if interval == "day":
            ahead = _midnight(on) - midnight
            return [replace(one, start_ms=one.start_ms + ahead) for one in built]
        ahead = session.opens_ms - base.opens_ms
        moved = [replace(one, start_ms=one.start_ms + ahead) for one in built]
        return [
            one
            for one in moved
            if session.is_continuous_ms(one.start_ms)
            and candle_end(one.start_ms, interval, session) <= now_ms
        ]

    def _base(self, key: str, on: date) -> Session | None:
        played = self._played_on.get(on)
        return None if played is None else self._market.session(key, played)

    def _played(self, on: date) -> date:
        """Return the stored day that a real one plays; the last before it on a closed day."""
        at = bisect_right(self._sessions, on)
        return self._played_on[self._sessions[max(at - 1, 0)]]


def anchor_for(now_ms: int, before_open_ms: int, calendar: Calendar = NSE) -> date:
    """Return the session that a market belongs to at an instant: today's once it is near its open.

    Raises
    ------
    SettingRefused
        If the calendar knows no session before the instant.
    """
    today = from_epoch_ms(now_ms).date()
    session = calendar.session(today)
    if session is None or now_ms < session.opens_ms - before_open_ms:
        session = calendar.previous_session(today)
    if session is None:
        raise SettingRefused(
            "the calendar", given=today, allowed="a session before it", fix="mend its list of days"
        )
    return session.on


def _midnight(on: date) -> int:
    return epoch_ms(datetime.combine(on, time(), tzinfo=IST))
