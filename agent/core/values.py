"""The words of the live core: modes, roles, quotes, rows of the broker's books.

Frozen values only. Prices are integer ticks of the instrument's grid, sums are paise, instants
are epoch milliseconds. An average price may lie off the grid, so an order carries its traded
VALUE in paise instead: every trade is on the grid, so that sum is a whole number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Literal

Transaction = Literal["BUY", "SELL"]
OrderType = Literal["LIMIT", "SL", "MARKET", "SL-M"]


class Mode(IntEnum):
    """What the agent may do, each stricter than the one before."""

    NORMAL = 0
    NO_NEW = 1  # no entries
    REDUCE_ONLY = 2  # entries refused, working entries cancelled; own exits and stops only
    FLATTEN = 3  # close everything through the ladder, then HALT
    HALT = 4  # nothing is sent but protection already agreed


class Role(StrEnum):
    """What an order is for."""

    ENTRY = "E"
    EXIT = "X"


class Reason(StrEnum):
    """Why a position is closed."""

    STOP = "STOP"
    TARGET = "TARGET"
    FLIP = "FLIP"
    SQUARE_OFF = "SQUARE_OFF"
    FLATTEN = "FLATTEN"
    MIN_FILL = "MIN_FILL"
    UNPROTECTED = "UNPROTECTED"  # no stop could be made to stand
    SURPLUS = "SURPLUS"  # our own exits sold more than was open
    EXTERNAL = "EXTERNAL"  # closed by hand or by the broker


class Priority(IntEnum):
    """Who goes first in the queue of calls: protection, and entries last."""

    EXIT = 0
    BOOK = 1
    READ = 2
    ENTRY = 3


@dataclass(frozen=True, slots=True)
class Quote:
    """The last full packet of an instrument.

    Parameters
    ----------
    last : int, ticks
    volume : int, shares, the day's cumulative
    bids, asks : tuple of (ticks, shares), best first
    traded_ms : int, epoch ms of the last trade (whole seconds on the wire)
    exchange_ms : int, epoch ms of the packet at the exchange
    close : int, ticks, the close of the session before
    """

    last: int
    volume: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    traded_ms: int
    exchange_ms: int
    close: int = 0

    @property
    def bid(self) -> int | None:
        """The best bid, ticks; None while nobody bids."""
        return self.bids[0][0] if self.bids else None

    @property
    def ask(self) -> int | None:
        """The best offer, ticks; None while nobody offers."""
        return self.asks[0][0] if self.asks else None


@dataclass(frozen=True, slots=True)
class Band:
    """The day's circuit limits of an instrument, ticks."""

    lower: int
    upper: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One row of the order book or one order update, as the broker tells it.

    `status` is the broker's own word; `value_paise` is average price times filled shares, rounded
    to the paisa.
    """

    order_id: str
    tag: str | None
    key: str
    product: str
    transaction: Transaction
    order_type: str
    status: str
    quantity: int
    filled: int
    value_paise: int
    price_ticks: int
    trigger_ticks: int
    message: str = ""
    filled_ms: int = 0
    placed_by_broker: bool = False


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One net position of the broker: signed shares, its average in paise (a float's rounding)."""

    key: str
    product: str
    quantity: int
    average_paise: int
    overnight: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order asks for; an exit's terms change while it lives, its identity does not."""

    order_type: OrderType
    quantity: int
    price_ticks: int | None = None
    trigger_ticks: int | None = None


class Fault(Enum):
    """What a failed call proves."""

    RETRYABLE = "retryable"  # nothing happened over there
    UNKNOWN = "unknown"  # it may have happened
    REFUSED = "refused"  # the broker said no, and why
    BLOCKED = "blocked"  # it takes no orders from us at all: address, suspended app, risk block
    TOKEN = "token"  # noqa: S105  (a word, not a secret)
