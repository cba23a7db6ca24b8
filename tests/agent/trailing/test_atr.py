"""Wilder's range over bars, and the bars that ticks are put into."""

from __future__ import annotations

from fractions import Fraction

import pytest

from agent.errors import SettingRefused
from agent.trailing.atr import TickBars, Wilder, bar_length_ms
from tests.agent.trailing.cases import NINE_FIFTEEN


def test_the_first_value_is_a_mean_and_the_first_range_is_high_less_low() -> None:
    wilder = Wilder(3)
    bars = [(10, 8, 9), (12, 11, 12), (11, 7, 8), (9, 9, 9)]
    ranges = [2, 3, 5, 1]
    values = [wilder.add(*bar) for bar in bars]
    first = Fraction(sum(ranges[:3]), 3)
    assert values == [None, None, first, (first * 2 + 1) / 3]


def test_a_range_of_zero_is_not_published_but_counts() -> None:
    wilder = Wilder(2)
    assert [wilder.add(5, 5, 5), wilder.add(5, 5, 5)] == [None, None]
    assert wilder.add(7, 5, 7) == 1


def test_long_denominators_are_cut_where_no_tick_can_see_it() -> None:
    wilder, value = Wilder(14), None
    exact = Fraction(0)
    for n in range(1300):
        bar = (7 + n % 5, 3, 4 + n % 3)
        value = wilder.add(*bar)
        assert value is None or value.denominator.bit_length() <= 4100
    constant = Wilder(14)
    for _ in range(1300):
        exact = constant.add(7, 5, 6) or exact
    assert exact == 2, "a constant range stays exact for ever"


def test_a_bar_closes_with_the_first_tick_of_a_later_one() -> None:
    bars = TickBars(60_000, 1)
    start = NINE_FIFTEEN
    told = [
        bars.add(start - 1, 10),  # 09:14
        bars.add(start, 12),
        bars.add(start + 59_999, 15),
        bars.add(start + 300_000, 15),  # bars without ticks do not exist
        bars.add(start + 86_400_000, 20),
    ]
    assert told == [None, None, None, 5, None]


def test_bars_start_at_0915_whatever_their_length() -> None:
    bars = TickBars(420_000, 1)  # seven minutes do not divide a day
    assert bars.add(NINE_FIFTEEN, 10) is None
    assert bars.add(NINE_FIFTEEN + 419_999, 11) is None
    assert bars.add(NINE_FIFTEEN + 420_000, 11) == 1
    assert bars.add(NINE_FIFTEEN + 86_400_000, 13) is None
    assert bars.add(NINE_FIFTEEN + 86_400_000 + 420_000, 13) == 2


def test_midnight_cuts_no_bar_in_two() -> None:
    hour = 3_600_000
    bars = TickBars(hour, 1)
    midnight = NINE_FIFTEEN + 14 * hour + hour * 3 // 4  # the bar runs from 23:15 to 00:15
    told = [bars.add(midnight + ms, price) for ms, price in ((-1, 10), (0, 13), (hour // 4, 20))]
    assert told == [None, None, 3]


@pytest.mark.parametrize(
    ("text", "ms"), [("1min", 60_000), ("30s", 30_000), ("1h", 3_600_000), ("5 minute", 300_000)]
)
def test_the_length_of_a_bar(text: str, ms: int) -> None:
    assert bar_length_ms(text) == ms


@pytest.mark.parametrize("text", ["", "min", "0min", "-1min", "2d", "1.5min", "90000s"])
def test_a_length_that_is_none(text: str) -> None:
    with pytest.raises(SettingRefused, match="--bar"):
        bar_length_ms(text)
    with pytest.raises(SettingRefused, match="--atr-period"):
        Wilder(0)
