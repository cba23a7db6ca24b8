"""The replayed market: tapes that rebuild their candles, sessions, grids, honest history."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from agent.errors import SettingRefused
from agent.market.instruments import Instrument
from agent.market.sessions import from_epoch_ms
from agent.paper.listings import derive, read_dump, tick_on
from agent.paper.market import Candle, Market
from agent.paper.source import CandleSet
from agent.paper.synthetic import HISTORY_DAYS, draw_market
from tests.agent.paper.lab import DAY, at, minute_columns, scripted, wander

FOREVER = (0, 2**52)


def daily(seed: int = 1, days: int = 30, **settings: object) -> Market:
    return Market(wander(3, days), seed=seed, **settings)  # type: ignore[arg-type]


def test_the_ticks_of_a_day_rebuild_its_candle_to_the_paisa_and_the_share() -> None:
    market = daily(first=DAY - timedelta(days=3), last=DAY)
    for key in market.keys:
        for on in market.days:
            tape = market.tape(key, on)
            (day,) = market.candles(key, "day", (at("00:00", on), at("00:00", on)), at("23:00") * 2)
            built = (tape.prices[0], max(tape.prices), min(tape.prices), tape.prices[-1])
            assert built == (day.open, day.high, day.low, day.close)
            assert tape.volumes[-1] == day.volume
            assert all(b >= a for a, b in zip(tape.volumes, tape.volumes[1:], strict=False))
            tick = market.instrument(key, on).tick_paise
            assert all(price % tick == 0 for price in tape.prices)


def test_ticks_are_in_the_session_and_as_many_as_asked() -> None:
    market = daily(first=DAY, ticks_per_day=375)
    tape = market.tape(market.keys[0], DAY)
    assert len(tape.times) == 375
    assert tape.times[0] == at("09:15")
    assert set(np.diff(tape.times)) == {60_000}
    assert tape.times[-1] < at("15:30")


@pytest.mark.parametrize("ticks", [1_500, 22_500])
def test_minute_ticks_stay_in_their_minute_and_rebuild_it(ticks: int) -> None:
    market = Market(draw_market(1, first=DAY, days=1), first=DAY, ticks_per_day=ticks)
    key = "NSE:INFY"
    tape = market.tape(key, DAY)
    own = market._candles[key]
    rows = market._rows_of(key, DAY)
    minute = (np.array(tape.times) - at("09:15")) // 60_000
    prices = np.array(tape.prices)
    for n, row in enumerate(rows.tolist()[:40]):
        inside = prices[minute == n]
        assert inside.size == ticks // 375
        built = (inside[0], inside.max(), inside.min(), inside[-1])
        assert built == tuple(own.prices[:, row])


def test_a_tape_is_the_same_whatever_was_asked_before() -> None:
    one, other = daily(), daily()
    key, days = one.keys[1], one.days[-3:]
    forwards = [one.tape(key, on).prices for on in days]
    backwards = [other.tape(key, on).prices for on in reversed(days)]
    assert forwards == backwards[::-1]
    assert daily(seed=2).tape(key, days[0]).prices != forwards[0]


def test_history_ends_where_the_virtual_clock_stands() -> None:
    market = daily(first=DAY)
    key, now = market.keys[0], at("11:07")
    days = market.candles(key, "day", FOREVER, now)
    assert len(days) == 29  # the day itself is not over
    assert from_epoch_ms(days[-1].start_ms).date() == DAY - timedelta(days=1)
    five = market.candles(key, "5minute", (at("09:15"), at("15:30")), now)
    assert [from_epoch_ms(c.start_ms).strftime("%H:%M") for c in five][-1] == "11:00"
    tape = market.tape(key, DAY)
    seen = [p for t, p in zip(tape.times, tape.prices, strict=True) if t < at("11:05")]
    assert (five[0].open, five[-1].close) == (seen[0], seen[-1])
    assert max(c.high for c in five) == max(seen)


def test_a_span_includes_both_its_ends() -> None:
    market = daily()
    key, on = market.keys[0], DAY - timedelta(days=5)
    found = market.candles(key, "60minute", (at("10:15", on), at("12:15", on)), at("09:15"))
    assert [from_epoch_ms(c.start_ms).hour for c in found] == [10, 11, 12]


def test_coarser_candles_are_the_sum_of_the_source() -> None:
    market = Market(draw_market(2, first=DAY, days=1), first=DAY)
    day_before = at("00:00", DAY - timedelta(days=3)), at("23:59", DAY - timedelta(days=3))
    minutes = market.candles("NSE:TCS", "minute", day_before, at("09:15"))
    (day,) = market.candles("NSE:TCS", "day", day_before, at("09:15"))
    assert day == Candle(
        day_before[0],
        minutes[0].open,
        max(c.high for c in minutes),
        min(c.low for c in minutes),
        minutes[-1].close,
        sum(c.volume for c in minutes),
    )
    assert len(minutes) == 375


def test_the_circuit_is_a_fifth_of_the_previous_close_or_what_the_day_needs() -> None:
    market = scripted({"NSE:A": [100.0] * 375})
    assert market.band("NSE:A", DAY) == (8_000, 12_000)
    before = minute_columns([100.0] * 375, on=DAY - timedelta(days=3))
    after = minute_columns([150.0] * 375)
    joined = type(before)(*(np.concatenate(pair) for pair in zip(
        (before.ts_ms, before.open, before.high, before.low, before.close, before.volume),
        (after.ts_ms, after.open, after.high, after.low, after.close, after.volume),
        strict=True,
    )))  # fmt: skip
    jumped = Market(CandleSet("minute", {"NSE:A": joined}))
    assert jumped.previous_close("NSE:A", DAY) == 10_000
    assert jumped.band("NSE:A", DAY) == (8_000, 15_000)


#  price, day                        tick: the finer of then and now
TICKS = [
    ("28", date(2013, 2, 1), "0.01"),
    ("430", date(2013, 2, 1), "0.05"),
    ("3210", date(2021, 5, 10), "0.05"),
    ("3210", date(2026, 5, 11), "0.10"),
    ("12500", date(2026, 5, 11), "1"),
]


@pytest.mark.parametrize(("price", "on", "tick"), TICKS)
def test_the_grid_is_the_finer_of_then_and_now(price: str, on: date, tick: str) -> None:
    assert tick_on(Decimal(price), on) == Decimal(tick)


def test_the_grid_is_set_by_the_close_before_the_month() -> None:
    columns = minute_columns([240.0] * 375, on=date(2025, 10, 31))
    later = minute_columns([260.0] * 375, on=date(2025, 11, 28))
    next_month = minute_columns([260.0] * 375, on=date(2025, 12, 1))
    parts = [
        np.concatenate([getattr(one, name) for one in (columns, later, next_month)])
        for name in ("ts_ms", "open", "high", "low", "close", "volume")
    ]
    market = Market(CandleSet("minute", {"NSE:A": type(columns)(*parts)}))
    sizes = [market.instrument("NSE:A", on).tick_size for on in market.days]
    assert sizes == [Decimal("0.01"), Decimal("0.01"), Decimal("0.05")]
    assert len({market.instrument("NSE:A", on).token for on in market.days}) == 1


def test_known_names_have_the_brokers_tokens() -> None:
    for symbol, token in (("INFY", 408065), ("SBIN", 779521), ("RELIANCE", 738561)):
        assert derive(f"NSE:{symbol}", Decimal("0.05")).token == token
    index = derive("NSE:NIFTY 50", Decimal("0.05"))
    assert (index.token, index.segment) == (256265, "INDICES")


def test_derived_tokens_do_not_collide() -> None:
    first = derive("NSE:ZZZ", Decimal("0.05"))
    second = derive("NSE:ZZZ", Decimal("0.05"), [first.token])
    assert first.token != second.token
    assert first.token % 256 == second.token % 256 == 1


def test_a_dump_gives_ticks_lots_and_tokens(tmp_path) -> None:
    path = tmp_path / "dump.csv"
    path.write_text(
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
        "lot_size,instrument_type,segment,exchange\n"
        "2561,10,AAA,A LTD,0,,0,0.5,3,EQ,NSE,NSE\n"
    )
    market = Market(wander(3, 10), dump=read_dump(path))
    assert market.instrument("NSE:AAA", DAY) == Instrument(
        "NSE:AAA", 2561, Decimal("0.5"), lot_size=3, freeze_quantity=100_000, name="A LTD"
    )
    assert all(price % 50 == 0 for price in market.tape("NSE:AAA", DAY).prices)
    with pytest.raises(SettingRefused, match="instruments dump"):
        read_dump(tmp_path / "missing.csv")


def test_days_that_the_candles_do_not_have_are_refused() -> None:
    with pytest.raises(SettingRefused, match="days of the candles"):
        daily(first=DAY + timedelta(days=1))


def test_a_special_session_trades_in_its_own_hours() -> None:
    muhurat = date(2025, 10, 21)
    market = Market(CandleSet("day", {"NSE:A": _one_day(muhurat)}))
    tape = market.tape("NSE:A", muhurat)
    session = market.session("NSE:A", muhurat)
    assert session is not None
    assert session.kind != "regular"
    assert session.opens_ms <= tape.times[0] <= tape.times[-1] < session.closes_ms


def test_the_synthetic_market_repeats_itself_and_looks_like_one() -> None:
    first = date(2026, 11, 26)
    one, same, other = (draw_market(seed, first=first, days=30) for seed in (1, 1, 2))
    assert len(one.candles) == 10
    for key, columns in one.candles.items():
        assert columns.close.tolist() == same.candles[key].close.tolist()
        assert columns.close.tolist() != other.candles[key].close.tolist()
    market = Market(one, first=first)
    assert market.days[0] == first
    assert market.session("NSE:INFY", first).auction is not None  # since August 2026
    closes = np.array(
        [[c.close for c in market.candles(k, "day", FOREVER, 2**41)] for k in market.keys]
    )
    assert closes.shape[1] == HISTORY_DAYS + 30
    moves = np.diff(np.log(closes), axis=1)
    assert 0.008 < moves.std() < 0.04
    correlated = np.corrcoef(moves)[np.triu_indices(10, 1)].mean()
    assert 0.1 < correlated < 0.5


def _one_day(on: date):
    columns = minute_columns([100.0], on=on)
    stamps = np.array([at("00:00", on)], dtype=np.int64)
    return type(columns)(stamps, columns.open, columns.high, columns.low, columns.close,
                         columns.volume)  # fmt: skip
