"""When the market trades: sessions by date, their phases, holidays and special sessions.

Rule 1: the session is a dated table, not a constant. What changed, and on which day, is in `_ERAS`;
closed days and weekday specials are in holidays.py, weekend specials in `_WEEKEND_HOURS`.
Rule 2: pure: no clock, no file. The time comes in; an instant is aware, Asia/Kolkata.
Rule 3: a replay of foreign candles brings its own list of days (`Calendar.of_days`).
Order: `Calendar.session(day)` says when; the `Session` answers everything else about that day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo

from agent.errors import SettingRefused
from agent.market.holidays import CLOSED, FIRST_YEAR, HOURS, LAST_YEAR

IST: Final = ZoneInfo("Asia/Kolkata")
Kind = Literal["regular", "muhurat", "special"]
Stretches = tuple[tuple[time, time], ...]

NORMAL_OPEN: Final = time(9, 15)
NORMAL_CLOSE: Final = time(15, 30)
FLAT_BY: Final = time(15, 5)  # our own deadline for intraday positions, before the broker's
AUCTION_SINCE: Final = date(2026, 8, 3)  # closing auction of stocks with derivatives
PRE_OPEN_SINCE: Final = date(2010, 10, 18)
LONG_PRE_OPEN_SINCE: Final = date(2026, 9, 7)
_DAYS_SEARCHED_MAX: Final = 60  # the longest closure on record is 5 days; this only ends a loop


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, its end not included."""

    start: datetime
    end: datetime

    def __contains__(self, at: datetime) -> bool:
        """Tell whether an instant lies in the stretch."""
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Auction:
    """The closing auction of a stock with derivatives (15:15 to 15:35).

    At `starts` the exchange cancels untriggered stops. No order enters before `entry_from`;
    MARKET and LIMIT until `limit_only_from`, then LIMIT alone until a random moment between
    `random_end_from` and `entry_until`; matching ends at `ends`.
    """

    starts: datetime
    entry_from: datetime
    limit_only_from: datetime
    random_end_from: datetime
    entry_until: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of one kind of instrument.

    Parameters
    ----------
    on : date
    opens, closes : datetime
        First and last instant of continuous trading (the last not included).
    kind : {"regular", "muhurat", "special"}
    square_off : datetime
        When the broker closes MIS positions by itself: a net, not a promise. On special sessions
        15 minutes before the close (brokers announce it for each; assumed).
    pre_open, post_close : Span, optional
    auction : Auction, optional
    pauses : tuple of Span
        Stretches inside the day without continuous trading.
    assumed : bool
        The day is outside the years whose holidays are known: a weekday, taken as open.
    """

    on: date
    opens: datetime
    closes: datetime
    kind: Kind
    square_off: datetime
    pre_open: Span | None = None
    post_close: Span | None = None
    auction: Auction | None = None
    pauses: tuple[Span, ...] = ()
    assumed: bool = False
    opens_ms: int = field(init=False, repr=False, compare=False)
    closes_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "opens_ms", epoch_ms(self.opens))
        object.__setattr__(self, "closes_ms", epoch_ms(self.closes))

    def is_continuous(self, at: datetime) -> bool:
        """Tell whether orders match continuously at an instant."""
        return self.opens <= at < self.closes and not any(at in pause for pause in self.pauses)

    def is_continuous_ms(self, ts_ms: int) -> bool:
        """Tell whether orders match continuously at an epoch millisecond."""
        if not self.opens_ms <= ts_ms < self.closes_ms:
            return False
        return not self.pauses or self.is_continuous(from_epoch_ms(ts_ms))

    def before_close(self, clock: time) -> datetime:
        """Return when a deadline that is meant for a normal day (09:15-15:30) falls on this one.

        On a regular day that is the clock itself (never after the close, so an auction stock's
        15:20 is 15:15); on a special one as long before the close as the clock is before 15:30,
        never before the open.
        """
        if self.kind == "regular":
            return min(_at(self.on, clock), self.closes)
        return max(self.closes - (_at(self.on, NORMAL_CLOSE) - _at(self.on, clock)), self.opens)

    def after_open(self, clock: time) -> datetime:
        """Return when a beginning that is meant for a normal day falls on this one.

        On a regular day the clock itself (never before the open); on a special one as long after
        the open as the clock is after 09:15, never after the close.
        """
        if self.kind == "regular":
            return max(_at(self.on, clock), self.opens)
        return min(self.opens + (_at(self.on, clock) - _at(self.on, NORMAL_OPEN)), self.closes)

    @property
    def flat_by(self) -> datetime:
        """When our own intraday positions are flat (15:05 on a normal day)."""
        return self.before_close(FLAT_BY)


# From a day on: (open, close) of continuous trading. NSE circulars as collected by
# pandas_market_calendars; the closing auction shortens it for its stocks (AUCTION_SINCE).
_ERAS: Final[tuple[tuple[date, Stretches], ...]] = (
    (date.min, ((time(9, 55), time(15, 30)),)),
    (date(2010, 1, 4), ((time(9, 0), time(15, 30)),)),
    (PRE_OPEN_SINCE, ((NORMAL_OPEN, NORMAL_CLOSE),)),
)

# Sessions at weekends. The list is complete for 2012-11 to 2026-10 as far as we know; older ones,
# and the hours of Sunday 8 Nov 2026 (Muhurat), were not found. Sources: NSE circulars as reported
# by the press at the time; 2013-05-11, 2014-03-22, 2015-02-28 and 2020-02-01 seen in minute data.
_WEEKEND_HOURS: Final[dict[str, str]] = {
    "2012-04-28": "11:15-12:45",
    "2013-05-11": "11:15-12:45",
    "2013-11-03": "18:15-19:30",
    "2014-03-22": "11:15-12:45",
    "2015-02-28": "09:15-15:30",
    "2016-10-30": "18:30-19:30",
    "2020-02-01": "09:15-15:30",
    "2020-11-14": "18:15-19:15",
    "2023-11-12": "18:15-19:15",
    "2024-01-20": "09:15-15:30",
    "2024-03-02": "09:15-10:00 11:30-12:30",
    "2024-05-18": "09:15-10:00 11:45-12:40",
    "2025-02-01": "09:15-15:30",
    "2026-02-01": "09:15-15:30",
}


class Calendar:
    """The days on which a market trades, and their sessions.

    Parameters
    ----------
    closed : iterable of date
        Further closed days, beside NSE's table (a holiday declared today, years after the table).
    hours : mapping of date to str
        Further special sessions, "18:15-19:15", several stretches apart by a space.
    days : iterable of date, optional
        The only days that trade, at normal hours, whatever the table says. `hours` still count.

    Raises
    ------
    SettingRefused
        If hours cannot be read.
    """

    def __init__(
        self,
        *,
        closed: Iterable[date] = (),
        hours: Mapping[date, str] | None = None,
        days: Iterable[date] | None = None,
    ) -> None:
        self._listed = None if days is None else tuple(sorted(set(days)))
        self._closed = frozenset(closed) | (_nse_closed() if days is None else frozenset())
        known = {date.fromisoformat(on): text for on, text in (HOURS | _WEEKEND_HOURS).items()}
        own = dict(hours or {})
        given = own if days is not None else known | own
        self._hours = {on: _stretches(f"hours of {on}", text) for on, text in given.items()}

    @classmethod
    def of_days(cls, days: Iterable[date]) -> Calendar:
        """Return a calendar of exactly these days: a replay of a foreign market's candles."""
        return cls(days=days)

    def is_open(self, on: date) -> bool:
        """Tell whether there is a session on a day."""
        if on in self._closed:
            return False
        if on in self._hours:
            return True
        if self._listed is not None:
            at = bisect_right(self._listed, on)
            return at > 0 and self._listed[at - 1] == on
        return on.weekday() < 5

    def session(
        self, on: date, derivatives: bool = False, *, contract: bool = False
    ) -> Session | None:
        """Return the session of a day, or None on a closed one.

        Parameters
        ----------
        on : date
        derivatives : bool
            The stock has live derivatives: since 3 Aug 2026 it closes by auction at 15:15.
        contract : bool
            The instrument is itself a future or an option (to 15:40 since then).
        """
        return _session(self, on, derivatives, contract)

    def next_session(
        self, after: date, derivatives: bool = False, *, contract: bool = False
    ) -> Session | None:
        """Return the first session after a day; None where an explicit list of days ends."""
        return self._search(after, 1, derivatives=derivatives, contract=contract)

    def previous_session(
        self, before: date, derivatives: bool = False, *, contract: bool = False
    ) -> Session | None:
        """Return the last session before a day; None where an explicit list of days begins."""
        return self._search(before, -1, derivatives=derivatives, contract=contract)

    def days(self, first: date, last: date) -> list[date]:
        """Return the trading days from `first` to `last`, both included."""
        span = range((last - first).days + 1)
        return [day for day in (first + timedelta(n) for n in span) if self.is_open(day)]

    def is_continuous(
        self, at: datetime, derivatives: bool = False, *, contract: bool = False
    ) -> bool:
        """Tell whether orders match continuously at an aware instant."""
        session = self.session(at.astimezone(IST).date(), derivatives, contract=contract)
        return session is not None and session.is_continuous(at)

    def _search(self, day: date, step: int, *, derivatives: bool, contract: bool) -> Session | None:
        reach = _DAYS_SEARCHED_MAX
        if self._listed:
            ends = self._listed[-1] if step > 0 else self._listed[0]
            reach = max(reach, (ends - day).days * step)
        for n in range(1, reach + 1):
            on = day + timedelta(n * step)
            if self.is_open(on):
                return self.session(on, derivatives, contract=contract)
        return None


@lru_cache(maxsize=8192)
def _session(calendar: Calendar, on: date, derivatives: bool, contract: bool) -> Session | None:
    if not calendar.is_open(on):
        return None
    stretches = calendar._hours.get(on)  # noqa: SLF001 - the other half of the class, cached
    normal = next(hours for since, hours in reversed(_ERAS) if since <= on)
    if calendar._listed is not None:  # noqa: SLF001
        normal = ((NORMAL_OPEN, NORMAL_CLOSE),)
    assumed = calendar._listed is None and not FIRST_YEAR <= on.year <= LAST_YEAR  # noqa: SLF001
    if stretches is None or stretches == normal:
        return _regular(on, normal, derivatives=derivatives, contract=contract, assumed=assumed)
    spans = [Span(_at(on, start), _at(on, end)) for start, end in stretches]
    closes = spans[-1].end
    kind: Kind = "muhurat" if spans[0].start.hour >= 13 else "special"
    pre_open = Span(spans[0].start - timedelta(minutes=15), spans[0].start)
    return Session(
        on,
        spans[0].start,
        closes,
        kind,
        square_off=closes - timedelta(minutes=15),
        pre_open=None if on < PRE_OPEN_SINCE else pre_open,
        pauses=tuple(Span(a.end, b.start) for a, b in pairwise(spans)),
        assumed=assumed,
    )


def _regular(
    on: date, hours: Stretches, *, derivatives: bool, contract: bool, assumed: bool
) -> Session:
    opens, closes = hours[0][0], hours[-1][1]
    square_off, post_close = time(15, 25) if contract else time(15, 20), (time(15, 40), time(16, 0))
    auction = None
    if on >= AUCTION_SINCE:
        # The broker's times since the auction are reported by users, not by an official page.
        square_off, post_close = time(15, 25), (time(15, 50), time(16, 0))
        if contract:
            closes = time(15, 40)
        elif derivatives:
            closes, square_off = time(15, 15), time(15, 12)
            auction = Auction(
                starts=_at(on, time(15, 15)),
                entry_from=_at(on, time(15, 20)),
                limit_only_from=_at(on, time(15, 25)),
                random_end_from=_at(on, time(15, 28)),
                entry_until=_at(on, time(15, 30)),
                ends=_at(on, time(15, 35)),
            )
    entry_until = time(9, 10) if on >= LONG_PRE_OPEN_SINCE else time(9, 8)
    return Session(
        on,
        _at(on, opens),
        _at(on, closes),
        "regular",
        square_off=_at(on, square_off),
        pre_open=(
            None
            if contract or on < PRE_OPEN_SINCE
            else Span(_at(on, time(9, 0)), _at(on, entry_until))
        ),
        post_close=None if contract else Span(_at(on, post_close[0]), _at(on, post_close[1])),
        auction=auction,
        assumed=assumed,
    )


def epoch_ms(at: datetime) -> int:
    """Return an aware instant as epoch milliseconds, exactly.

    Raises
    ------
    SettingRefused
        If the instant has no zone.
    """
    if at.tzinfo is None:
        raise SettingRefused(
            "instant",
            given=at,
            allowed="a time with its zone",
            fix="attach Asia/Kolkata at the edge",
        )
    return (at - _EPOCH) // timedelta(milliseconds=1)


def from_epoch_ms(ts_ms: int) -> datetime:
    """Return epoch milliseconds as an aware instant, Asia/Kolkata."""
    return (_EPOCH + timedelta(milliseconds=ts_ms)).astimezone(IST)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


def _at(on: date, clock: time) -> datetime:
    return datetime.combine(on, clock, tzinfo=IST)


@lru_cache(maxsize=1)
def _nse_closed() -> frozenset[date]:
    return frozenset(
        date(year, int(day[:2]), int(day[2:]))
        for year, days in CLOSED.items()
        for day in days.split()
    )


def _stretches(subject: str, text: str) -> Stretches:
    try:
        found = tuple(
            (time.fromisoformat(start), time.fromisoformat(end))
            for start, end in (part.split("-") for part in text.split())
        )
    except ValueError:
        found = ()
    flat = [clock for stretch in found for clock in stretch]
    if not flat or flat != sorted(set(flat)):
        raise SettingRefused(
            subject,
            given=repr(text),
            allowed="HH:MM-HH:MM, stretches in order and apart by a space",
            fix='write it as "18:15-19:15"',
        )
    return found


NSE: Final = Calendar()
