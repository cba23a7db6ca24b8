"""The price grid: exact in, exact out, rounded once and toward where it says."""

from __future__ import annotations

import csv
import gzip
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingRefused
from agent.market.instruments import Instrument, Side, instrument_of, tick_size_for_price

INFY = Instrument("NSE:INFY", 408065, Decimal("0.05"), freeze_quantity=100_000)
GRIDS = st.sampled_from([Decimal(t) for t in ("0.01", "0.05", "0.10", "0.50", "1", "5")])


def test_a_side_is_a_sign_and_two_transactions() -> None:
    assert (Side.LONG.sign, Side.SHORT.sign) == (1, -1)
    assert (Side.LONG.entry_transaction, Side.LONG.exit_transaction) == ("BUY", "SELL")
    assert (Side.SHORT.entry_transaction, Side.SHORT.exit_transaction) == ("SELL", "BUY")
    assert Side.LONG.opposite is Side.SHORT
    assert Side("SHORT") is Side.SHORT


@pytest.mark.parametrize(
    ("price", "ticks"),
    [
        ("1500.05", 30001),
        (Decimal("0.05"), 1),
        (1500.05, 30001),
        (0.1 + 0.05, 3),  # 0.15000000000000002: what is left of a binary division
        (Fraction(3001, 2), 30010),
        ("1500", 30000),
    ],
)
def test_a_price_on_the_grid_is_a_whole_number_of_ticks(price: object, ticks: int) -> None:
    assert INFY.ticks(price) == ticks  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "price", ["1500.02", 1500.02, Decimal("1500.0499"), "nan", float("inf"), float("nan"), "dear"]
)
def test_a_price_off_the_grid_is_refused(price: object) -> None:
    with pytest.raises(SettingRefused, match="NSE:INFY price"):
        INFY.ticks(price)  # type: ignore[arg-type]


def test_a_refusal_names_both_neighbours() -> None:
    with pytest.raises(SettingRefused, match=r"nearest are 1500\.00 and 1500\.05"):
        INFY.ticks("1500.02")


#  edge id T04: a long stop of 990.3465 on a grid of 0.05 is 990.35, a short one 990.30
@pytest.mark.parametrize(
    ("price", "up", "down", "nearest"),
    [
        ("990.3465", "990.35", "990.30", "990.35"),
        ("990.35", "990.35", "990.35", "990.35"),
        ("990.325", "990.35", "990.30", "990.35"),  # a half goes up
        (990.35 + 1e-12, "990.35", "990.35", "990.35"),
        ("0.001", "0.05", "0.00", "0.00"),
    ],
)
def test_rounding_says_toward_where(price: object, up: str, down: str, nearest: str) -> None:
    rounded = [INFY.price(INFY.round_ticks(price, to)) for to in ("up", "down", "nearest")]  # type: ignore[arg-type]
    assert [str(p) for p in rounded] == [up, down, nearest]


@given(tick=GRIDS, ticks=st.integers(0, 10**7))
def test_a_grid_price_comes_back_as_its_ticks_whatever_its_type(tick: Decimal, ticks: int) -> None:
    instrument = Instrument("NSE:X", 1, tick)
    price = instrument.price(ticks)
    for form in (price, str(price), float(price), Fraction(price)):
        assert instrument.ticks(form) == ticks
        assert instrument.round_ticks(form, "up") == instrument.round_ticks(form, "down") == ticks
    assert instrument.paise(ticks) == price * 100


@given(tick=GRIDS, price=st.fractions(0, 10**5, max_denominator=10**6))
def test_up_and_down_enclose_a_price_within_one_tick(tick: Decimal, price: Fraction) -> None:
    instrument = Instrument("NSE:X", 1, tick)
    up, down = instrument.round_ticks(price, "up"), instrument.round_ticks(price, "down")
    near = instrument.round_ticks(price, "nearest")
    assert down <= near <= up <= down + 1
    assert abs(Fraction(instrument.price(near)) - price) <= Fraction(tick) / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "INFY"},
        {"tick_size": Decimal("0.0025")},
        {"tick_size": Decimal(0)},
        {"tick_size": Decimal("NaN")},
        {"lot_size": 0},
        {"freeze_quantity": 0},
    ],
)
def test_an_instrument_that_cannot_be_traded_is_refused(wrong: dict[str, object]) -> None:
    right = {"key": "NSE:INFY", "token": 1, "tick_size": Decimal("0.05")}
    with pytest.raises(SettingRefused):
        Instrument(**(right | wrong))  # type: ignore[arg-type]


ROW: dict[str, object] = {
    "exchange": "NFO", "tradingsymbol": "X26DECFUT", "instrument_token": "9", "name": "X",
    "tick_size": 0.05, "lot_size": 75, "segment": "NFO-FUT", "instrument_type": "FUT",
}  # fmt: skip


def test_an_instrument_is_read_from_the_broker_s_row() -> None:
    future = instrument_of(ROW)
    assert future == Instrument(
        "NFO:X26DECFUT", 9, Decimal("0.05"), 75, "NFO-FUT", "FUT", None, "X"
    )
    assert future.is_derivative
    assert instrument_of(ROW | {"freeze_quantity": "1800.0"}).freeze_quantity == 1800


@pytest.mark.parametrize(
    "wrong", [{"tick_size": "dear"}, {"lot_size": ""}, {"instrument_token": None}, {"tick_size": 0}]
)
def test_a_row_that_cannot_be_read_names_the_instrument(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingRefused, match="NFO:X26DECFUT"):
        instrument_of(ROW | wrong)


def test_a_row_without_a_column_is_refused() -> None:
    with pytest.raises(SettingRefused, match="tick_size"):
        instrument_of({k: v for k, v in ROW.items() if k != "tick_size"})


@pytest.mark.parametrize(
    ("price", "tick"),
    [
        ("249.99", "0.01"), ("250", "0.05"), ("1000", "0.05"), ("1000.05", "0.10"),
        ("5000", "0.10"), ("5000.1", "0.50"), ("10000", "0.50"), ("10000.5", "1"),
        ("20000", "1"), ("20001", "5"),
    ],
)  # fmt: skip
def test_the_tick_bands(price: str, tick: str) -> None:
    assert tick_size_for_price(Decimal(price)) == Decimal(tick)


@pytest.mark.parametrize(
    ("price", "on", "tick"),
    [
        ("100", date(2024, 6, 9), "0.05"),
        ("100", date(2024, 6, 10), "0.01"),
        ("7000", date(2025, 4, 14), "0.05"),
        ("7000", date(2025, 4, 15), "0.50"),
    ],
)
def test_the_tick_bands_have_a_date(price: str, on: date, tick: str) -> None:
    assert tick_size_for_price(Decimal(price), on) == Decimal(tick)


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_no_tick_size_for_no_price(price: str) -> None:
    with pytest.raises(SettingRefused):
        tick_size_for_price(Decimal(price))


@pytest.mark.shared
def test_the_bands_know_every_tick_size_of_a_real_dump(shared_data: Path) -> None:
    with gzip.open(shared_data / "nse_equity_instruments_2026-04-17.csv.gz", "rt") as lines:
        dump = [instrument_of(row) for row in csv.DictReader(lines)]
    assert len(dump) > 2000
    assert all(i.token % 256 == 1 and i.freeze_quantity for i in dump)  # NSE cash
    sizes = {instrument.tick_size for instrument in dump}
    ours = {tick_size_for_price(Decimal(p)) for p in (1, 300, 2000, 6000, 15000, 30000)}
    assert sizes == ours
