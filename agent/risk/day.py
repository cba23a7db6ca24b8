"""What a day does to the book: the square-off, a night, a freeze, a restart.

Rule 1: functions of (book, event) to a book, as in book.py.
Rule 2: after a short could not be bought back no further short is opened that day.
Rule 3: a new day starts with new counts and results; positions, their planned risk and what is in
delivery are carried. No entry is in flight over a night (the order book lives one day).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from agent.errors import check
from agent.portfolio import pnl
from agent.portfolio.lots import Paise
from agent.portfolio.pnl import Portfolio, Slot
from agent.portfolio.settlement import Undelivered, blocked_paise
from agent.portfolio.settlement import after_square_off as square_off_of
from agent.risk.book import Book, moved, settled


def book_of(portfolio: Portfolio, sectors: Mapping[str, str] | None = None) -> Book:
    """Return the book of a portfolio with nothing in flight; the sums are made from scratch.

    For a start from what the journal and the broker agree on. The planned risk of each position
    is unknown, so 0, until `on_stop` says where its stop stands.
    """
    book = Book(replace(portfolio, positions={}), sectors=sectors)
    book = replace(book, portfolio=portfolio)
    for slot, position in portfolio.positions.items():
        book = moved(book, slot, None, position)
    return settled(book)


def after_square_off(
    book: Book, closes: Mapping[str, Paise]
) -> tuple[Book, tuple[Undelivered, ...]]:
    """Return the book after the broker's square-off, and what it left open.

    Parameters
    ----------
    closes : mapping of key to paise
        The day's closes; the last mark stands in for a missing one.
    """
    portfolio, left = square_off_of(book.portfolio, closes)
    shorts = [found.words for found in left if found.kind == "SHORT_DELIVERY"]
    no_shorts = f"no further shorts today: {'; '.join(shorts)}" if shorts else book.no_shorts
    blocked = blocked_paise(portfolio)
    return settled(replace(book, portfolio=portfolio, no_shorts=no_shorts, blocked=blocked)), left


def next_day(book: Book, on: date, closes: Mapping[str, Paise]) -> Book:
    """Return the book of the next trading day.

    Parameters
    ----------
    on : date
    closes : mapping of key to paise
        Yesterday's official closes, from which the day's result of carried positions counts.

    Raises
    ------
    Broken
        If an entry is still in flight, or the day is not later.
    """
    check(not book.reserves, "no entry is in flight over a night", intents=sorted(book.reserves))
    fresh = book_of(pnl.next_day(book.portfolio, on, closes), book.sectors)
    total = sum(book.planned_risk.values())
    return replace(fresh, planned_risk=book.planned_risk, planned_risk_total=total)


def freeze(book: Book, slot: Slot, why: str, *, guard_mark: Paise | None = None) -> Book:
    """Return the book with a position that only a person may close.

    Parameters
    ----------
    guard_mark : paise, optional
        Where the loss guard counts it: `locked_short_mark(last)` for a short at its circuit.

    Raises
    ------
    Broken
        If there is no such position.
    """
    portfolio = pnl.freeze(book.portfolio, slot, why, guard_mark=guard_mark)
    return settled(replace(book, portfolio=portfolio))


def unfreeze(book: Book, slot: Slot) -> Book:
    """Return the book with a frozen position free again, by a person's word."""
    return settled(replace(book, portfolio=pnl.unfreeze(book.portfolio, slot)))
