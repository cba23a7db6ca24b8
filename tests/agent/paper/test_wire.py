"""The ticker's bytes, read back by the official client's own parser."""

from __future__ import annotations

import struct
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from agent.paper.wire import HEARTBEAT, MODES, Tick, frame, packet

TICK = Tick(
    token=408065,
    last=156_045,
    open=155_000,
    high=157_010,
    low=154_005,
    close=154_950,
    last_quantity=77,
    average=155_812,
    volume=1_234_567,
    buy_quantity=5_555,
    sell_quantity=6_666,
    last_trade_s=1_762_141_500,
    exchange_s=1_762_141_501,
    bids=((156_040, 300, 3), (156_035, 400, 4), (156_030, 1, 1), (156_025, 2, 1)),
    asks=((156_045, 900, 7),),
)
INDEX = Tick(
    256265, 2_500_005, 2_490_000, 2_510_000, 2_480_000, 2_495_000, is_index=True, exchange_s=7
)


def parse(body: bytes) -> dict:
    (tick,) = KiteTicker("key", "token")._parse_binary(frame([body]))
    return tick


@pytest.mark.parametrize(
    ("tick", "mode", "length"),
    [(TICK, "ltp", 8), (TICK, "quote", 44), (TICK, "full", 184),
     (INDEX, "ltp", 8), (INDEX, "quote", 28), (INDEX, "full", 32)],
)  # fmt: skip
def test_a_packet_has_the_length_that_tells_its_kind(tick: Tick, mode, length: int) -> None:
    assert len(packet(tick, mode)) == length
    read = parse(packet(tick, mode))
    assert read["mode"] == mode
    assert read["instrument_token"] == tick.token
    assert read["last_price"] == tick.last / 100
    assert read["tradable"] is not tick.is_index


def test_the_client_reads_every_field_of_a_full_packet() -> None:
    assert parse(packet(TICK, "full")) == {
        "tradable": True,
        "mode": "full",
        "instrument_token": 408065,
        "last_price": 1560.45,
        "last_traded_quantity": 77,
        "average_traded_price": 1558.12,
        "volume_traded": 1_234_567,
        "total_buy_quantity": 5_555,
        "total_sell_quantity": 6_666,
        "ohlc": {"open": 1550.0, "high": 1570.1, "low": 1540.05, "close": 1549.5},
        "change": pytest.approx((1560.45 - 1549.5) * 100 / 1549.5),
        "last_trade_time": datetime.fromtimestamp(1_762_141_500),  # noqa: DTZ006  (the client's)
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "exchange_timestamp": datetime.fromtimestamp(1_762_141_501),  # noqa: DTZ006
        "depth": {
            "buy": [
                {"quantity": 300, "price": 1560.4, "orders": 3},
                {"quantity": 400, "price": 1560.35, "orders": 4},
                {"quantity": 1, "price": 1560.3, "orders": 1},
                {"quantity": 2, "price": 1560.25, "orders": 1},
                {"quantity": 0, "price": 0.0, "orders": 0},
            ],
            "sell": [{"quantity": 900, "price": 1560.45, "orders": 7}]
            + [{"quantity": 0, "price": 0.0, "orders": 0}] * 4,
        },
    }


def test_an_index_packet_has_high_and_low_before_open() -> None:
    read = parse(packet(INDEX, "full"))
    assert read["ohlc"] == {"high": 25_100.0, "low": 24_800.0, "open": 24_900.0, "close": 24_950.0}
    assert read["exchange_timestamp"] == datetime.fromtimestamp(7)  # noqa: DTZ006


def test_the_layout_is_the_published_one_byte_for_byte() -> None:
    """Offsets of the vendor's table, written out apart from the code under test."""
    body = packet(TICK, "full")
    at = {0: 408065, 4: 156_045, 8: 77, 12: 155_812, 16: 1_234_567, 20: 5_555, 24: 6_666,
          28: 155_000, 32: 157_010, 36: 154_005, 40: 154_950, 44: 1_762_141_500, 48: 0, 52: 0,
          56: 0, 60: 1_762_141_501, 64: 300, 68: 156_040, 76: 400, 124: 900}  # fmt: skip
    for offset, value in at.items():
        assert struct.unpack_from(">I", body, offset)[0] == value, offset
    assert struct.unpack_from(">H", body, 72)[0] == 3
    assert struct.unpack_from(">H", body, 132)[0] == 7


U32 = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(st.lists(st.tuples(U32, U32, st.sampled_from(MODES)), max_size=20))
def test_a_frame_gives_back_every_packet(rows: list) -> None:
    ticks = [(Tick(token, last, 1, 2, 3, 4), mode) for token, last, mode in rows]
    read = KiteTicker("key", "token")._parse_binary(frame(packet(t, m) for t, m in ticks))
    assert [(r["instrument_token"], r["mode"]) for r in read] == [(t, m) for t, _, m in rows]


def test_a_heartbeat_is_one_byte_that_the_client_takes_for_no_tick() -> None:
    assert len(HEARTBEAT) == 1
    assert KiteTicker("key", "token")._split_packets(HEARTBEAT) == []
