"""Cool-down a symbol and side, round trips a symbol and day."""

from __future__ import annotations

from datetime import date

from agent.market.instruments import Side
from agent.trailing.overtrading import SymbolDay, closed, entry_refused
from agent.trailing.policy import Overtrading

RULES = Overtrading(cooldown_s=300, max_round_trips=2)
DAY = SymbolDay(date(2021, 5, 10))


def test_a_stop_out_pauses_its_own_side_for_exactly_the_cooldown() -> None:
    day = closed(DAY, Side.SHORT, by_stop=True, now_ms=1000)
    told = entry_refused(RULES, day, Side.SHORT, now_ms=300_999)
    assert told is not None
    assert "of 300 s left" in told
    assert entry_refused(RULES, day, Side.SHORT, now_ms=301_000) is None
    assert entry_refused(RULES, day, Side.LONG, now_ms=1001) is None


def test_a_target_pauses_nothing_but_counts() -> None:
    day = closed(DAY, Side.LONG, by_stop=False, now_ms=1000)
    assert entry_refused(RULES, day, Side.LONG, now_ms=1001) is None
    day = closed(day, Side.SHORT, by_stop=False, now_ms=2000)
    told = entry_refused(RULES, day, Side.LONG, now_ms=10**9)
    assert told == "max_round_trips: 2 of 2 round trips on 2021-05-10"
    assert entry_refused(Overtrading(), day, Side.LONG, now_ms=2000) is None
