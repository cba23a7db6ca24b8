"""The candles that the model is shown, and the ATRs that the levels need.

Rule 1: a window with a hole is never sent: entries for a symbol wait until its window is whole.
Rule 2: it is filled from the broker's historical call at the start and after a gap of the feed;
official candles replace those built from ticks.
Rule 3: the candle that is forming is nobody's business: only closed ones count.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from agent.core.commands import ReadHistory, Window
from agent.core.events import CandleClosed, HistoryRead, OfficialCandle
from agent.core.state import AtrState
from agent.core.turn import Turn
from agent.core.values import Priority
from agent.market.candles import interval_ms
from agent.market.instruments import Instrument
from agent.market.sessions import IST, epoch_ms, from_epoch_ms

ATR_PERIOD = 14
DAY_MS = 86_400_000
SESSION_MS = 375 * 60_000
CALENDAR_SLACK = 2  # calendar days for one trading day, holidays and weekends included
DAYS_EXTRA = 10
KEPT_FACTOR = 2


def read_history(turn: Turn, key: str) -> None:
    """Ask for the candles that a symbol's window needs."""
    desk = turn.desk
    instrument = desk.instruments.get(key)
    if instrument is None or f"history:{key}" in desk.asking.values():
        return
    per_day = 1 if desk.interval == "day" else max(1, SESSION_MS // interval_ms(desk.interval))
    days = -(-desk.window // per_day) * CALENDAR_SLACK + DAYS_EXTRA
    call = turn.ask(f"history:{key}")
    since = turn.at_ms - days * DAY_MS
    turn.emit(
        ReadHistory(call, Priority.READ, key, instrument.token, desk.interval, since, turn.at_ms)
    )


def on_history(turn: Turn, read: HistoryRead) -> None:
    """Take in official candles; drop what is not closed yet."""
    closed = tuple(c for c in read.candles if _end(turn, c, read.interval) <= turn.at_ms)
    instrument = turn.desk.instruments.get(read.key)
    if read.interval != turn.desk.interval or instrument is None:
        return
    kept = closed[-KEPT_FACTOR * max(turn.desk.window, ATR_PERIOD + 1) :]
    turn.set(windows={**turn.desk.windows, read.key: kept})
    atr = AtrState(0)
    for candle in kept:
        atr = _atr_after(
            atr, *(_ticks(instrument, p) for p in (candle.high, candle.low, candle.close))
        )
    turn.set(atrs={**turn.desk.atrs, (read.key, read.interval): atr})


def on_candle(turn: Turn, event: CandleClosed) -> bool:
    """Take in a candle built from ticks; return whether the model is to be asked about it."""
    candle, key = event.candle, event.key
    if candle.ticks or not candle.gap:
        old = turn.desk.atrs.get((key, event.interval), AtrState(0))
        after = _atr_after(old, candle.high, candle.low, candle.close)
        turn.set(atrs={**turn.desk.atrs, (key, event.interval): after})
    instrument = turn.desk.instruments.get(key)
    if event.interval != turn.desk.interval or instrument is None:
        return False
    if candle.gap or (not candle.ticks):
        # The broker has no row for an interval without a trade, and a hole is never sent.
        if candle.gap:
            turn.set(windows={**turn.desk.windows, key: ()})
            turn.timer(f"history:{key}", turn.at_ms + 5_000)
        return False
    paise = instrument.tick_paise
    official = OfficialCandle(
        candle.ts_ms,
        open=candle.open * paise / 100,
        high=candle.high * paise / 100,
        low=candle.low * paise / 100,
        close=candle.close * paise / 100,
        volume=None if candle.volume is None else float(candle.volume),
        source="ticks",
    )
    window = turn.desk.windows.get(key, ())
    if window and window[-1].ts_ms >= official.ts_ms:
        return False
    kept = (*window, official)[-KEPT_FACTOR * max(turn.desk.window, 1) :]
    turn.set(windows={**turn.desk.windows, key: kept})
    return True


def window_of(turn: Turn, key: str) -> Window | None:
    """Return the window to send for a symbol, or None while it is not whole."""
    candles = turn.desk.windows.get(key, ())[-turn.desk.window :]
    if len(candles) < turn.desk.window or not turn.desk.window:
        return None
    if any(a.ts_ms >= b.ts_ms for a, b in pairwise(candles)):
        return None
    return Window(
        key,
        tuple(c.ts_ms for c in candles),
        tuple(c.open for c in candles),
        tuple(c.high for c in candles),
        tuple(c.low for c in candles),
        tuple(c.close for c in candles),
        tuple(c.volume for c in candles),
        tuple(c.source for c in candles),
    )


def _end(turn: Turn, candle: OfficialCandle, interval: str) -> int:
    if interval == "day":
        opened = from_epoch_ms(candle.ts_ms).astimezone(IST)
        session = turn.desk.session
        if session is not None and session.on == opened.date():
            return session.closes_ms
        return epoch_ms(opened.replace(hour=0, minute=0) + timedelta(hours=15, minutes=30))
    return candle.ts_ms + interval_ms(interval)


def _ticks(instrument: Instrument, rupees: float) -> int:
    return round(rupees * 100 / instrument.tick_paise)


def _atr_after(state: AtrState, high: int, low: int, close: int) -> AtrState:
    """Return Wilder's average true range after one more candle; the first range is high - low."""
    spread = high - low
    if state.close:
        spread = max(spread, abs(high - state.close), abs(low - state.close))
    if state.value is not None:
        value = state.value + (spread - state.value) / ATR_PERIOD
        return AtrState(close, (), value)
    ranges = (*state.ranges, spread)
    if len(ranges) == ATR_PERIOD:
        return AtrState(close, (), sum(ranges) / ATR_PERIOD)
    return replace(state, close=close, ranges=ranges)
