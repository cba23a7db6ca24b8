"""May this symbol be entered again? A pause after a stop-out, and so many round trips a day.

Pure: what happened comes in, words or None come out. The live agent and the backtest ask before
an entry; replay and labels know one position only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from agent.market.instruments import Side
from agent.trailing.policy import Overtrading


@dataclass(frozen=True, slots=True)
class SymbolDay:
    """What one symbol did on one day.

    Parameters
    ----------
    on : date
        Asia/Kolkata.
    round_trips : int
    long_stopped_ms, short_stopped_ms : int, epoch milliseconds, or None
        The side's last exit by its stop.
    """

    on: date
    round_trips: int = 0
    long_stopped_ms: int | None = None
    short_stopped_ms: int | None = None

    def stopped_ms(self, side: Side) -> int | None:
        """Return the side's last stop-out."""
        return self.long_stopped_ms if side is Side.LONG else self.short_stopped_ms


def closed(day: SymbolDay, side: Side, *, by_stop: bool, now_ms: int) -> SymbolDay:
    """Return the day after a position was closed."""
    after = replace(day, round_trips=day.round_trips + 1)
    if not by_stop:
        return after
    if side is Side.LONG:
        return replace(after, long_stopped_ms=now_ms)
    return replace(after, short_stopped_ms=now_ms)


def entry_refused(rules: Overtrading, day: SymbolDay, side: Side, *, now_ms: int) -> str | None:
    """Return why the side may not be entered now, in words with the numbers; None if it may."""
    most = rules.max_round_trips
    if most is not None and day.round_trips >= most:
        return f"max_round_trips: {day.round_trips} of {most} round trips on {day.on}"
    stopped = day.stopped_ms(side)
    if stopped is not None and now_ms - stopped < rules.cooldown_s * 1000:
        left = rules.cooldown_s - (now_ms - stopped) / 1000
        return f"cooldown_s: {left:.0f} of {rules.cooldown_s} s left after a stop-out"
    return None
