"""Rows from text: exact numbers, times, and JSON numbers back."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.trailing.rows import Grid, decimal_text, epoch_ms, number
from tests.agent.trailing.cases import TICKS


@given(st.decimals(min_value=0, max_value=10**6, places=4), st.sampled_from(TICKS))
def test_a_price_in_ticks_is_exact(price: Decimal, tick: str) -> None:
    ticks = Grid(Decimal(tick)).ticks(str(price))
    assert (0 if ticks is None else ticks) == Fraction(price) / Fraction(tick)
    assert ticks is None or isinstance(ticks, int) == (price % Decimal(tick) == 0)


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        ("10.05", 201), (" 10.05 ", 201), ("1.005e1", 201), ("+10.05", 201), ("010.050", 201),
        (".05", 1), ("5.", 100), ("10.06", Fraction(1006, 5)), ("nan", None), ("-inf", None),
        ("Infinity", None), ("0", None), ("0.000", None), ("-10", None), ("-0", None),
    ],
)  # fmt: skip
def test_every_way_to_write_a_price(text: str, ticks: int | Fraction | None) -> None:
    assert Grid(Decimal("0.05")).ticks(text) == ticks


@pytest.mark.parametrize("text", ["", "ten", "1,5", "0x10", "1_0", "1e400", "1 0", "--1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|price"):
        number(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1620618300000", 1620618300000),
        ("2021-05-10T09:15:00", 1620618300000),
        ("2021-05-10 09:15:00", 1620618300000),
        ("2021-05-10T03:45:00Z", 1620618300000),
        ("2021-05-10T09:15:00+05:30", 1620618300000),
        ("2021-05-10T09:15:00.250", 1620618300250),
        ("2021-05-10T09:15:00.000500", Fraction(3241236600001, 2)),
        ("2021-05-10", 1620585000000),
        ("1620618300000.5", Fraction(3241236600001, 2)),
    ],
)
def test_a_time_without_an_offset_is_kolkatas(text: str, ms: int | Fraction) -> None:
    assert epoch_ms(text) == ms


@pytest.mark.parametrize("text", ["", "now", "09:15", "2021-13-01", "10/05/2021"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="ts"):
        epoch_ms(text)


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=5))
def test_a_number_is_printed_exactly(value: Decimal) -> None:
    text = decimal_text(Fraction(value))
    assert Fraction(text) == Fraction(value)
    assert "e" not in text.lower()
