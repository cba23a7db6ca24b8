"""The five levels a side that an instrument shows around its last price.

Invented, and the same for the same seed: no candle says what stood in the book. A few hundred
shares a level, a spread of about two basis points, the last price on one of the two best levels
(an uptick traded at the offer). At a circuit limit one side is empty, as on the exchange.
Pure: an integer hash of (seed, token, instant) stands in for chance, so depth can be drawn lazily.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from agent.paper.matching import Levels, Shown

LEVELS: Final = 5
SHARES_MIN: Final = 300  # "at least a few hundred shares a level"
SHARES_SPREAD: Final = 900
SPREAD_PER_TICKS: Final = 5_000  # a price of 5,000 ticks shows 1 tick, of 10,000 two: 2 bp
ORDER_SHARES: Final = 150  # of each order in a level
_MASK: Final = 2**64 - 1


def shown_around(
    last: int, rising: bool, *, band: tuple[int, int], traded: int, key: tuple[int, int, int]
) -> Shown:
    """Return the market of an instant around its last price.

    Parameters
    ----------
    last : int, ticks
    rising : bool
        Whether the last trade was at the offer.
    band : (lower, upper) circuit limits, ticks
    traded : int, shares traded since the instant before
    key : (seed, token, instant)
        What the quantities are drawn from.
    """
    lower, upper = band
    spread = max(1, last // SPREAD_PER_TICKS)
    best_bid = last - spread if rising else last
    chance = stirred(key)
    bids: Levels = tuple(
        [
            (best_bid - n, SHARES_MIN + (chance >> (6 * n)) % SHARES_SPREAD)
            for n in range(min(LEVELS, best_bid - lower + 1))
        ]
    )
    best_ask = best_bid + spread
    asks: Levels = tuple(
        [
            (best_ask + n, SHARES_MIN + (chance >> (6 * n + 30)) % SHARES_SPREAD)
            for n in range(min(LEVELS, upper - best_ask + 1))
        ]
    )
    if last >= upper:
        asks = ()
    if last <= lower:
        bids = ()
    return Shown(last, traded, bids, asks)


def with_orders(levels: Levels, tick: int) -> tuple[tuple[int, int, int], ...]:
    """Return levels as (paise, shares, how many orders they say they hold)."""
    return tuple([(price * tick, shares, 1 + shares // ORDER_SHARES) for price, shares in levels])


def stirred(key: tuple[int, int, int]) -> int:
    """Return 64 well-stirred bits of the key (the finaliser of splitmix64, three times)."""
    return _stir(_head(key[0], key[1]), key[2])


@lru_cache(maxsize=8_192)  # seed and token stay, and depth is drawn some thousand times a second
def _head(first: int, second: int) -> int:
    return _stir(_stir(0, first), second)


def _stir(mixed: int, part: int) -> int:
    mixed = (mixed + part + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
