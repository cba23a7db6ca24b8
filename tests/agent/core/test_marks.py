"""Many marks in one pass are what the money's book makes of them one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from random import Random

import pytest

from agent.core.marks import on_marks
from agent.portfolio.lots import Fill, Paise
from agent.portfolio.pnl import freeze
from agent.risk import book as money

ON = date(2026, 11, 25)
PRICES: list[Paise] = [10_000, 9_995, Fraction(30_001, 3)]


def held(draw: Random) -> money.Book:
    """Return a book of a few positions of both sides; some share an instrument or a sector."""
    sectors = draw.choice([None, {"NSE:S0": "banks", "NSE:S1": "banks"}])
    book = money.open_book(ON, sectors)
    for n in range(draw.randint(1, 5)):
        price = draw.choice(PRICES)
        fill = Fill(
            "1", f"o{n}", f"NSE:S{n % 3}", draw.choice(["MIS", "MIS", "CNC"]), "NSE",
            draw.choice(["BUY", "SELL"]), draw.randint(1, 50), price, ON, 0,
        )  # fmt: skip
        book, _ = money.on_fill(book, fill)
    slot = draw.choice(list(book.portfolio.positions) or [None])
    if slot is not None and draw.random() < 0.3:
        portfolio = freeze(book.portfolio, slot, "a locked circuit", guard_mark=12_000)
        book = replace(book, portfolio=portfolio)
    return book


@pytest.mark.parametrize("seed", range(60))
def test_marks_in_one_pass_are_marks_one_by_one(seed: int) -> None:
    draw = Random(seed)
    book = held(draw)
    for _ in range(4):
        keys = draw.sample(["NSE:S0", "NSE:S1", "NSE:S2", "NSE:S9"], draw.randint(0, 4))
        prices: dict[str, Paise] = {key: draw.randint(9_000, 11_000) for key in keys}
        if draw.random() < 0.3:
            prices |= {slot[0]: p.mark for slot, p in book.portfolio.positions.items()}
        expected = book
        for key, price in prices.items():
            expected = money.on_mark(expected, key, price)
        got = on_marks(book, prices, expected.best)
        assert got == expected, f"seed {seed}"
        assert list(got.portfolio.positions) == list(expected.portfolio.positions)
        assert repr(got.portfolio) == repr(expected.portfolio), "whole sums are ints in both"
        book = got


def test_the_best_of_the_day_is_what_the_ticks_on_the_way_came_to() -> None:
    book = held(Random(1))
    assert on_marks(book, {}, 77) == replace(book, best=77)
