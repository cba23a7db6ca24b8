"""Ours against the broker's: unknown is not flat, differences have words, splits freeze."""

from __future__ import annotations

from datetime import date

import pytest

from agent.portfolio.lots import Fill
from agent.portfolio.pnl import Portfolio, on_fill, on_mark
from agent.portfolio.reconcile import (
    BrokerPosition,
    Reconciliation,
    close_jump,
    overnight_reasons,
    reconcile,
)

ON = date(2026, 11, 25)


def portfolio(*signed_at: tuple[int, int]) -> Portfolio:
    book = Portfolio(ON)
    for n, (signed, price) in enumerate(signed_at):
        transaction = "BUY" if signed > 0 else "SELL"
        book, _ = on_fill(
            book,
            Fill(f"t{n}", f"o{n}", "NSE:A", "MIS", "NSE", transaction, abs(signed), price, ON, n),
        )
    return on_mark(book, "NSE:A", 110_00)


def row(quantity: int, average: int = 100_00, pnl: int | None = None, *, key: str = "NSE:A",
        product: str = "MIS") -> BrokerPosition:  # fmt: skip
    return BrokerPosition(key, product, quantity, average, pnl)


def test_a_failed_fetch_is_unknown_and_never_flat() -> None:
    assert reconcile(portfolio((10, 100_00)), None) == Reconciliation("unknown")
    assert reconcile(Portfolio(ON), None).status == "unknown"


#   case                    our trades                  broker's rows               what differs
ROWS = [
    ("equal", [(10, 100_00)], [row(10, 100_00, 100_00)], []),
    ("both flat", [(10, 100_00), (-10, 110_00)], [row(0, 0, 100_00)], []),
    ("flat, and no row", [(10, 100_00), (-10, 110_00)], [], []),
    ("nothing, and a closed row", [], [row(0, 0, 5_00, key="NSE:B")], []),
    ("fewer", [(10, 100_00)], [row(7)], ["quantity"]),
    ("short, not long", [(-10, 100_00)], [row(10)], ["quantity"]),
    ("gone by hand", [(10, 100_00)], [row(0)], ["quantity"]),
    ("back by hand", [(10, 100_00), (-10, 110_00)], [row(3)], ["quantity"]),
    ("no row", [(10, 100_00)], [], ["missing"]),
    ("bought by hand", [(10, 100_00)], [row(10), row(5, key="NSE:B")], ["foreign"]),
    ("another product", [(10, 100_00)], [row(10), row(5, product="CNC")], ["foreign"]),
    ("average", [(10, 100_00)], [row(10, 101_00)], ["average"]),
    ("average to half a paisa", [(1, 100_00), (2, 101_00)], [row(3, 100_67)], []),
    ("average after a scale-out",
     [(10, 100_00), (10, 120_00), (-10, 110_00)], [row(10, 110_00)], []),
    ("profit", [(10, 100_00)], [row(10, 100_00, 98_00)], ["pnl"]),
    ("profit within a rupee", [(10, 100_00)], [row(10, 100_00, 99_10)], []),
]  # fmt: skip


@pytest.mark.parametrize(("case", "trades", "rows", "differ"), ROWS)
def test_what_differs(
    case: str, trades: list[tuple[int, int]], rows: list[BrokerPosition], differ: list[str]
) -> None:
    found = reconcile(portfolio(*trades), rows)
    assert [d.what for d in found.differences] == differ, case
    assert found.status == ("different" if differ else "equal")
    assert all(d.slot[0] in d.words for d in found.differences)


@pytest.mark.parametrize(
    ("packet", "jumps"), [(100_00, False), (105_00, False), (95_00, False), (105_01, True),
                          (50_00, True), (200_00, True)],
)  # fmt: skip
def test_a_jump_of_the_previous_close_above_5_percent(packet: int, jumps: bool) -> None:
    assert (close_jump("NSE:A", 100_00, packet) is not None) is jumps


def test_the_words_of_a_jump_carry_both_closes() -> None:
    words = close_jump("NSE:A", 100_00, 50_00)
    assert words is not None
    assert "50.00" in words
    assert "100.00" in words
    assert "-50.0 %" in words


@pytest.mark.parametrize(
    ("case", "broker", "packet", "reasons"),
    [
        ("as we left it", row(10), 110_00, 0),
        ("a bonus 1:1", row(20, 50_00), 55_00, 2),
        ("the row is gone", None, 110_00, 1),
        ("another average", row(10, 98_00), 110_00, 1),
        ("a demerger: only the close", row(10), 99_00, 1),
    ],
)
def test_a_position_over_a_night(
    case: str, broker: BrokerPosition | None, packet: int, reasons: int
) -> None:
    position = portfolio((10, 100_00)).positions["NSE:A", "MIS"]
    assert len(overnight_reasons(position, broker, 110_00, packet)) == reasons, case
