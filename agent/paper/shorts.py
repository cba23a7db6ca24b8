"""A short that was not bought back: delivery is owed, and the exchange's auction settles it.

At the end of the day the broker blocks 120 % of its value at that day's close. The next trading
day, at 14:00, the exchange buys the shares from whoever offers them, at a premium; while the stock
is locked at its upper circuit nobody does, and it is closed out at the higher of the top price
since the short and 20 % above the last close. What that costs is the account's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Final

BLOCKED_PERCENT: Final = 120
CLOSE_OUT_PERCENT: Final = 120
AUCTION_AT: Final = time(14, 0)
PREMIUM_PERCENT: Final = 3  # assumed: what sellers in an auction ask above the market


@dataclass(slots=True)
class Owed:
    """Shares that were sold and not delivered; money in paise.

    `proceeds` is what they were sold for, `top` the highest price since that day's open.
    """

    key: str
    product: str
    token: int
    quantity: int
    proceeds: int
    blocked: int
    top: int


def owed_at_close(
    at: tuple[str, str, int], quantity: int, proceeds: int, close: int, top: int
) -> Owed:
    """Return what a short of (key, product, token) owes at the end of its day."""
    key, product, token = at
    return Owed(
        key, product, token, quantity, proceeds, quantity * close * BLOCKED_PERCENT // 100, top
    )


def settlement_price(owed: Owed, last: int, high: int, close: int, *, locked: bool) -> int:
    """Return at which price an auction or a close-out settles what is owed, in paise.

    Parameters
    ----------
    owed : Owed
    last, high : int, paise
        Of the auction's day so far.
    close : int, paise
        Of the day before it.
    locked : bool
        Nobody sells: the stock is at its upper circuit.
    """
    if not locked:
        return last * (100 + PREMIUM_PERCENT) // 100
    return max(owed.top, high, close * CLOSE_OUT_PERCENT // 100)
