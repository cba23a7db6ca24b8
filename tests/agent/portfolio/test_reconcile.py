"""Ours against the broker's: unknown is not flat, differences have words, splits freeze."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from agent.portfolio.lots import Fill
from agent.portfolio.pnl import Portfolio, on_fill, on_mark
from agent.portfolio.reconcile import (
    BrokerPosition,
    Reconciliation,
    close_jump,
    gross_of,
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


def row(
    quantity: int,
    average: int | Fraction = 100_00,
    pnl: int | None = None,
    *,
    key: str = "NSE:A",
    product: str = "MIS",
) -> BrokerPosition:
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
    ("average after adding", [(10, 100_00), (10, 120_00)], [row(20, 100_00)], ["average"]),
    ("profit", [(10, 100_00)], [row(10, 100_00, 98_00)], ["pnl"]),
    ("profit within a rupee", [(10, 100_00)], [row(10, 100_00, 99_10)], []),
    ("profit a rupee off", [(10, 100_00)], [row(10, 100_00, 99_00)], []),
    ("profit a paisa more off", [(10, 100_00)], [row(10, 100_00, 98_99)], ["pnl"]),
    ("average half a paisa off", [(2, 100_00)], [row(2, Fraction(200_01, 2))], []),
    ("average more than that off", [(2, 100_00)], [row(2, Fraction(100_00_51, 100))],
     ["average"]),
    ("no profit told", [(10, 100_00)], [row(10)], []),
    ("average and profit", [(10, 100_00)], [row(10, 99_00, 5_00)], ["average", "pnl"]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "trades", "rows", "differ"), ROWS)
def test_what_differs(
    case: str, trades: list[tuple[int, int]], rows: list[BrokerPosition], differ: list[str]
) -> None:
    found = reconcile(portfolio(*trades), rows)
    assert [d.what for d in found.differences] == differ, case
    assert found.status == ("different" if differ else "equal")
    assert all(d.slot[0] in d.words for d in found.differences)


#  each kind of difference, its two figures and its words
@pytest.mark.parametrize(
    ("trades", "rows", "ours", "theirs", "words"),
    [
        ([(10, 100_00)], [row(7)], 10, 7, "NSE:A MIS: we hold 10, the broker 7"),
        ([(-4, 100_00)], [], -4, 0, "NSE:A MIS: we hold -4, the broker has no such row"),
        ([], [row(5, key="NSE:B")], 0, 5,
         "NSE:B MIS: the broker holds 5, not ours: left alone"),
        ([(10, 100_25)], [row(10, 101_05)], 100_25, 101_05,
         "NSE:A MIS: our average is Rs 100.2500, the broker's Rs 101.0500"),
        ([(10, 100_00), (-10, 110_00)], [row(0, 0, 95_00)], 100_00, 95_00,
         "NSE:A MIS: our gross profit is Rs 100.0000, the broker's Rs 95.0000"),
    ],
)  # fmt: skip
def test_a_difference_has_both_figures_and_its_words(
    trades: list[tuple[int, int]], rows: list[BrokerPosition], ours: int, theirs: int, words: str
) -> None:
    (found,) = reconcile(portfolio(*trades), rows).differences
    assert (found.ours, found.theirs) == (ours, theirs)
    assert found.words == words


def test_a_position_s_profit_is_what_was_realised_and_what_is_not() -> None:
    held = on_mark(portfolio((10, 100_00), (-4, 110_00)), "NSE:A", 105_00)
    assert gross_of(held, ("NSE:A", "MIS")) == 4 * 10_00 + 6 * 5_00
    assert gross_of(held, ("NSE:A", "CNC")) == 0
    assert reconcile(held, [row(6, 1, 70_00)]).status == "equal"  # after a scale-out: any average


def test_a_night_s_reasons_in_words() -> None:
    position = portfolio((10, 100_00)).positions["NSE:A", "MIS"]
    action = "a corporate action? No exit by level, no entry; a person decides"
    assert overnight_reasons(position, row(20, 50_00), 110_00, 55_00) == (
        "NSE:A MIS: the journal holds 10, the broker 20",
        f"NSE:A: the previous close reads 55.00, we know 110.00 (-50.0 %): {action}",
    )
    assert overnight_reasons(position, None, 110_00, 110_00) == (
        "NSE:A MIS: the journal holds 10, the broker no such row",
    )
    assert overnight_reasons(position, row(10, 98_00), 110_00, 110_00) == (
        "NSE:A MIS: the journal's average is Rs 100.0000, the broker's Rs 98.0000",
    )
    assert close_jump("NSE:A", 100_00, 94_99) is not None
    assert close_jump("NSE:A", 80_05, 88_88) == (
        f"NSE:A: the previous close reads 88.88, we know 80.05 (+11.0 %): {action}"
    )


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
