"""simulate(market, signals, settings) -> Result: the agent's own decisions over past prices.

Each day is run by itself: intraday positions end with their day, the money's book is opened anew
each morning, and so a run cut in two at a day is the same run. An agent that stopped itself (the
day's loss, a drawdown) is taken up again the next morning, as an operator would; the result says
on which days. Only instruments with a signal are played: the others would not have been traded.
Same market, signals, settings: same trades, same book. Pure: no clock, no draw, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date

from agent.backtest.day import DayRun
from agent.backtest.market import BacktestMarket
from agent.backtest.results import Day, Result
from agent.backtest.settings import Settings
from agent.backtest.signals import SignalRow, Signals
from agent.errors import SettingRefused
from agent.market.candles import INTERVALS_MS
from agent.market.sessions import Session, epoch_ms

Progress = Callable[[int, int, date], None]


def simulate(
    market: BacktestMarket,
    signals: Signals,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
) -> Result:
    """Trade signals over past prices with the agent's own `decide`, against the exchange's core.

    Parameters
    ----------
    market : BacktestMarket
    signals : sequence of SignalRow, or callable (AskModel) -> iterable of SignalRow
        A function is asked when candles close, about the symbols whose window is whole.
    settings : Settings, optional
    progress : callable (days done, of how many, day), optional

    Returns
    -------
    Result

    Raises
    ------
    SettingRefused
        If a signal has no policy or a symbol two at one instant, or the model's candles are
        finer than the market's.
    Broken
        If an invariant of ours does not hold.
    """
    settings = settings or Settings()
    _check_interval(market, settings)
    plan = _plan(market, signals, settings)
    days: list[Day] = []
    for number, (on, keys, told) in enumerate(plan, start=1):
        days.append(DayRun(market.on_day(on, keys), told, settings).run())
        if progress is not None:
            progress(number, len(plan), on)
    return Result(market.path, settings.rules.money.capital.paise, tuple(days))


def _plan(
    market: BacktestMarket, signals: Signals, settings: Settings
) -> list[tuple[date, set[str], Signals]]:
    """Return the days to run, oldest first: their instruments and their signals."""
    if isinstance(signals, Sequence):
        by_day = rows_by_day(market, signals, settings)
        return [(on, {row.key for row in rows}, rows) for on, rows in by_day.items()]
    plan: list[tuple[date, set[str], Signals]] = []
    for on in market.days:
        keys = {key for key in market.keys if market.sold_on(key, on)}
        if keys:
            plan.append((on, keys, signals))
    return plan


def rows_by_day(
    market: BacktestMarket, rows: Iterable[SignalRow], settings: Settings
) -> dict[date, tuple[SignalRow, ...]]:
    """Return the signals of each day, with the instant at which they are heard.

    A row belongs to the first day whose session has not closed at its instant; where its
    instrument has no price on that day it is left out. One from before the open (a day candle's,
    known at its close) is heard when entries may first leave, and is good for that session; of
    several from before an open the last one counts.

    Raises
    ------
    SettingRefused
        If one symbol has two opinions at one instant.
    """
    waiting = sorted(rows, key=lambda row: (row.ts_ms, row.key))
    found: dict[date, tuple[SignalRow, ...]] = {}
    place = 0
    for on in market.days:
        sessions: dict[str, Session | None] = {}
        today: list[SignalRow] = []
        early: dict[str, SignalRow] = {}
        ends = max(
            (s.closes_ms for key in market.keys if (s := market.session(key, on))), default=0
        )
        while place < len(waiting) and waiting[place].ts_ms < ends:
            row = waiting[place]
            place += 1
            if row.key not in sessions:
                sold = market.sold_on(row.key, on)
                sessions[row.key] = market.session(row.key, on) if sold else None
            session = sessions[row.key]
            if session is None or row.ts_ms >= session.closes_ms:
                continue
            if row.ts_ms < session.opens_ms:
                early[row.key] = _early(row, session, settings)
            else:
                today.append(_inside(row, settings))
        if early or today:
            found[on] = (*(early[key] for key in sorted(early)), *today)
    return found


def _early(row: SignalRow, session: Session, settings: Settings) -> SignalRow:
    since = epoch_ms(session.after_open(settings.rules.entry.since))
    until = max(row.valid_until_ms, 0) or session.closes_ms
    return replace(row, heard_ms=_heard(since, settings), valid_until_ms=until)


def _inside(row: SignalRow, settings: Settings) -> SignalRow:
    until = row.valid_until_ms or row.ts_ms + INTERVALS_MS[settings.interval]
    return replace(row, heard_ms=_heard(row.ts_ms, settings), valid_until_ms=until)


def _heard(known_ms: int, settings: Settings) -> int:
    return known_ms + settings.signal_delay_ms + settings.latency.model_ms


def _check_interval(market: BacktestMarket, settings: Settings) -> None:
    asked = INTERVALS_MS.get(settings.interval, 0)
    if asked < INTERVALS_MS[market.interval]:
        raise SettingRefused(
            "interval",
            given=settings.interval,
            allowed=f"an interval of {market.interval} or more: the market's own candles",
            fix="set the interval of the candles that the signals were made from",
        )
