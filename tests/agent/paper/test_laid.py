"""Stored days on real ones: which day plays when, at what hours, and what is history."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from agent.errors import SettingRefused
from agent.market.sessions import NSE, Calendar
from agent.paper.laid import Laid, anchor_for
from agent.paper.market import Market
from agent.paper.source import CandleSet
from tests.agent.paper.lab import at, minute_columns, scripted, wander

TODAY = date(2026, 11, 26)  # a Thursday; Tuesday the 24th was a holiday
FRIDAY, MONDAY = date(2026, 11, 27), date(2026, 11, 30)


def stored(days: int = 6, first: int = 3) -> Market:
    """Return a market of daily candles of which the last ones are replayed."""
    market = Market(wander(5, days), ticks_per_day=40)
    market.days = market.days[first:]
    return market


def laid(market: Market, anchor: date = TODAY) -> Laid:
    return Laid(market, anchor, anchor + timedelta(days=10))


def test_days_fall_on_sessions_and_begin_again() -> None:
    of = laid(stored())
    assert of.days[:3] == (TODAY, FRIDAY, MONDAY)
    opens = {on: of.tape("NSE:AAA", on).prices[0] for on in of.days[:6]}
    played = [stored().tape("NSE:AAA", day).prices[0] for day in stored().days]
    assert list(opens.values()) == [*played, *played]


def test_earlier_days_are_history_on_the_sessions_before() -> None:
    market = stored()
    days = laid(market).candles("NSE:AAA", "day", (at("00:00", date(2026, 11, 1)),
                                at("23:00", TODAY)), at("10:00", TODAY))  # fmt: skip
    assert [one.start_ms for one in days] == [
        at("00:00", date(2026, 11, day)) for day in (20, 23, 25)
    ]
    first = market.days[0]
    before = market.candles("NSE:AAA", "day", (0, at("00:00", first) - 1), at("00:00", first))
    assert [one.close for one in days] == [one.close for one in before]
    assert laid(market).previous_close("NSE:AAA", TODAY) == days[-1].close


#  id, the real day, first and last tick of a stored day of 09:15 to 15:30
HOURS = [
    ("a normal day", TODAY, "09:15", "15:29:45"),
    ("an evening hour", date(2025, 10, 21), "13:45", "14:44:45"),
    ("two stretches", date(2021, 2, 24), "09:15", "16:59:45"),
]


@pytest.mark.parametrize(("on", "first", "last"), [r[1:] for r in HOURS], ids=[r[0] for r in HOURS])
def test_a_day_is_played_in_the_hours_of_the_real_one(on: date, first: str, last: str) -> None:
    of = laid(scripted({"NSE:A": [100.0 + n % 7 for n in range(375)]}), on)
    tape, session = of.tape("NSE:A", on), NSE.session(on)
    assert session is not None
    assert tape.times[0] == at(first, on)
    assert tape.times[-1] <= at(last, on)
    assert all(session.is_continuous_ms(ms) for ms in tape.times)
    assert len(tape.times) == len(tape.prices) == len(tape.volumes) > 100
    minutes = of.candles("NSE:A", "minute", (at("00:00", on), at("23:59", on)), at("23:59", on))
    assert {one.start_ms for one in minutes} == {ms // 60_000 * 60_000 for ms in tape.times}


def test_candles_end_before_they_are_told() -> None:
    of = laid(scripted({"NSE:A": [100.0 + n % 7 for n in range(375)]}))
    span = (at("09:15", TODAY), at("15:30", TODAY))
    told = of.candles("NSE:A", "5minute", span, at("09:24:59", TODAY))
    assert [one.start_ms for one in told] == [at("09:15", TODAY)]
    assert of.candles("NSE:A", "day", span, at("15:00", TODAY)) == []


def test_a_stock_that_closed_by_auction_does_so_again() -> None:
    since = date(2026, 8, 3)
    early = minute_columns([100.0] * 360, on=since)
    late = minute_columns([100.0] * 375, on=since)
    of = laid(Market(CandleSet("minute", {"NSE:A": early, "NSE:B": late})))
    ends = {key: of.session(key, TODAY) for key in of.keys}
    assert ends["NSE:A"] is not None
    assert ends["NSE:A"].closes_ms == at("15:15", TODAY)
    assert ends["NSE:B"] is not None
    assert ends["NSE:B"].closes_ms == at("15:30", TODAY)


def test_no_price_is_invented() -> None:
    market = stored(days=9, first=4)
    of = laid(market)
    for n, on in enumerate(of.days[:5]):
        one, two = of.tape("NSE:BBB", on), market.tape("NSE:BBB", market.days[n])
        assert (one.prices, one.volumes) == (two.prices, two.volumes)
        assert len(set(np.subtract(one.times, two.times).tolist())) == 1
        assert of.band("NSE:BBB", on) == market.band("NSE:BBB", market.days[n])


#  id, the instant, the session that it belongs to
ANCHORS = [
    ("in the session", at("11:00", TODAY), TODAY),
    ("near the open", at("08:55", TODAY), TODAY),
    ("before that", at("08:54:59", TODAY), date(2026, 11, 25)),
    ("in the evening", at("20:00", TODAY), TODAY),
    ("at a weekend", at("12:00", date(2026, 11, 28)), FRIDAY),
    ("on a holiday", at("12:00", date(2026, 11, 24)), date(2026, 11, 23)),
]


@pytest.mark.parametrize(("ms", "on"), [row[1:] for row in ANCHORS], ids=[r[0] for r in ANCHORS])
def test_the_session_of_an_instant(ms: int, on: date) -> None:
    assert anchor_for(ms, 20 * 60_000) == on


def test_a_closed_day_is_no_anchor_and_a_calendar_without_one_is_refused() -> None:
    with pytest.raises(SettingRefused, match="2026-11-24"):
        laid(stored(), date(2026, 11, 24))
    with pytest.raises(SettingRefused, match="calendar"):
        anchor_for(at("08:00", TODAY), 0, Calendar.of_days([TODAY]))
