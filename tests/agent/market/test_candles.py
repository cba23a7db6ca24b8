"""Candles from ticks: boundaries, one second of grace, volume by difference, gaps that show."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.candles import (
    INTERVALS_MS,
    Candle,
    CandleBuilder,
    candle_end,
    candle_start,
    interval_ms,
)
from agent.market.sessions import IST, NSE, Session, epoch_ms

ON = date(2026, 11, 25)
SESSION = NSE.session(ON)
assert SESSION is not None
OPEN = SESSION.opens_ms
MINUTE = 60_000


def ms(clock: str) -> int:
    return epoch_ms(datetime.combine(ON, time.fromisoformat(clock), tzinfo=IST))


def build(since: str = "09:00", interval: str = "minute", last: int | None = None) -> CandleBuilder:
    return CandleBuilder(interval, SESSION, since_ms=ms(since), last_close=last)


def ohlcv(candle: Candle) -> tuple[int | None, ...]:
    return (candle.open, candle.high, candle.low, candle.close, candle.volume)


@pytest.mark.parametrize(
    ("clock", "interval", "start"),
    [
        ("09:15", "minute", "09:15"),
        ("09:15:59.999", "minute", "09:15"),
        ("10:14:59", "60minute", "09:15"),
        ("10:15", "60minute", "10:15"),
        ("15:20", "60minute", "15:15"),
        ("11:47", "15minute", "11:45"),
        ("11:47", "day", "00:00"),
    ],
)
def test_candles_are_counted_from_the_open(clock: str, interval: str, start: str) -> None:
    assert candle_start(ms(clock), interval, SESSION) == ms(start)


def test_the_last_candle_ends_with_the_session() -> None:
    assert candle_end(ms("15:15"), "60minute", SESSION) == ms("15:30")
    assert candle_end(ms("00:00"), "day", SESSION) == ms("15:30")


def test_an_interval_of_another_broker_is_refused() -> None:
    with pytest.raises(SettingRefused, match="minute, 3minute, 5minute"):
        interval_ms("1m")


def test_a_candle_closes_one_second_after_its_boundary_by_timer() -> None:
    b = build()
    b.tick(ms("09:15:01"), 100, volume=10)
    b.tick(ms("09:15:30"), 104, volume=30)
    b.tick(ms("09:15:40"), 98, volume=35)
    assert b.timer(ms("09:16:00.999")) == ()
    (candle,) = b.timer(ms("09:16:01"))
    assert ohlcv(candle) == (100, 104, 98, 98, 35)
    assert (candle.ts_ms, candle.end_ms) == (ms("09:15"), ms("09:16"))
    assert (candle.ticks, candle.gap) == (3, False)
    assert b.next_timer_ms == ms("09:17:01")


def test_a_trade_of_the_old_minute_in_the_grace_second_still_counts() -> None:
    b = build()
    b.tick(ms("09:15:30"), 100, volume=10)
    b.tick(ms("09:16:00"), 101, volume=12, trade_ms=ms("09:16:00"))
    b.tick(ms("09:16:00"), 99, volume=15, trade_ms=ms("09:15:59"))
    (first,) = b.timer(ms("09:16:01"))
    (second,) = b.timer(ms("09:17:01"))
    assert ohlcv(first) == (100, 100, 99, 99, 13)
    assert ohlcv(second) == (101, 101, 101, 101, 2)


def test_a_trade_after_its_candle_is_out_gives_its_shares_to_the_next() -> None:
    b = build()
    b.tick(ms("09:15:30"), 100, volume=10)
    assert len(b.timer(ms("09:16:01"))) == 1
    b.tick(ms("09:16:02"), 90, volume=15, trade_ms=ms("09:15:59"))
    b.tick(ms("09:16:30"), 101, volume=16, trade_ms=ms("09:16:30"))
    (candle,) = b.timer(ms("09:17:01"))
    assert ohlcv(candle) == (101, 101, 101, 101, 6)
    assert b.late_trades == 1
    (after,) = b.timer(ms("09:18:01"))
    assert after.volume == 0  # once, not with every candle from then on


def test_a_tick_a_second_late_is_as_good_as_the_timer() -> None:
    b = build()
    b.tick(ms("09:15:30"), 100, volume=10)
    assert b.tick(ms("09:16:00.900"), 101, volume=11) == ()
    (candle,) = b.tick(ms("09:16:01.100"), 102, volume=12)
    assert ohlcv(candle) == (100, 100, 100, 100, 10)


def test_a_packet_that_repeats_the_last_trade_moves_nothing() -> None:
    b = build()
    b.tick(ms("09:15:30"), 100, volume=10, trade_ms=ms("09:15:30"))
    b.tick(ms("09:16:10"), 100, volume=10, trade_ms=ms("09:15:30"))  # the depth has changed
    (candle,) = b.timer(ms("09:17:01"))
    assert (candle.ticks, candle.volume, candle.close) == (0, 0, 100)


def test_an_interval_without_a_trade_closes_flat_and_says_so() -> None:
    b = build(last=97)
    first, second = b.timer(ms("09:17:01"))
    assert ohlcv(first) == ohlcv(second) == (97, 97, 97, 97, 0)
    assert first.ticks == 0


def test_without_any_price_there_is_no_candle() -> None:
    assert build().timer(ms("09:30:01")) == ()


def test_a_feed_gap_is_carried_by_every_candle_it_touches() -> None:
    b = build()
    b.tick(ms("09:15:10"), 100, volume=10)
    b.gap(ms("09:16:50"), ms("09:17:20"))
    candles = [*b.tick(ms("09:17:30"), 101, volume=20), *b.tick(ms("09:18:30"), 102, volume=30)]
    candles += b.timer(ms("09:19:01"))
    assert [c.gap for c in candles] == [False, True, True, False]


def test_two_gaps_are_one_stretch() -> None:
    b = build(last=100)
    b.gap(ms("09:15:10"), ms("09:15:20"))
    b.gap(ms("09:17:10"), ms("09:17:20"))
    assert [c.gap for c in b.timer(ms("09:19:01"))] == [True, True, True, False]


def test_started_after_the_open_the_first_candle_has_a_gap_and_no_older_volume() -> None:
    b = build(since="09:30:20")
    b.tick(ms("09:30:21"), 100, volume=50_000, trade_ms=ms("09:30:05"))  # cached: before we came
    b.tick(ms("09:30:40"), 101, volume=50_007, trade_ms=ms("09:30:40"))
    (first,) = b.tick(ms("09:31:40"), 102, volume=50_010, trade_ms=ms("09:31:40"))
    (second,) = b.timer(ms("09:32:01"))
    assert (first.gap, first.volume, first.open) == (True, 7, 101)
    assert (second.gap, second.volume) == (False, 3)


@pytest.mark.parametrize(
    ("what", "ts", "price", "volume"),
    [
        ("older exchange time", "09:15:29", 100, 11),
        ("no price", "09:15:31", 0, 11),
        ("volume fell", "09:15:31", 100, 9),
    ],
)
def test_a_stale_packet_is_counted_and_moves_nothing(
    what: str, ts: str, price: int, volume: int
) -> None:
    b = build()
    b.tick(ms("09:15:30"), 100, volume=10)
    b.tick(ms(ts), price, volume=volume)
    (candle,) = b.timer(ms("09:16:01"))
    assert ohlcv(candle) == (100, 100, 100, 100, 10), what
    assert b.stale_ticks == 1


def test_packets_outside_the_session_move_nothing() -> None:
    b = build()
    b.tick(ms("09:07:30"), 90, volume=1000)  # pre-open
    b.tick(ms("09:15:05"), 100, volume=1010)
    (candle,) = b.timer(ms("09:16:01"))
    assert ohlcv(candle) == (100, 100, 100, 100, 1010)  # the auction's shares are the first's
    b.tick(ms("15:30:00"), 50, volume=2000)
    assert all(c.low == 100 for c in b.timer(ms("15:40")))


def test_an_index_without_volume_has_none() -> None:
    b = build()
    b.tick(ms("09:15:05"), 100)
    b.tick(ms("09:15:06"), 103)
    (candle,) = b.timer(ms("09:16:01"))
    assert ohlcv(candle) == (100, 103, 100, 103, None)


def test_the_day_candle_closes_after_the_session() -> None:
    b = build(interval="day")
    b.tick(ms("09:15:05"), 100, volume=5)
    b.tick(ms("15:29:59"), 110, volume=9)
    assert b.timer(ms("15:30")) == ()
    (candle,) = b.timer(ms("15:30:01"))
    assert ohlcv(candle) == (100, 110, 100, 110, 9)
    assert candle.ts_ms == ms("00:00")
    assert b.next_timer_ms is None


ticks = st.lists(
    st.tuples(st.integers(0, 30 * MINUTE), st.integers(1, 500), st.integers(0, 1000)),
    min_size=1, max_size=60,
)  # fmt: skip


def naive(trades: list[tuple[int, int, int]], length: int, session: Session) -> list[Candle]:
    """Group by interval: what the builder must equal, written without looking at it."""
    found: dict[int, list[tuple[int, int, int]]] = {}
    for trade in trades:
        found.setdefault((trade[0] - OPEN) // length, []).append(trade)
    return [
        Candle(OPEN + n * length, min(OPEN + (n + 1) * length, session.closes_ms),
               rows[0][1], max(r[1] for r in rows), min(r[1] for r in rows), rows[-1][1],
               sum(r[2] for r in rows), len(rows), False)
        for n, rows in sorted(found.items())
    ]  # fmt: skip


@given(
    drawn=ticks, interval=st.sampled_from(["minute", "5minute", "15minute"]), timers=st.booleans()
)
def test_candles_are_the_trades_grouped_by_interval(
    drawn: list[tuple[int, int, int]], interval: str, timers: bool
) -> None:
    trades = [(OPEN + t, price, shares + 1) for t, price, shares in sorted(drawn)]
    builder = build(interval=interval)
    candles: list[Candle] = []
    volume = 0
    for ts, price, shares in trades:
        if timers and builder.next_timer_ms is not None and builder.next_timer_ms <= ts:
            candles += builder.timer(builder.next_timer_ms)
        volume += shares
        candles += builder.tick(ts, price, volume=volume, trade_ms=ts)
    candles += builder.timer(SESSION.closes_ms + 1_000)
    traded = [c for c in candles if c.ticks]
    assert traded == naive(trades, INTERVALS_MS[interval], SESSION)
    # nothing is left out and nothing comes twice: from the first trade on, one after another
    assert all(a.end_ms == b.ts_ms for a, b in pairwise(candles))
    assert candles[-1].end_ms == SESSION.closes_ms
    assert sum(c.volume or 0 for c in candles) == volume


@pytest.mark.shared
def test_real_ticks_give_the_candles_built_from_them(shared_data) -> None:
    import pyarrow.parquet as pq

    on = date(2021, 5, 31)
    session = NSE.session(on)
    assert session is not None
    wanted = [("symbol", "=", "INFY")]
    rows = pq.read_table(shared_data / f"nse_ticks_1s_{on}.parquet", filters=wanted).to_pylist()
    bars = pq.read_table(
        shared_data / "nse_1min_2021-05-07_2021-06-07.parquet", filters=wanted
    ).to_pylist()
    theirs = [b for b in bars if b["ts"].date() == on]
    builder = CandleBuilder("minute", session, since_ms=session.opens_ms - 1)
    candles: list[Candle] = []
    for row in rows:
        candles += builder.tick(epoch_ms(row["ts"]), row["ltp_paise"])
    candles += builder.timer(session.closes_ms + 1_000)
    ours = {c.ts_ms: (c.open, c.high, c.low, c.close) for c in candles if c.ticks}
    expected = {
        epoch_ms(b["ts"]): tuple(round(b[k] * 100) for k in ("open", "high", "low", "close"))
        for b in theirs
    }
    assert len(expected) > 300
    assert ours == expected


def test_a_candle_is_a_value() -> None:
    candle = Candle(0, 1, 1, 1, 1, 1, None, 1, gap=False)
    assert replace(candle, gap=True) != candle
