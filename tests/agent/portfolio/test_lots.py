"""Positions from trades: first in first out, both sides, flips, and charges to the paisa."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Broken
from agent.market.charges import NO_CHARGES, Charges
from agent.market.instruments import Side
from agent.portfolio.lots import Fill, Position, apply_fill, split_charges

ON = date(2026, 11, 25)


def fill(signed: int, price: int, *, n: int = 1, agent: str = "model", key: str = "NSE:A") -> Fill:
    return Fill(
        f"t{n}", f"o{n}", key, "MIS", "NSE", "BUY" if signed > 0 else "SELL", abs(signed),
        price, ON, n, agent, "v1",
    )  # fmt: skip


def after(*trades: tuple[int, int]) -> tuple[Position | None, list[int]]:
    position, gross = None, []
    for n, (signed, price) in enumerate(trades):
        position, closed, _ = apply_fill(position, fill(signed, price, n=n), NO_CHARGES)
        gross += [int(c.gross) for c in closed]
    return position, gross


#   case                  signed quantities at prices        left: signed, average    realised
@pytest.mark.parametrize(
    ("case", "trades", "left", "average", "gross"),
    [
        ("open long", [(10, 100)], 10, "100", []),
        ("open short", [(-10, 100)], -10, "100", []),
        ("average up", [(10, 100), (30, 104)], 40, "103", []),
        ("average a short", [(-10, 100), (-30, 104)], -40, "103", []),
        ("scale out, oldest first", [(10, 100), (10, 110), (-10, 120)], 10, "110", [200]),
        ("a fill over two lots", [(10, 100), (10, 110), (-15, 120)], 5, "110", [200, 50]),
        ("short, oldest first", [(-10, 100), (-10, 90), (15, 80)], -5, "90", [200, 50]),
        ("close", [(10, 100), (-10, 99)], 0, None, [-10]),
        ("flip", [(10, 100), (-25, 110)], -15, "110", [100]),
        ("flip back", [(-10, 100), (15, 90)], 5, "90", [100]),
        ("third of a tick", [(1, 100), (2, 101)], 3, "302/3", []),
    ],
)
def test_positions_by_trades(
    case: str, trades: list[tuple[int, int]], left: int, average: str | None, gross: list[int]
) -> None:
    position, realised = after(*trades)
    assert realised == gross, case
    if average is None:
        assert position is None
    else:
        assert position is not None
        assert position.signed == left
        assert position.average == Fraction(average)


def test_a_lot_is_closed_for_who_opened_it() -> None:
    position, _, _ = apply_fill(None, fill(10, 100, agent="model"), NO_CHARGES)
    position, _, _ = apply_fill(position, fill(10, 100, n=2, agent="momentum"), NO_CHARGES)
    _, closed, _ = apply_fill(position, fill(-20, 105, n=3, agent="operator"), NO_CHARGES)
    assert [(c.agent, c.quantity, c.gross) for c in closed] == [
        ("model", 10, 50), ("momentum", 10, 50),
    ]  # fmt: skip


def test_a_flip_shares_its_charges_between_the_old_and_the_new() -> None:
    paid = Charges(2000, 301, 7, 1, 0, 361)
    position, _, _ = apply_fill(None, fill(10, 100), NO_CHARGES)
    position, closed, opening = apply_fill(position, fill(-30, 100, n=2), paid)
    assert closed[0].charges + opening == paid
    assert closed[0].charges.brokerage == 2000 // 3


def test_a_fill_has_shares_and_is_of_its_position() -> None:
    with pytest.raises(Broken, match="shares"):
        apply_fill(None, replace(fill(1, 100), quantity=0), NO_CHARGES)
    position, _, _ = apply_fill(None, fill(1, 100), NO_CHARGES)
    with pytest.raises(Broken, match="of its position"):
        apply_fill(position, fill(-1, 100, key="NSE:B"), NO_CHARGES)


@given(
    total=st.lists(st.integers(0, 10**6), min_size=6, max_size=6),
    quantities=st.lists(st.integers(1, 10**5), min_size=1, max_size=6),
)
def test_shares_of_charges_add_up_and_none_is_negative(
    total: list[int], quantities: list[int]
) -> None:
    whole = Charges(*total)
    parts = split_charges(whole, quantities)
    summed = NO_CHARGES
    for part in parts:
        assert min(part.brokerage, part.stt, part.exchange, part.sebi, part.stamp, part.gst) >= 0
        summed = summed + part
    assert summed == whole
    assert len(parts) == len(quantities)


@given(st.lists(st.tuples(st.integers(-40, 40).filter(bool), st.integers(1, 999)), max_size=20))
def test_a_mirrored_stream_gives_the_mirrored_position_and_the_same_result(
    trades: list[tuple[int, int]],
) -> None:
    position, gross = after(*trades)
    mirrored, same = after(*[(-signed, 1000 - price) for signed, price in trades])
    assert gross == same
    if position is None:
        assert mirrored is None
        return
    assert mirrored is not None
    assert mirrored.signed == -position.signed
    assert mirrored.average == 1000 - position.average
    assert (position.side is Side.LONG) is (mirrored.side is Side.SHORT)
