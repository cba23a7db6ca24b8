"""The closing auction of stocks with derivatives, since 3 August 2026.

At 15:15 continuous trading ends, what waits for a trigger or shows only a part of itself is
cancelled, and the reference is computed: the volume-weighted price of 15:00 to 15:15. From 15:20
LIMIT and MARKET orders are collected inside 3 % of it, from 15:25 LIMIT orders alone, until a
random moment between 15:28 and 15:30. Then everything that the auction's price reaches trades at
that one price, which is the official close.

What others want in an auction is in no candle: the price is the last one, moved by a seeded draw.
Pure: an integer hash stands in for chance.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from agent.market.sessions import epoch_ms
from agent.paper.board import Board
from agent.paper.depth import stirred
from agent.paper.matching import Event
from agent.paper.refusals import bad_input, bad_order
from agent.paper.tickets import Ticket

REFERENCE_MS: Final = 15 * 60_000  # before the end of continuous trading
BAND_PERCENT: Final = 3
DRIFT_BASIS_POINTS_MAX: Final = 40  # how far the auction's price is drawn from the last one
MATCHING_MS: Final = 60_000  # from the end of the entry to the trades
SHARES_MIN: Final = 1_000
VOLUME_PERCENT: Final = 5  # of the day's, in the auction
NO_ENTRY: Final = "Orders are not taken while the closing auction's reference price is computed."
LIMIT_ONLY: Final = "Only LIMIT orders are taken in the last minutes of the closing auction."
PLAIN_ONLY: Final = "The closing auction takes LIMIT and MARKET orders for the day, shown in full."
ENDED: Final = "The closing auction takes no more orders."


def ends_ms(board: Board) -> int:
    """Return when a board takes no more orders today: of an auction, its random end."""
    auction = board.session.auction
    if auction is None:
        return board.session.closes_ms
    first, last = epoch_ms(auction.random_end_from), epoch_ms(auction.entry_until)
    return first + stirred((board.seed, board.session.on.toordinal(), 0)) % (last - first)


def strikes_ms(board: Board) -> int | None:
    """Return when a board's auction is matched; None without one."""
    auction = board.session.auction
    if auction is None or board.is_index:  # an index is not traded
        return None
    return epoch_ms(auction.entry_until) + MATCHING_MS


def check_entry(board: Board, ticket: Ticket, now_ms: int) -> None:
    """Refuse an order that the auction does not take, or not yet, or not any more.

    Raises
    ------
    RequestRefused
        `InputException`, 400.
    """
    auction = board.session.auction
    if auction is None:
        return
    if now_ms < epoch_ms(auction.entry_from):
        raise bad_input(NO_ENTRY)
    plain = ticket.order_type in {"LIMIT", "MARKET"} and ticket.validity == "DAY"
    if not plain or ticket.disclosed:
        raise bad_input(PLAIN_ONLY)
    if ticket.order_type != "LIMIT" and now_ms >= epoch_ms(auction.limit_only_from):
        raise bad_input(LIMIT_ONLY)


def check_amendment(board: Board, order_type: str, now_ms: int) -> None:
    """Refuse a modification that the auction does not take at this time.

    Raises
    ------
    RequestRefused
        `OrderException`, 400.
    """
    auction = board.session.auction
    if auction is None or now_ms < board.session.closes_ms:
        return
    if now_ms < epoch_ms(auction.entry_from):
        raise bad_order(NO_ENTRY)
    if now_ms >= ends_ms(board):
        raise bad_order(ENDED)
    if order_type != "LIMIT" and now_ms >= epoch_ms(auction.limit_only_from):
        raise bad_order(LIMIT_ONLY)


def begin(board: Board) -> None:
    """Let a board collect orders, inside the band around the reference."""
    reference, tick = reference_paise(board), board.instrument.tick_paise
    reach = reference * BAND_PERCENT // 100
    lower, upper = -(-(reference - reach) // tick), (reference + reach) // tick
    board.band = (max(lower, board.band[0]), min(upper, board.band[1]))
    board.book.collecting = True


def strike(board: Board, now_ms: int) -> list[Event]:
    """Match a board's auction; the price is its last one from now on.

    What has not traded all day has no price to match at.
    """
    if board.cursor < 0:
        return []
    price, shares = price_ticks(board), max(board.volume * VOLUME_PERCENT // 100, SHARES_MIN)
    events = board.book.cross(price, shares)
    board.print(price * board.instrument.tick_paise, shares, now_ms)
    return events


def catch_up(board: Board, now_ms: int) -> bool:
    """Bring a board whose ticks have been played to where its auction stands: after a restart.

    Returns
    -------
    bool
        Whether the auction has been matched: the last price is the official close.
    """
    strikes = strikes_ms(board)
    if strikes is None or now_ms < board.session.closes_ms:
        return False
    begin(board)
    if now_ms >= strikes:
        strike(board, strikes)
    return now_ms >= strikes


def inside(board: Board, limit: int) -> bool:
    """Tell whether a limit in ticks is inside the auction's band."""
    return board.band[0] <= limit <= board.band[1]


def reference_paise(board: Board) -> int:
    """Return the volume-weighted price of the last 15 minutes; the last price without volume."""
    tape = board.tape
    start = bisect_left(tape.times, board.session.closes_ms - REFERENCE_MS)
    value = shares = 0
    for n in range(start, len(tape.times)):
        traded = tape.volumes[n] - (tape.volumes[n - 1] if n else 0)
        value, shares = value + traded * tape.prices[n], shares + traded
    return value // shares if shares else board.last


def price_ticks(board: Board) -> int:
    """Return the price at which the auction matches, inside its band."""
    drawn = stirred((board.seed, board.instrument.token, board.session.on.toordinal()))
    drift = drawn % (2 * DRIFT_BASIS_POINTS_MAX + 1) - DRIFT_BASIS_POINTS_MAX
    wanted = board.last * (10_000 + drift) // 10_000 // board.instrument.tick_paise
    return min(max(wanted, board.band[0]), board.band[1])
