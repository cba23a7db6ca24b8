"""Rows and packets of the broker as values: the shapes of the official mocks, read once."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from agent.core.values import Band
from agent.errors import SettingRefused
from agent.market.instruments import Instrument
from agent.shell.rows import band_of, held_row, instrument_of, order_row, quote_of, tick_quote

STOCK = Instrument("NSE:AAA", 257, Decimal("0.05"))
KNOWN = {"NSE:AAA": STOCK}
ROW = {
    "order_id": "261124000000007", "tag": "RTtest000001X00", "exchange": "NSE",
    "tradingsymbol": "AAA", "product": "MIS", "transaction_type": "SELL", "order_type": "SL",
    "status": "TRIGGER PENDING", "quantity": 30, "filled_quantity": 0, "average_price": 0,
    "price": 99.0, "trigger_price": 100.0, "status_message": None, "placed_by": "AB1234",
    "exchange_update_timestamp": "2025-11-03 10:00:01", "order_timestamp": "2025-11-03 09:59:59",
}  # fmt: skip


def test_an_order_row() -> None:
    row = order_row(ROW, KNOWN)
    assert (row.key, row.tag, row.status) == ("NSE:AAA", "RTtest000001X00", "TRIGGER PENDING")
    assert (row.price_ticks, row.trigger_ticks, row.value_paise) == (1_980, 2_000, 0)
    assert row.filled_ms == 1_762_144_201_000  # India's clock, whatever the host's


def test_the_value_of_a_fill_is_whole_paise_though_the_average_is_a_rounded_float() -> None:
    traded = 11 * 9_995 + 22 * 10_005  # paise: 11 at 99.95, 22 at 100.05
    average = round(traded / 33 / 100, 4)
    row = order_row(ROW | {"filled_quantity": 33, "average_price": average}, KNOWN)
    assert row.value_paise == traded


def test_a_tag_that_comes_only_in_the_list_is_found_and_an_unknown_symbol_is_no_fault() -> None:
    row = order_row(ROW | {"tag": None, "tags": ["x"], "tradingsymbol": "ZZZ"}, KNOWN)
    assert (row.tag, row.key, row.price_ticks) == ("x", "NSE:ZZZ", 0)


def test_the_brokers_own_square_off_is_told_from_a_persons_order() -> None:
    assert order_row(ROW | {"placed_by": "RMS", "tag": None}, KNOWN).placed_by_broker
    assert not order_row(ROW, KNOWN).placed_by_broker


@pytest.mark.parametrize("gone", ["order_id", "status", "quantity"])
def test_a_row_without_what_makes_it_one_is_a_fault(gone: str) -> None:
    with pytest.raises(KeyError):
        order_row({k: v for k, v in ROW.items() if k != gone}, KNOWN)


def test_positions_are_signed() -> None:
    row = held_row(
        {"exchange": "NSE", "tradingsymbol": "AAA", "product": "MIS", "quantity": -30,
         "average_price": 100.05}
    )  # fmt: skip
    assert (row.key, row.quantity, row.average_paise) == ("NSE:AAA", -30, 10_005)


TICK = {
    "instrument_token": 257, "last_price": 100.05, "volume_traded": 1_200,
    "ohlc": {"open": 100.0, "high": 101.0, "low": 99.0, "close": 98.5},
    "depth": {
        "buy": [{"price": 100.0, "quantity": 10, "orders": 1}, {"price": 0, "quantity": 0}],
        "sell": [{"price": 100.1, "quantity": 20, "orders": 1}],
    },
    "last_trade_time": datetime.fromtimestamp(1_762_144_200),  # noqa: DTZ006
    "exchange_timestamp": datetime.fromtimestamp(1_762_144_201),  # noqa: DTZ006
}  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_t34_a_packets_times_do_not_depend_on_the_hosts_zone(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        tick = TICK | {
            "last_trade_time": datetime.fromtimestamp(1_762_144_200),  # noqa: DTZ006
            "exchange_timestamp": datetime.fromtimestamp(1_762_144_201),  # noqa: DTZ006
        }
        quote = tick_quote(tick, STOCK)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (quote.traded_ms, quote.exchange_ms) == (1_762_144_200_000, 1_762_144_201_000)


def test_a_packet_in_ticks() -> None:
    quote = tick_quote(TICK, STOCK)
    assert (quote.last, quote.close, quote.volume) == (2_001, 1_970, 1_200)
    assert (quote.bids, quote.asks) == (((2_000, 10),), ((2_002, 20),))


@pytest.mark.parametrize("price", [0, -1.0, float("nan"), 100.01])
def test_t15_a_price_that_cannot_be_one_is_refused(price: float) -> None:
    with pytest.raises((ValueError, SettingRefused)):
        tick_quote(TICK | {"last_price": price}, STOCK)


def test_a_rest_quote_and_its_band() -> None:
    row = {
        "last_price": 100.0,
        "volume": 5,
        "timestamp": datetime.fromisoformat("2025-11-03T10:00:01"),
        "last_trade_time": datetime.fromisoformat("2025-11-03T10:00"),
        "ohlc": {"close": 98.5},
        "depth": {"buy": [], "sell": []},
        "lower_circuit_limit": 78.8,
        "upper_circuit_limit": 118.2,
    }
    quote = quote_of(row, STOCK)
    assert (quote.last, quote.bid, quote.exchange_ms) == (2_000, None, 1_762_144_201_000)
    assert band_of(row, STOCK) == Band(1_576, 2_364)


def test_an_instrument_of_the_dump() -> None:
    row = {
        "exchange": "NSE", "tradingsymbol": "AAA", "instrument_token": 257, "tick_size": 0.05,
        "lot_size": 1, "segment": "NSE", "instrument_type": "EQ", "name": "AAA LTD",
    }  # fmt: skip
    listed = Instrument("NSE:AAA", 257, Decimal("0.05"), name="AAA LTD")
    assert instrument_of(row) == listed
    for told, freeze in (("1800", 1800), ("1800.0", 1800), (1800, 1800), ("", None), (0, None)):
        assert instrument_of({**row, "freeze_quantity": told}) == replace(
            listed, freeze_quantity=freeze
        )
