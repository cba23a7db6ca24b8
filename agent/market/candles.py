"""Ticks in, closed candles out, for one instrument.

Rule 1: no clock. A candle closes when time is said to be one second past its boundary, by a timer
event or by a tick that is that late itself; a tick never closes the candle before it sooner, as
a trade of the old minute may still arrive.
Rule 2: ticks are snapshots. A packet that shows no new trade (same day volume and trade time)
moves nothing. Volume is the difference of the day's cumulative volume.
Rule 3: what was not seen is said: a candle that overlaps a feed gap carries it, and an interval
without a trade closes flat at the last price with `ticks == 0` (the broker's history has no row
for it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent.errors import SettingRefused
from agent.market.sessions import IST, Session, epoch_ms

INTERVALS_MS: Final[dict[str, int]] = {
    "minute": 60_000,
    "3minute": 180_000,
    "5minute": 300_000,
    "10minute": 600_000,
    "15minute": 900_000,
    "30minute": 1_800_000,
    "60minute": 3_600_000,
    "day": 86_400_000,
}
CLOSE_DELAY_MS: Final = 1_000


def interval_ms(interval: str) -> int:
    """Return the length of an interval in Kite's words, in milliseconds.

    Raises
    ------
    SettingRefused
        If the broker has no such interval.
    """
    try:
        return INTERVALS_MS[interval]
    except KeyError:
        raise SettingRefused(
            "interval",
            given=repr(interval),
            allowed=", ".join(INTERVALS_MS),
            fix="use the broker's word",
        ) from None


def candle_start(ts_ms: int, interval: str, session: Session) -> int:
    """Return the open time of the candle that an instant of a session belongs to.

    Intraday candles are counted from the session's open (an hourly candle is 09:15-10:15); a day
    candle starts at 00:00 Asia/Kolkata.

    Parameters
    ----------
    ts_ms : int, epoch ms
        An instant of the session; whether it is one is the caller's question.

    Returns
    -------
    int, epoch ms

    Raises
    ------
    SettingRefused
        If the interval is unknown.
    """
    length = interval_ms(interval)
    if interval == "day":
        return epoch_ms(session.opens.astimezone(IST).replace(hour=0, minute=0))
    return ts_ms - (ts_ms - session.opens_ms) % length


def candle_end(start_ms: int, interval: str, session: Session) -> int:
    """Return when a candle is over: its length after its start, at most the session's close."""
    return min(start_ms + interval_ms(interval), session.closes_ms)


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed candle; prices in ticks of the instrument.

    `ts_ms` is the open time, `end_ms` the end of the interval (clipped to the session). `volume`
    is None where the feed has none. `ticks` counts the packets that showed a trade. `gap` says
    that the feed was away for a part of the interval.
    """

    ts_ms: int
    end_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int | None
    ticks: int
    gap: bool


@dataclass(slots=True)
class _Forming:
    ts_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    ticks: int


class CandleBuilder:
    """Builds the candles of one instrument in one session.

    Parameters
    ----------
    interval : str, in Kite's words
    session : Session
    since_ms : int, epoch ms
        From when on the feed is watched. After the open it starts with a gap, and the day's
        volume before the first packet is not counted.
    last_close : int, ticks, optional
        The last price known, for an interval without a trade before the first one.

    Raises
    ------
    SettingRefused
        If the interval is unknown.
    """

    __slots__ = (
        "_carried", "_end", "_forming", "_gap_from", "_gap_until", "_has_volume", "_interval",
        "_last_close", "_seen_ms", "_seen_trade_ms", "_seen_volume", "_session", "_since_ms",
        "_start", "late_trades", "stale_ticks",
    )  # fmt: skip

    def __init__(
        self, interval: str, session: Session, *, since_ms: int, last_close: int | None = None
    ) -> None:
        late = since_ms > session.opens_ms
        self._interval = interval
        self._session = session
        self._since_ms = since_ms
        self._start = candle_start(max(since_ms, session.opens_ms), interval, session)
        self._end = candle_end(self._start, interval, session)
        self._forming: list[_Forming] = []  # at most two: the one about to close and the next
        self._last_close = last_close
        self._seen_ms = since_ms
        self._seen_trade_ms: int | None = None
        self._seen_volume: int | None = None if late else 0
        self._has_volume = True
        self._carried = 0  # shares of trades that came after their candle had closed
        self._gap_from, self._gap_until = (session.opens_ms, since_ms) if late else (0, 0)
        self.late_trades = 0
        self.stale_ticks = 0

    @property
    def next_timer_ms(self) -> int | None:
        """When the next candle can be closed, epoch ms; None when the session's last has been."""
        return None if self._start >= self._session.closes_ms else self._end + CLOSE_DELAY_MS

    def tick(
        self, ts_ms: int, price: int, *, volume: int | None = None, trade_ms: int | None = None
    ) -> tuple[Candle, ...]:
        """Take in one packet; return the candles that its time closes (mostly none).

        Parameters
        ----------
        ts_ms : int, epoch ms, the packet's exchange time
        price : int, ticks, the last traded price
        volume : int, shares, optional
            The day's cumulative volume. The first candle of a day watched from before its open
            counts all of it, the pre-open auction included.
        trade_ms : int, epoch ms, optional
            The time of the last trade: a trade belongs to the candle of its own time. With
            neither this nor `volume` every packet counts as a trade.
        """
        seen = self._seen_volume
        if ts_ms < self._seen_ms or price <= 0 or (volume is not None and volume < (seen or 0)):
            self.stale_ticks += 1  # older than what was seen, or no price
            return ()
        self._seen_ms = ts_ms
        closed = self.timer(ts_ms)
        traded_ms = ts_ms if trade_ms is None else min(trade_ms, ts_ms)
        if self._session.is_continuous_ms(traded_ms) and self._is_new(volume, trade_ms):
            self._seen_trade_ms = trade_ms
            self._add(traded_ms, price, volume)
        return closed

    def timer(self, now_ms: int) -> tuple[Candle, ...]:
        """Return the candles whose end is at least a second ago, oldest first."""
        closed: list[Candle] = []
        while self._end + CLOSE_DELAY_MS <= now_ms and self._start < self._session.closes_ms:
            candle = self._close()
            if candle is not None:
                closed.append(candle)
            self._start = self._end
            self._end = candle_end(self._start, self._interval, self._session)
        return tuple(closed)

    def gap(self, since_ms: int, until_ms: int) -> None:
        """Note that the feed was away; every candle not yet closed that it touches carries it.

        Two gaps before the next close are kept as one stretch, so that nothing in between can
        pass as seen.
        """
        if self._gap_until < self._start:
            self._gap_from, self._gap_until = since_ms, until_ms
        else:
            self._gap_from = min(self._gap_from, since_ms)
            self._gap_until = max(self._gap_until, until_ms)

    def _is_new(self, volume: int | None, trade_ms: int | None) -> bool:
        more = volume is not None and volume != self._seen_volume
        if trade_ms is None:
            return more or volume is None
        return more or trade_ms != self._seen_trade_ms

    def _add(self, traded_ms: int, price: int, volume: int | None) -> None:
        added = 0
        if volume is None:
            self._has_volume = False
        else:
            added = 0 if self._seen_volume is None else volume - self._seen_volume
            self._seen_volume = volume
        if traded_ms < self._since_ms:  # the cached packet after a subscription
            self._last_close = price
            return
        start = candle_start(traded_ms, self._interval, self._session)
        if start < self._start:  # its candle is out: the shares count, the old price does not
            self.late_trades += 1
            self._carried += added
            return
        for forming in self._forming:
            if forming.ts_ms == start:
                forming.high = max(forming.high, price)
                forming.low = min(forming.low, price)
                forming.close = price
                forming.volume += added
                forming.ticks += 1
                return
        self._forming.append(_Forming(start, price, price, price, price, added, 1))
        self._forming.sort(key=lambda f: f.ts_ms)

    def _close(self) -> Candle | None:
        start, end = self._start, self._end
        gap = self._gap_from < end and self._gap_until > start
        if self._forming and self._forming[0].ts_ms == start:
            f = self._forming.pop(0)
        elif self._last_close is not None:
            last = self._last_close
            f = _Forming(start, last, last, last, last, 0, 0)
        else:
            return None
        self._last_close = f.close
        volume = f.volume + self._carried if self._has_volume else None
        self._carried = 0
        return Candle(start, end, f.open, f.high, f.low, f.close, volume, f.ticks, gap)
