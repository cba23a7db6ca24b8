"""Each rule for a bad candle is broken alone; each count is planted and found."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.frame import ts_ms
from flows.data.quality import SessionGrid, inspect
from tests.flows.data.candles import day_frame, minute_frame

NAN, INF = float("nan"), float("inf")
MON, TUE, WED = date(2021, 5, 10), date(2021, 5, 11), date(2021, 5, 12)

#  id                    column   value   the rule that names it
BAD = [
    ("no price",         "close", NAN,    "missing or not finite"),
    ("an infinite one",  "high",  INF,    "missing or not finite"),
    ("a price of 0",     "low",   0.0,    "not above 0"),
    ("a price below 0",  "low",   -5.0,   "not above 0"),
    ("high too low",     "high",  100.2,  "high is below another price"),
    ("low too high",     "low",   100.3,  "low is above another price"),
    ("open above high",  "open",  101.5,  "high is below another price"),
    ("close below low",  "close", 98.0,   "low is above another price"),
    ("negative volume",  "volume", -1.0,  "volume is below 0"),
    ("infinite volume",  "volume", INF,   "volume is below 0 or not finite"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "column", "value", "rule"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_candle_is_named_with_its_rule_and_left_out(
    case: str, column: str, value: float, rule: str
) -> None:
    frame = day_frame("NSE:A", [MON, TUE, WED])
    frame.loc[0, column] = value
    found = inspect(frame, "day")
    assert found.counts.bad == 1
    assert len(found.bad) == 1
    assert found.bad[0].symbol == "NSE:A"
    assert found.bad[0].ts.startswith("2021-05-10T00:00:00+05:30")
    assert rule in found.bad[0].rule
    assert f"{column} {value:g}" in found.bad[0].rule
    assert list(ts_ms(found.frame)) == list(ts_ms(frame))[1:]


def test_a_good_candle_is_not_touched() -> None:
    frame = day_frame("NSE:A", [MON, TUE, WED])
    found = inspect(frame, "day")
    pd.testing.assert_frame_equal(found.frame, frame)
    counts = found.counts
    assert (counts.candles, counts.bad, counts.flat, counts.jumps) == (3, 0, 0, 0)


@pytest.mark.parametrize(
    ("second", "repeats", "bad"),
    [({}, 1, 0), ({"volume": 7.0}, 0, 2), ({"close": 100.1}, 0, 2), ({"volume": NAN}, 0, 2)],
    ids=["the same row", "another volume", "another close", "no volume"],
)
def test_two_candles_with_one_time(second: dict[str, float], repeats: int, bad: int) -> None:
    frame = day_frame("NSE:A", [MON, MON, TUE])
    frame.loc[1, ["open", "high", "low", "close"]] = frame.loc[0, ["open", "high", "low", "close"]]
    for name, value in second.items():
        frame.loc[1, name] = value
    found = inspect(frame, "day")
    assert (found.counts.duplicates, found.counts.bad) == (repeats, bad)
    assert len(found.frame) == 3 - repeats - bad
    if bad:
        assert "two different candles" in found.bad[0].rule


def test_rows_without_a_volume_that_repeat_are_repeats() -> None:
    frame = day_frame("NSE:A", [MON, MON], volume=NAN)
    frame.loc[1, ["open", "high", "low", "close"]] = frame.loc[0, ["open", "high", "low", "close"]]
    assert inspect(frame, "day").counts.duplicates == 1


def test_what_is_only_counted() -> None:
    frame = minute_frame("NSE:A", [MON], 10)
    frame.loc[3, ["open", "high", "low", "close"]] = 100.0  # flat
    frame.loc[5, "volume"] = NAN
    frame.loc[7:, ["open", "high", "low", "close"]] *= 1.3  # a move of 30 %
    counts = inspect(frame, "minute").counts
    assert (counts.flat, counts.volume_missing, counts.jumps, counts.bad) == (1, 1, 1, 0)


OUTSIDE = [
    ("in the session",         MON,                "09:15", 0, 0),
    ("last minute",            MON,                "15:29", 0, 0),
    ("before the open",        MON,                "09:14", 1, 0),
    ("at the close",           MON,                "15:30", 1, 0),
    ("a holiday",              date(2021, 5, 13),  "10:00", 1, 0),
    ("a Sunday",               date(2021, 5, 16),  "10:00", 1, 0),
    ("Budget Saturday",        date(2020, 2, 1),   "10:00", 0, 0),
    ("an evening's Muhurat",   date(2020, 11, 14), "18:30", 0, 0),
    ("off the grid",           MON,                "09:17", 0, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "on", "clock", "outside", "off"), OUTSIDE, ids=[row[0] for row in OUTSIDE]
)
def test_hours_are_those_of_the_day(
    case: str, on: date, clock: str, outside: int, off: int
) -> None:
    frame = day_frame("NSE:A", [on])
    frame["ts"] = pd.to_datetime([f"{on} {clock}"]).tz_localize("Asia/Kolkata")
    counts = inspect(frame, "5minute" if off else "minute").counts
    assert (counts.outside_session, counts.off_grid) == (outside, off)
    assert inspect(frame, "minute", calendar=None).counts.outside_session == 0


def test_gaps_are_counted_against_what_the_other_symbols_have() -> None:
    grid = SessionGrid()
    whole = minute_frame("NSE:A", [MON, TUE, WED], 5)
    hole = whole.drop([1, 2, *range(5, 10)])  # two minutes of Monday, all of Tuesday
    late = whole.drop([0, 1, 14])  # listed in the middle of Monday, gone before Wednesday's end
    for symbol, frame in (("NSE:A", whole), ("NSE:B", hole), ("NSE:C", late)):
        grid.add(symbol, ts_ms(frame.reset_index(drop=True)))
    assert grid.days() == [MON, TUE, WED]
    assert grid.missing("NSE:A") == (0, 0)
    assert grid.missing("NSE:B") == (1, 2)
    assert grid.missing("NSE:C") == (0, 0)


@given(st.sets(st.integers(0, 299), min_size=2), st.integers(0, 2**16))
def test_what_is_removed_is_what_is_missed(kept: set[int], seed: int) -> None:
    days = [MON, TUE, WED]
    whole: Any = ts_ms(minute_frame("NSE:A", days, 100))
    mine = whole[sorted(kept)]
    grid = SessionGrid()
    grid.add("NSE:A", whole)
    grid.add("NSE:B", mine)
    own = {position // 100 for position in kept}
    inner = [p for p in range(min(kept), max(kept) + 1) if p // 100 in own]
    missing_days, missing = grid.missing("NSE:B")
    assert missing_days == max(own) - min(own) + 1 - len(own)
    assert missing == len(inner) - len(kept)
    assert np.array_equal(mine, np.sort(mine))
