"""Many marks at once: what `money.on_mark` makes of them one after the other, in one pass.

When idle ticks are written down (idle.py), every instrument held has a new price. One by one each
would copy portfolio, exposure and book; here the sums are added up first and each is copied once.
Rule: `agent.risk.book.on_mark` says what a mark means; this file may only add up the same figures.
A test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.frozen import replace
from agent.market.instruments import Side
from agent.portfolio.lots import Paise, plain
from agent.portfolio.pnl import Portfolio, exit_cost, slots_of
from agent.risk.book import Book, Exposure, sector_of


def on_marks(book: Book, prices: Mapping[str, Paise], best: Paise) -> Book:
    """Return the book with new last prices of instruments.

    Parameters
    ----------
    prices : mapping of key to paise
    best : paise
        The day's best result on the way to these prices: only who saw the ticks one by one knows.
    """
    portfolio, changes = _marked(book.portfolio, prices)
    exposure = _revalued(book, changes) if changes else book.exposure
    return replace(book, portfolio=portfolio, exposure=exposure, best=best)


def _marked(
    portfolio: Portfolio, prices: Mapping[str, Paise]
) -> tuple[Portfolio, list[tuple[str, Side, Paise]]]:
    """Return the portfolio at new marks, and by how much each position's value has changed."""
    positions, changes = dict(portfolio.positions), list[tuple[str, Side, Paise]]()
    unrealised, guarded = portfolio.unrealised, portfolio.guarded
    exit_charges, on = portfolio.exit_charges, portfolio.on
    moved = False
    for key, price in prices.items():
        for slot in slots_of(portfolio, key):
            old = positions[slot]
            if old.mark == price:
                continue
            new = positions[slot] = replace(old, mark=price)
            moved = True
            gained = new.unrealised - old.unrealised
            unrealised += gained
            if old.guard_mark is None:
                guarded += gained
                exit_charges += exit_cost(new, on) - exit_cost(old, on)
            change = new.value - old.value
            if change:  # below the price decided a mark moves no exposure
                changes.append((key, new.side, change))
    if not moved:
        return portfolio, changes
    return replace(
        portfolio,
        positions=positions,
        unrealised=plain(unrealised),
        guarded=plain(guarded),
        exit_charges=exit_charges,
    ), changes


def _revalued(book: Book, changes: list[tuple[str, Side, Paise]]) -> Exposure:
    """Return the sums of exposure after positions' values have changed."""
    exposure = book.exposure
    long, short = exposure.long, exposure.short
    symbols, sectors = dict(exposure.symbols), dict(exposure.sectors)
    for key, side, change in changes:
        if side is Side.LONG:
            long += change
        else:
            short += change
        _add(symbols, key, change)
        if book.sectors is not None:
            _add(sectors, sector_of(book, key), change)
    return replace(exposure, long=long, short=short, symbols=symbols, sectors=sectors)


def _add(sums: dict[str, Paise], key: str, change: Paise) -> None:
    """Add to one of the sums; one that comes to nothing is not kept."""
    total = sums.get(key, 0) + change
    if total:
        sums[key] = total
    else:
        sums.pop(key, None)
