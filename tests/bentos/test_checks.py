"""Sanity on both sides: times, ranges, probabilities, an answer that never changes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.answer import golden_difference, prediction, trading_day
from bentos.checks import (
    STUCK_ANSWERS,
    StuckWatch,
    _name_the_fault,
    _sound,
    age_warnings,
    bad_output,
    closes_ms,
    range_warnings,
)
from bentos.problems import Problem
from tests.bentos.candles import walk

MIDNIGHT = 1_767_551_400_000  # 2026-01-05 00:00 in India
MINUTE, HOUR = 60_000, 3_600_000
NINE_15 = MIDNIGHT + 9 * HOUR + 15 * MINUTE
HALF_PAST_3 = MIDNIGHT + 15 * HOUR + 30 * MINUTE


@pytest.mark.parametrize(
    ("opens", "interval", "closes"),
    [
        (MIDNIGHT, "day", HALF_PAST_3),
        (NINE_15, "minute", NINE_15 + MINUTE),
        (NINE_15, "60minute", NINE_15 + HOUR),
        (MIDNIGHT + 15 * HOUR + 15 * MINUTE, "60minute", HALF_PAST_3),  # the session's short last
        (MIDNIGHT + 18 * HOUR, "60minute", MIDNIGHT + 19 * HOUR),  # an evening session
    ],
)
def test_when_a_candle_closes(opens: int, interval: str, closes: int) -> None:
    assert closes_ms(opens, interval) == closes


@pytest.mark.parametrize(
    ("ms", "day"),
    [
        (MIDNIGHT, "2026-01-05"),
        (MIDNIGHT - 1, "2026-01-04"),
        (MIDNIGHT + 24 * HOUR - 1, "2026-01-05"),
        (MIDNIGHT + 20 * HOUR, "2026-01-05"),  # the next day in UTC is not the next here
    ],
)
def test_the_trading_day_is_indias(ms: int, day: str) -> None:
    assert trading_day(ms) == day


def test_the_time_of_asking() -> None:
    opened, closed = NINE_15, NINE_15 + HOUR

    def told(as_of: int, *, refuse: bool = False) -> list[str]:
        return age_warnings(as_of, opened, closed, 600, refuse=refuse)

    assert told(closed) == told(closed + 600_000) == []
    assert told(closed + 600_001)[0].startswith("stale:")
    assert told(opened)[0].startswith("unfinished-candle:")
    with pytest.raises(Problem, match="as_of"):
        told(opened - 1)
    with pytest.raises(Problem, match="as_of"):
        told(closed + 600_001, refuse=True)


def test_values_outside_the_training_range() -> None:
    low, high = np.full(8, -1.0), np.full(8, 1.0)
    names = [f"f{i}" for i in range(8)]
    assert range_warnings(np.array([1.0, -1.0, math.nan, 0, 0, 0, 0, 0]), low, high, names,
                          refuse=False) == []  # fmt: skip
    told = range_warnings(np.full(8, 2.0), low, high, names, refuse=False)
    assert told == ["outside-training-range: f0, f1, f2, f3, f4 and 3 more"]
    with pytest.raises(Problem, match=r"features\.f1"):
        range_warnings(np.array([0, 2.0, 0, 0, 0, 0, 0, 0]), low, high, names, refuse=True)


@pytest.mark.parametrize(
    ("p", "good"),
    [
        ((0.2, 0.3, 0.5), True),
        ((0.0, 0.0, 1.0), True),
        ((0.2, 0.3, 0.5 + 1e-9), True),
        ((0.2, 0.3, 0.6), False),
        ((-0.1, 0.6, 0.5), False),
        ((1.1, -0.1, 0.0), False),
        ((math.nan, 0.5, 0.5), False),
        ((math.inf, 0.0, 0.0), False),
    ],
)
def test_probabilities_that_are_none_are_never_a_trade(
    p: tuple[float, float, float], good: bool
) -> None:
    assert (bad_output(p) == "") is good
    if not good:

        class Manifest:
            payoff, rule = None, None

        said, wrong = prediction(Manifest(), p)  # type: ignore[arg-type]
        assert said["side"] == "HOLD"
        assert wrong.startswith("bad-output")


def test_one_answer_to_many_questions_is_noticed_once() -> None:
    watch, same = StuckWatch(), (0.2, 0.3, 0.5)
    told = [watch.seen(str(i).encode(), same) for i in range(3 * STUCK_ANSWERS)]
    assert told.count(True) == 1
    assert told[STUCK_ANSWERS]
    assert watch.stuck
    assert not watch.seen(b"new", (0.1, 0.4, 0.5))
    assert not watch.stuck


def test_one_question_asked_often_is_not_stuck() -> None:
    watch = StuckWatch()
    assert not any(watch.seen(b"same", (0.2, 0.3, 0.5)) for _ in range(3 * STUCK_ANSWERS))


GOLDEN = {"side": "BUY", "p_long": 0.5, "p_short": 0.2, "p_flat": 0.3, "er_long": 0.1,
          "er_short": -0.2}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"p_long": 0.5 + 1e-12}, True),
        ({"p_long": 0.5 + 1e-6}, False),
        ({"side": "SELL"}, False),
        ({"er_long": math.nan}, False),
        ({"er_long": None}, False),
        ({"extra": 1}, False),
    ],
)
def test_the_golden_answer_is_compared_to_the_last_figure(
    change: dict[str, object], same: bool
) -> None:
    assert (golden_difference(GOLDEN, {**GOLDEN, **change}) == "") is same


@given(
    at=st.integers(0, 59),
    column=st.sampled_from(["ts_ms", "open", "high", "low", "close", "volume"]),
    value=st.one_of(
        st.floats(allow_nan=False, width=64), st.sampled_from([0.0, -1.0, 1e-7, 2e9, 1e15, 1e16])
    ),
    step=st.sampled_from([1, 86_399_999, 86_400_001, 5 * 86_400_000]),
)
def test_the_quick_look_lets_nothing_through_that_the_slow_one_names(
    at: int, column: str, value: float, step: int
) -> None:
    candles = walk(60, 3)
    if column == "ts_ms":
        candles.ts_ms[at:] += step - 86_400_000
        if step > 2 * 86_400_000:
            candles = replace(candles, ts_ms=candles.ts_ms[0] + np.arange(60) * step)
    else:
        getattr(candles, column)[at] = value
    if _sound(candles, 86_400_000):
        _name_the_fault(candles, "day", "candles")


@given(
    at=st.integers(0, 59),
    columns=st.sets(st.sampled_from(["open", "high", "low", "close"]), min_size=1),
)
def test_a_price_that_is_no_number_is_not_sound(at: int, columns: set[str]) -> None:
    candles = walk(60, 3)
    assert _sound(candles, 86_400_000)
    for column in columns:
        getattr(candles, column)[at] = math.nan
    assert not _sound(candles, 86_400_000)


@pytest.mark.parametrize(
    ("volumes", "sound"),
    [
        ({}, True),
        ({0: 0.0}, True),
        ({0: 1e15}, True),
        ({0: math.nan, 5: 3.0}, True),
        (dict.fromkeys(range(60), math.nan), True),
        ({0: -1.0}, False),
        ({0: 1.1e15}, False),
        ({0: math.nan, 5: -1.0}, False),
        ({5: -1.0, 50: math.nan}, False),
        ({0: math.nan, 5: 1.1e15}, False),
        ({5: math.inf, 50: math.nan}, False),
    ],
)
def test_a_volume_that_is_not_known_hides_no_other(volumes: dict[int, float], sound: bool) -> None:
    candles = walk(60, 3)
    for at, shares in volumes.items():
        candles.volume[at] = shares
    assert _sound(candles, 86_400_000) is sound


@pytest.mark.parametrize(("long_gaps", "sound"), [(0, True), (29, True), (30, False), (59, False)])
def test_candles_of_another_interval_are_told_by_half_of_their_gaps(
    long_gaps: int, sound: bool
) -> None:
    day = 86_400_000
    candles = walk(60, 3)
    gaps = np.where(np.arange(59) < long_gaps, 5 * day, day)
    candles.ts_ms[1:] = candles.ts_ms[0] + np.cumsum(gaps)
    assert _sound(candles, day) is sound
