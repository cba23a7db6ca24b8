"""Sessions by date: the phases, the closing auction, holidays against two other calendars."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.sessions import (
    IST,
    NSE,
    Calendar,
    Session,
    epoch_ms,
    from_epoch_ms,
)


def hm(session: Session | None) -> str:
    assert session is not None
    return f"{session.opens:%H:%M}-{session.closes:%H:%M}"


def at(on: str, clock: str) -> datetime:
    return datetime.combine(date.fromisoformat(on), time.fromisoformat(clock), tzinfo=IST)


#   day            kind of instrument    continuous      square-off  auction  pre-open until
@pytest.mark.parametrize(
    ("on", "what", "hours", "square_off", "auction", "pre_open"),
    [
        ("2009-12-31", "stock", "09:55-15:30", "15:20", False, None),
        ("2010-01-04", "stock", "09:00-15:30", "15:20", False, None),
        ("2010-10-18", "stock", "09:15-15:30", "15:20", False, "09:08"),
        ("2026-07-31", "with derivatives", "09:15-15:30", "15:20", False, "09:08"),
        ("2026-07-31", "contract", "09:15-15:30", "15:25", False, None),
        ("2026-08-03", "with derivatives", "09:15-15:15", "15:12", True, "09:08"),
        ("2026-08-03", "stock", "09:15-15:30", "15:25", False, "09:08"),
        ("2026-08-03", "contract", "09:15-15:40", "15:25", False, None),
        ("2026-09-04", "stock", "09:15-15:30", "15:25", False, "09:08"),
        ("2026-09-07", "stock", "09:15-15:30", "15:25", False, "09:10"),
        ("2026-11-25", "with derivatives", "09:15-15:15", "15:12", True, "09:10"),
    ],
)
def test_the_phases_are_dated(
    on: str, what: str, hours: str, square_off: str, auction: bool, pre_open: str | None
) -> None:
    session = NSE.session(
        date.fromisoformat(on), what == "with derivatives", contract=what == "contract"
    )
    assert session is not None
    assert hm(session) == hours
    assert session.kind == "regular"
    assert not session.assumed
    assert f"{session.square_off:%H:%M}" == square_off
    assert (session.auction is not None) is auction
    assert (session.pre_open and f"{session.pre_open.end:%H:%M}") == pre_open
    assert session.flat_by < session.square_off < session.closes


def test_the_auction_s_phases_follow_one_another() -> None:
    session = NSE.session(date(2026, 8, 3), derivatives=True)
    assert session is not None
    assert session.auction is not None
    a = session.auction
    steps = [a.starts, a.entry_from, a.limit_only_from, a.random_end_from, a.entry_until, a.ends]
    assert [f"{t:%H:%M}" for t in steps] == ["15:15", "15:20", "15:25", "15:28", "15:30", "15:35"]
    assert session.closes == a.starts


@pytest.mark.parametrize(
    ("on", "hours", "kind"),
    [
        ("2023-11-12", "18:15-19:15", "muhurat"),  # a Sunday
        ("2025-10-21", "13:45-14:45", "muhurat"),
        ("2018-11-07", "17:30-18:30", "muhurat"),
        ("2024-03-02", "09:15-12:30", "special"),
        ("2021-02-24", "09:15-17:00", "special"),
        ("2025-02-01", "09:15-15:30", "regular"),  # Budget Saturday
        ("2026-02-01", "09:15-15:30", "regular"),  # Budget Sunday
    ],
)
def test_special_sessions(on: str, hours: str, kind: str) -> None:
    session = NSE.session(date.fromisoformat(on))
    assert hm(session) == hours
    assert session is not None
    assert session.kind == kind


def test_a_pause_is_not_continuous() -> None:
    saturday = NSE.session(date(2024, 3, 2))
    assert saturday is not None
    clocks = ["09:14", "09:15", "09:59", "10:00", "11:29", "11:30", "12:29", "12:30"]
    expected = [False, True, True, False, False, True, True, False]
    instants = [at("2024-03-02", clock) for clock in clocks]
    assert [saturday.is_continuous(instant) for instant in instants] == expected
    assert [saturday.is_continuous_ms(epoch_ms(instant)) for instant in instants] == expected
    assert [NSE.is_continuous(instant) for instant in instants] == expected


@pytest.mark.parametrize("on", ["2026-11-24", "2026-11-28", "2026-11-29", "2015-12-25"])
def test_no_session_on_holidays_and_weekends(on: str) -> None:
    assert NSE.session(date.fromisoformat(on)) is None
    assert not NSE.is_continuous(at(on, "11:00"))


#  T41: deadlines keep their distance to the close on a special day and are the clock on others
@pytest.mark.parametrize(
    ("on", "derivatives", "clock", "falls"),
    [
        ("2026-11-25", True, "15:05", "15:05"),
        ("2026-11-25", True, "15:20", "15:15"),
        ("2026-07-31", True, "15:20", "15:20"),
        ("2023-11-12", False, "15:05", "18:50"),
        ("2023-11-12", False, "14:45", "18:30"),
        ("2023-11-12", False, "14:00", "18:15"),  # before the open: nothing may enter
    ],
)
def test_a_deadline_of_a_normal_day_on_any_day(
    on: str, derivatives: bool, clock: str, falls: str
) -> None:
    session = NSE.session(date.fromisoformat(on), derivatives)
    assert session is not None
    assert f"{session.before_close(time.fromisoformat(clock)):%H:%M}" == falls


@pytest.mark.parametrize(
    ("on", "clock", "falls"),
    [
        ("2026-11-25", "09:20", "09:20"),
        ("2026-11-25", "09:00", "09:15"),
        ("2023-11-12", "09:20", "18:20"),
        ("2023-11-12", "11:00", "19:15"),
    ],
)
def test_a_beginning_of_a_normal_day_on_any_day(on: str, clock: str, falls: str) -> None:
    session = NSE.session(date.fromisoformat(on))
    assert session is not None
    assert f"{session.after_open(time.fromisoformat(clock)):%H:%M}" == falls


def test_next_and_previous_step_over_closed_days() -> None:
    after = NSE.next_session(date(2026, 11, 23))
    before = NSE.previous_session(date(2026, 11, 23))
    assert after is not None
    assert before is not None
    assert (after.on, before.on) == (date(2026, 11, 25), date(2026, 11, 20))
    assert NSE.days(date(2024, 1, 19), date(2024, 1, 23)) == [
        date(2024, 1, 19), date(2024, 1, 20), date(2024, 1, 23),
    ]  # fmt: skip


def test_years_without_a_table_take_weekdays_as_open_and_say_so() -> None:
    session = NSE.session(date(2027, 8, 16))
    assert session is not None
    assert session.assumed
    assert NSE.session(date(2027, 8, 15)) is None  # a Sunday


def test_settings_may_close_a_day_and_open_another() -> None:
    own = Calendar(closed=[date(2027, 1, 26)], hours={date(2026, 11, 8): "18:00-19:00"})
    assert own.session(date(2027, 1, 26)) is None
    assert hm(own.session(date(2026, 11, 8))) == "18:00-19:00"
    assert NSE.session(date(2026, 11, 8)) is None


@pytest.mark.parametrize("text", ["", "18:15", "19:15-18:15", "x-y", "09:15-10:00 09:30-11:00"])
def test_hours_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(SettingRefused, match="hours of 2026-11-08"):
        Calendar(hours={date(2026, 11, 8): text})


def test_an_explicit_list_of_days_is_the_whole_calendar() -> None:
    # a foreign market: it trades on an NSE holiday, and not on an NSE day
    foreign = Calendar.of_days([date(2012, 1, 26), date(2012, 1, 30), date(2013, 6, 3)])
    assert hm(foreign.session(date(2012, 1, 26))) == "09:15-15:30"
    assert foreign.session(date(2012, 1, 27)) is None
    following = foreign.next_session(date(2012, 1, 30))
    assert following is not None
    assert following.on == date(2013, 6, 3)
    assert foreign.next_session(date(2013, 6, 3)) is None
    assert foreign.previous_session(date(2012, 1, 26)) is None


@given(st.integers(-(10**12), 10**13))
def test_milliseconds_and_instants_are_one_thing(ms: int) -> None:
    instant = from_epoch_ms(ms)
    assert epoch_ms(instant) == ms
    assert instant.timestamp() * 1000 == pytest.approx(ms, abs=1)
    assert instant.tzinfo is IST


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(SettingRefused, match="instant"):
        epoch_ms(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the case


# Where our table and exchange_calendars' XBOM differ, and why ours stands: it has no Muhurat
# sessions, no weekend specials but two, and early years of its own exchange (BSE).
XBOM_TRADES = """2001-03-08 2001-03-21 2001-06-20 2001-08-23 2001-09-10 2001-11-29 2002-01-18
    2002-01-28 2002-08-16 2003-04-10 2003-10-16 2004-10-12 2004-10-15 2005-07-27 2013-11-15"""
XBOM_CLOSED = """2001-01-01 2004-01-01 2013-11-14
    2014-10-23 2015-11-11 2017-10-19 2018-11-07 2021-11-04 2022-10-24 2024-11-01 2025-10-21"""


@pytest.mark.filterwarnings("ignore")
def test_the_table_agrees_with_two_other_calendars() -> None:
    import exchange_calendars
    import pandas_market_calendars

    first, last = date(2000, 1, 3), date(2026, 12, 31)
    ours = {day for day in NSE.days(first, last) if day.weekday() < 5}
    schedule = pandas_market_calendars.get_calendar("NSE").schedule(str(first), str(last))
    assert ours == set(schedule.index.date)
    for on, row in schedule.iterrows():
        session = NSE.session(on.date())
        assert session is not None
        assert session.opens_ms == row["market_open"].value // 10**6, on
        assert session.closes_ms == row["market_close"].value // 10**6, on

    xbom = exchange_calendars.get_calendar("XBOM", start=str(first), end=str(last))
    theirs = {day for day in xbom.sessions.date if day.weekday() < 5}
    assert {str(day) for day in theirs - ours} == set(XBOM_TRADES.split())
    assert {str(day) for day in ours - theirs} == set(XBOM_CLOSED.split())
    assert {str(day) for day in xbom.sessions.date if not NSE.is_open(day)} == set(
        XBOM_TRADES.split()
    )


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["nse_1min_2014-12_2015-10", "nse_index_1min_2012-11_2016-09",
             "nse_index_1min_2020-01_2021-01", "nse_day_2020-07_2026-01"]
)  # fmt: skip
def test_every_day_of_real_data_is_a_session(shared_data, name: str) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    stamps = pq.read_table(shared_data / f"{name}.parquet", columns=["ts"])["ts"]
    days = pc.unique(pc.cast(pc.local_timestamp(stamps), "date32")).to_pylist()
    assert [day for day in days if not NSE.is_open(day)] == []
    # all but days that the source lost (README of the data): no invented sessions at weekends
    weekend = [d for d in NSE.days(min(days), max(days)) if d.weekday() > 4]
    missing = {str(day) for day in weekend} - {str(day) for day in days}
    assert missing <= {"2013-11-03", "2020-11-14"}  # Muhurat rows were removed from those files


def test_a_year_has_about_250_sessions() -> None:
    for year in range(2000, 2027):
        days = NSE.days(date(year, 1, 1), date(year, 12, 31))
        assert 240 <= len(days) <= 256, year
        assert max(b - a for a, b in pairwise(days)) <= timedelta(days=6)
