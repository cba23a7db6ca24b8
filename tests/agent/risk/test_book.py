"""The book's sums event by event: reserve, fill in part and in excess, release, stop, by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from agent.errors import Broken
from agent.market.instruments import Side
from agent.risk import Reserve, on_fill, on_mark, on_stop, open_book, release, reserve
from agent.risk.book import Book, sector_of
from tests.agent.risk.scenes import ON, SECTORS, entered, fill_of, proposal, wide

A = ("NSE:A", "MIS")
ENTRY = Reserve("i1", A, Side.LONG, 10, 1000_00, Fraction(1001, 10), 200_00)


@pytest.mark.parametrize("shares", [0, -1])
def test_an_entry_has_shares(shares: int) -> None:
    with pytest.raises(Broken, match="has shares"):
        reserve(open_book(ON), replace(ENTRY, quantity=shares))
    assert reserve(open_book(ON), replace(ENTRY, quantity=1)).entries == 1


@pytest.mark.parametrize("side", Side)
def test_a_reserve_is_in_every_sum_and_gone_when_it_is_released(side: Side) -> None:
    empty = open_book(ON, SECTORS)
    entry = replace(ENTRY, side=side)
    book = reserve(empty, entry)
    exposure = book.exposure
    assert (exposure.side(side), exposure.side(side.opposite)) == (10_000_00, 0)
    assert (exposure.gross, exposure.decided(side)) == (10_000_00, 0)
    assert exposure.symbols == {"NSE:A": 10_000_00}
    assert exposure.sectors == {"banks": 10_000_00}
    assert exposure.slots == {A: 1}
    assert (book.reserved_risk, book.uncounted) == (1001, {"i1": 2_000_00})
    assert book.entries == 1
    assert release(book, "i1") == empty
    twice = reserve(book, replace(entry, intent="i2", slot=("NSE:A", "CNC")))
    assert twice.exposure.symbols == {"NSE:A": 20_000_00}
    assert release(twice, "i1").exposure.slots == {("NSE:A", "CNC"): 1}


def part_filled() -> Book:
    book = reserve(open_book(ON, SECTORS), ENTRY)
    book, closed = on_fill(book, fill_of(proposal(), 4, at="999"), "i1")
    assert closed == ()
    return book


def test_a_fill_in_part_moves_its_share_of_everything() -> None:
    book = part_filled()
    exposure = book.exposure
    assert (exposure.long_decided, exposure.long_reserved) == (4_000_00, 6_000_00)
    assert exposure.long == 4_000_00  # at the price decided, not at the better fill
    assert exposure.slots == {A: 2}
    assert book.reserves["i1"].quantity == 6
    assert book.reserves["i1"].filled == 4
    paid = book.portfolio.total.charges.total
    assert 0 < paid < 400
    assert book.reserved_risk == Fraction(6006, 10)
    assert book.planned_risk == {A: Fraction(4004, 10) - paid}
    assert book.planned_risk_total == Fraction(4004, 10) - paid
    assert book.uncounted == {"i1": 2_000_00}
    gone = release(book, "i1")
    assert (gone.entries, gone.reserved_risk, gone.uncounted) == (1, 0, {"i1": 800_00})
    assert gone.exposure.slots == {A: 1}
    assert gone.exposure.gross == 4_000_00


def test_the_last_share_ends_the_reserve() -> None:
    book, _ = on_fill(part_filled(), fill_of(proposal(), 6, n=2, order="o1"), "i1")
    assert (dict(book.reserves), book.reserved_risk) == ({}, 0)
    assert book.exposure.slots == {A: 1}
    assert (book.exposure.long_reserved, book.exposure.long_decided) == (0, 10_000_00)
    assert book.entries == 1


def test_more_shares_than_were_reserved_count_at_the_dearer_price() -> None:
    book = reserve(open_book(ON), ENTRY)
    dear, _ = on_fill(book, fill_of(proposal(), 15, at="1010"), "i1")
    assert dear.exposure.long_decided == 15 * 1010_00
    cheap, _ = on_fill(book, fill_of(proposal(), 15, at="990"), "i1")
    assert cheap.exposure.long_decided == 15 * 1000_00
    assert (cheap.reserved_risk, cheap.exposure.long_reserved, cheap.entries) == (0, 0, 1)


def test_what_charges_have_eaten_is_no_longer_at_risk_and_never_below_nothing() -> None:
    book = reserve(open_book(ON), replace(ENTRY, risk=Fraction(1, 10)))
    book, _ = on_fill(book, fill_of(proposal(), 10), "i1")
    assert (book.planned_risk, book.planned_risk_total) == ({A: 0}, 0)


def test_a_fill_of_the_other_side_takes_nothing_out_of_a_reserve() -> None:
    book = part_filled()
    sold, closed = on_fill(book, fill_of(proposal(), -2, n=7), "i1")
    assert sum(part.quantity for part in closed) == 2
    assert sold.reserves == book.reserves
    assert sold.exposure.long_decided == 2_000_00
    assert sold.entries == 1


def test_a_trade_that_comes_again_changes_nothing() -> None:
    book = part_filled()
    again, closed = on_fill(book, fill_of(proposal(), 4, at="999"), "i1")
    assert again is book
    assert closed == ()


def test_a_trade_by_hand_is_an_entry_without_a_plan_and_its_turn_round_another() -> None:
    book, _ = on_fill(open_book(ON), fill_of(proposal(), 5))
    assert (book.entries, book.planned_risk, book.round_trips) == (1, {A: 0}, {})
    tiny, _ = on_fill(open_book(ON), fill_of(proposal(), 1, at="0.05"))
    assert (tiny.planned_risk, tiny.portfolio.total.charges.total) == ({A: 0}, 0)
    more, _ = on_fill(book, fill_of(proposal(), 5, n=2))
    assert more.entries == 2
    turned, _ = on_fill(more, fill_of(proposal(), -15, n=3))
    assert (turned.entries, turned.round_trips) == (3, {"NSE:A": 1})
    assert turned.exposure.short_decided == 5_000_00
    assert turned.exposure.long_decided == 0
    assert turned.exposure.slots == {A: 1}
    flat, _ = on_fill(turned, fill_of(proposal(), 5, n=4))
    assert (flat.entries, flat.round_trips, flat.planned_risk) == (3, {"NSE:A": 2}, {})
    assert flat.exposure == open_book(ON).exposure


def test_carry_is_what_is_not_intraday() -> None:
    book = entered(open_book(ON), proposal(), wide())
    book = entered(book, proposal(product="CNC", n=1), wide(), n=2)
    assert book.exposure.carry_decided == 100_000_00
    sold, _ = on_fill(book, fill_of(proposal(product="CNC", n=1), -30, n=9))
    assert sold.exposure.carry_decided == 70_000_00


def test_a_stop_replaces_the_risk_planned_and_only_of_what_is_held() -> None:
    book = entered(open_book(ON), proposal(), wide())
    other = entered(book, proposal(n=1), wide(), n=2)
    total = other.planned_risk_total
    moved = on_stop(other, A, 1)
    assert moved.planned_risk_total == total - other.planned_risk[A] + 1
    assert on_stop(moved, A, -1).planned_risk[A] == 0
    assert on_stop(moved, ("NSE:C", "MIS"), 5) is moved
    late, _ = on_fill(open_book(ON), fill_of(proposal(), 5))
    bare = replace(late, planned_risk={}, planned_risk_total=0)
    assert on_stop(bare, A, 7).planned_risk_total == 7


def test_the_best_of_the_day_is_kept_and_a_mark_moves_exposure_above_the_price_decided() -> None:
    book = entered(open_book(ON, SECTORS), proposal(Side.SHORT), wide())
    assert book.best == 0
    won = on_mark(book, "NSE:A", 900_00)
    assert won.best == won.portfolio.day_net > 0
    assert won.exposure.short == 100_000_00
    lost = on_mark(won, "NSE:A", 1100_00)
    assert lost.best == won.best
    assert (lost.exposure.short, lost.exposure.short_decided) == (110_000_00, 100_000_00)
    assert lost.exposure.sectors == {"banks": 110_000_00}
    back = on_mark(lost, "NSE:A", 1050_00)
    assert back.exposure.symbols == {"NSE:A": 105_000_00}
    assert on_mark(back, "NSE:A", 1050_00) is back


def test_what_no_file_lists_has_a_sector_of_its_own() -> None:
    assert sector_of(open_book(ON, SECTORS), "NSE:A") == "banks"
    assert sector_of(open_book(ON, SECTORS), "NSE:Z") == "unknown"
    assert sector_of(open_book(ON), "NSE:A") == "unknown"
