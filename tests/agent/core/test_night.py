"""What a night may not leave behind: ranges that reach from yesterday's prices to today's."""

from __future__ import annotations

import pytest

from agent.core import events as ev
from agent.market.candles import Candle
from tests.agent.orders.bench import KEY, Bench

MINUTE_MS = 60_000
RANGE = 4  # ticks from each minute's high to its low


def minute(bench: Bench, price: int) -> None:
    """Let a minute close at its middle."""
    bench.now += MINUTE_MS
    candle = Candle(
        bench.now - MINUTE_MS, bench.now, price, price + RANGE // 2, price - RANGE // 2, price,
        100, 5, gap=False,
    )  # fmt: skip
    bench.take(ev.CandleClosed(bench.now, KEY, "minute", candle))


def minute_atr(bench: Bench) -> float | None:
    return bench.desk.atrs[KEY, "minute"].value


@pytest.mark.parametrize("after", [1_000, 2_100, 1_900], ids=["split", "gap up", "gap down"])
@pytest.mark.parametrize("minutes", [20, 6], ids=["known", "not known yet"])
def test_a_night_is_no_part_of_the_minutes_range(after: int, minutes: int) -> None:
    bench = Bench()
    for _ in range(minutes):
        minute(bench, 2_000)
    bench.take(ev.TimerFired(bench.now, "over"))
    for _ in range(14):
        minute(bench, after)
    assert minute_atr(bench) == RANGE


def test_a_jump_inside_the_day_is() -> None:
    bench = Bench()
    for _ in range(20):
        minute(bench, 2_000)
    minute(bench, 2_100)
    assert minute_atr(bench) == pytest.approx(RANGE + (102 - RANGE) / 14)
