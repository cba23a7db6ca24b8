"""Prices of our orders: the mirror, the grid, the band."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.rules import EntryRules, ProtectRules
from agent.core.values import Band, Quote
from agent.market.instruments import Instrument, Side
from agent.orders.prices import entry_limit, exit_limit, protect_gap, protect_limit, slip_ticks

STOCK = Instrument("NSE:AAA", 1, Decimal("0.05"))
FUTURE = Instrument("NFO:AAA26DECFUT", 2, Decimal("0.05"), 500, "NFO-FUT", "FUT")
prices = st.integers(100, 200_000)


def quote(bid: int | None, ask: int | None, last: int = 2_000) -> Quote:
    return Quote(
        last,
        1,
        () if bid is None else ((bid, 100),),
        () if ask is None else ((ask, 100),),
        0,
        0,
    )


@pytest.mark.parametrize(
    ("side", "bid", "ask", "limit"),
    [
        (Side.LONG, 2_000, 2_001, 2_003),  # 5 bp of 2001 is 1.0005 ticks: two whole ones
        (Side.SHORT, 2_000, 2_001, 1_999),
        (Side.LONG, 100, 101, 102),  # at least one tick
        (Side.LONG, 100, None, None),
        (Side.SHORT, None, 101, None),
    ],
)
def test_entries(side: Side, bid: int | None, ask: int | None, limit: int | None) -> None:
    assert entry_limit(side, quote(bid, ask), EntryRules()) == limit


@given(price=prices, bp=st.integers(0, 300))
def test_a_slip_is_never_under_a_tick_nor_under_its_share(price: int, bp: int) -> None:
    ticks = slip_ticks(price, bp)
    assert ticks >= 1
    assert ticks >= Fraction(price * bp, 10_000)
    assert ticks - 1 < Fraction(price * bp, 10_000) or ticks == 1


@given(bid=prices, bp=st.integers(0, 300), spread=st.integers(1, 20))
def test_an_exit_is_through_the_best_opposite_price(bid: int, bp: int, spread: int) -> None:
    seen = quote(bid, bid + spread)
    assert exit_limit(Side.LONG, seen, bp, None) < bid or bid == 1
    assert exit_limit(Side.SHORT, seen, bp, None) > bid + spread


def test_an_exit_stays_inside_the_band_and_lives_without_a_book() -> None:
    band = Band(1_998, 2_002)
    assert exit_limit(Side.LONG, quote(2_000, 2_001), 100, band) == 1_998
    assert exit_limit(Side.SHORT, quote(2_000, 2_001), 100, band) == 2_002
    assert exit_limit(Side.LONG, quote(None, 2_001, last=2_000), 5, None) == 1_999


@pytest.mark.parametrize(
    ("instrument", "trigger", "atr", "gap"),
    [
        (STOCK, 2_000, None, 20),  # 1 %
        (STOCK, 2_000, 15.0, 31),  # two ATRs, the tick above
        (STOCK, 100, None, 5),  # five ticks
        (FUTURE, 2_000, 500.0, 60),  # the exchange's 3 %
    ],
)
def test_the_gap_is_the_largest_of_three_and_capped_in_derivatives(
    instrument: Instrument, trigger: int, atr: float | None, gap: int
) -> None:
    assert protect_gap(instrument, trigger, atr, ProtectRules()) == gap


@given(trigger=prices, gap=st.integers(1, 50))
def test_a_protective_limit_lies_beyond_its_trigger_mirrored(trigger: int, gap: int) -> None:
    long = protect_limit(Side.LONG, trigger, gap, None)
    short = protect_limit(Side.SHORT, trigger, gap, None)
    assert trigger - long == short - trigger == gap
