"""The exchange's settlement auction: who holds a share sells it to those who must deliver.

Shares that others sold and did not deliver are bought the next day from whoever offers them, by a
number, 14:00 to 14:45: LIMIT orders for settled holdings. At 14:50 the cheapest offers are taken
at their own prices, up to what is wanted and to the highest price that is paid for it.

Which stocks are short, by how much and what is paid is drawn by the seed. Pure: an integer hash
stands in for chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from agent.market.sessions import IST, epoch_ms
from agent.paper.board import Board
from agent.paper.depth import stirred
from agent.paper.matching import Event
from agent.paper.refusals import bad_input
from agent.paper.tickets import Ticket

BEGINS, ENDS, STRIKES = time(14, 0), time(14, 45), time(14, 50)
ONE_IN: Final = 4  # so many instruments have an auction on a day
SHARES_MIN: Final = 50
SHARES_SPREAD: Final = 2_000
ABOVE_PERCENT_MAX: Final = 5  # how far above the last price is paid
NONE: Final = "There is no auction of this number: see /portfolio/holdings/auctions."
PLAIN_ONLY: Final = "Auction orders are LIMIT orders to SELL, CNC, for the day."


@dataclass(frozen=True, slots=True)
class Auction:
    """What is wanted of a stock today; `above_percent` of the last price is paid at most."""

    number: str
    shares: int
    above_percent: int


def auction_of(board: Board) -> Auction | None:
    """Return a stock's auction of its day; None for most."""
    drawn = stirred((board.seed, board.instrument.token, -board.session.on.toordinal()))
    if board.is_index or board.session.kind != "regular" or drawn % ONE_IN:
        return None
    return Auction(
        str(1 + (drawn >> 8) % 999),
        SHARES_MIN + (drawn >> 24) % SHARES_SPREAD,
        (drawn >> 48) % (ABOVE_PERCENT_MAX + 1),
    )


def strikes_ms(board: Board) -> int:
    """Return when auctions are matched on a board's day."""
    return _at(board, STRIKES)


def check_entry(board: Board, ticket: Ticket, number: str, settled: int, now_ms: int) -> None:
    """Refuse an order that the auction does not take.

    Parameters
    ----------
    settled : int, shares held, bought before yesterday

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    auction = auction_of(board)
    if auction is None or number != auction.number:
        raise bad_input(NONE)
    if not _at(board, BEGINS) <= now_ms < _at(board, ENDS):
        raise bad_input(f"Auction orders are taken from {BEGINS:%H:%M} to {ENDS:%H:%M}.")
    terms = (ticket.transaction, ticket.order_type, ticket.product, ticket.validity)
    if terms != ("SELL", "LIMIT", "CNC", "DAY") or ticket.disclosed:
        raise bad_input(PLAIN_ONLY)
    if ticket.quantity > settled:
        raise bad_input(f"{settled} settled shares can be offered, not {ticket.quantity}.")


def strike(board: Board) -> list[Event]:
    """Take the cheapest offers of a board's auction."""
    auction = auction_of(board)
    if auction is None or not board.sale.orders:
        return []
    highest = board.last * (100 + auction.above_percent) // 100 // board.instrument.tick_paise
    return board.sale.cross(highest, auction.shares, at_limits=True)


def _at(board: Board, clock: time) -> int:
    return epoch_ms(datetime.combine(board.session.on, clock, tzinfo=IST))
