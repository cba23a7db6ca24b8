"""An order as the broker shows it: every field of its row, and its history.

The state at the exchange is matching.Order's; this is the paper trail around it. Money in paise
here, rupees in the rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from agent.market.sessions import IST
from agent.paper.matching import FINAL, Order

USER_ID: Final = "PAPER1"
API_SECRET: Final = "paper"  # noqa: S105  (public: the paper exchange's own)
APP_ID: Final = 1
HELD: Final = "AMO REQ RECEIVED"  # at the broker until the next session
CANCELLED_HELD: Final = "CANCELLED AMO"
FINAL_WORDS: Final = frozenset(state.value for state in FINAL) | {CANCELLED_HELD}
INTRADAY: Final = frozenset({"MIS", "CO"})


@dataclass(slots=True)
class Record:
    """One order; prices and values in paise, instants in epoch ms."""

    order_id: str
    key: str
    token: int
    variety: str
    product: str
    transaction: str
    order_type: str
    validity: str
    quantity: int
    disclosed: int
    price: int
    trigger: int
    limit: int
    protection: str
    tag: str | None
    placed_ms: int
    tick: int  # paise
    placed_by: str = USER_ID
    exchange_order_id: str | None = None
    updated_ms: int = 0
    exchange_ms: int | None = None
    status: str = "PUT ORDER REQ RECEIVED"
    message: str | None = None
    filled: int = 0
    value: int = 0
    cancelled: int = 0
    charges: int = 0
    modifications: int = 0
    in_flight: str = ""  # "modify" or "cancel": asked for, not yet at the exchange
    triggered: bool = False
    rested: bool = False
    expires_ms: int = 0  # of a TTL order
    square_off: bool = False
    parent: str | None = None  # a cover order's second leg names its first
    stop: int = 0  # paise: where the second leg of a cover order will stand
    ttl_minutes: int = 0
    auction_number: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    order: Order | None = None

    @property
    def side(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self.transaction == "BUY" else -1

    @property
    def final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in FINAL_WORDS

    @property
    def live(self) -> bool:
        """Whether it stands at the exchange."""
        return self.order is not None and self.order.live

    @property
    def pending(self) -> int:
        """Shares that may still trade."""
        return 0 if self.final else self.quantity - self.filled

    @property
    def held(self) -> bool:
        """Whether it waits at the broker for the next session."""
        return self.status == HELD

    @property
    def to_come(self) -> int:
        """Shares in the later legs of an iceberg order."""
        return int(self.meta["iceberg"]["remaining_quantity"]) if "iceberg" in self.meta else 0

    @property
    def committed(self) -> int:
        """Shares that may still trade, later legs included."""
        return 0 if self.final else self.pending + self.to_come

    def count_from(self, now_ms: int) -> None:
        """Let the minutes of a TTL order begin."""
        self.expires_ms = now_ms + self.ttl_minutes * 60_000 if self.ttl_minutes else 0

    def log(self, now_ms: int, status: str, message: str | None = None) -> None:
        """Move to a status and write it into the history."""
        self.status, self.updated_ms, self.message = status, now_ms, message
        if self.final:
            gone = status.startswith("CANCELLED")
            self.cancelled = self.quantity - self.filled if gone else 0
            self.in_flight = ""
        self.history.append(row_of(self) | {"order_timestamp": stamp(now_ms)})


def row_of(record: Record) -> dict[str, Any]:
    """Return an order's row in the order book."""
    limit_now = record.order_type in {"MARKET", "SL-M"} and record.rested
    average = rounded_rupees(record.value, record.filled)
    left = record.quantity - record.filled
    return {
        "account_id": USER_ID,
        "placed_by": record.placed_by,
        "order_id": record.order_id,
        "exchange_order_id": record.exchange_order_id,
        "parent_order_id": record.parent,
        "status": record.status,
        "status_message": record.message,
        "status_message_raw": record.message,
        "order_timestamp": stamp(record.placed_ms),
        "exchange_update_timestamp": stamp(record.exchange_ms),
        "exchange_timestamp": stamp(record.exchange_ms),
        "variety": record.variety,
        "modified": record.modifications > 0,
        "exchange": record.key.partition(":")[0],
        "tradingsymbol": record.key.partition(":")[2],
        "instrument_token": record.token,
        # A protected order that found too little rests as the limit order that it is.
        "order_type": "LIMIT" if limit_now else record.order_type,
        "transaction_type": record.transaction,
        "validity": record.validity,
        "validity_ttl": record.ttl_minutes,
        "product": record.product,
        "quantity": record.quantity,
        "disclosed_quantity": record.disclosed,
        "price": in_rupees(record.limit if limit_now else record.price),
        "trigger_price": in_rupees(record.trigger or record.stop),
        "auction_number": record.auction_number,
        "average_price": average,
        "filled_quantity": record.filled,
        "pending_quantity": 0 if record.status in {"COMPLETE", "REJECTED"} else left,
        "cancelled_quantity": record.cancelled,
        "market_protection": plain_number(record.protection),
        "meta": dict(record.meta),
        "tag": record.tag,
        "tags": [record.tag] if record.tag else [],
        "guid": f"01X{hashlib.sha256(record.order_id.encode()).hexdigest()[:16]}",
    }


def update_of(record: Record, status: str) -> dict[str, Any]:
    """Return the order update that the ticker pushes (the postback's fields)."""
    row = row_of(record)
    told = f"{record.order_id}{row['order_timestamp']}{API_SECRET}"
    return row | {
        "status": status,
        "user_id": USER_ID,
        "app_id": APP_ID,
        "unfilled_quantity": record.quantity - record.filled,
        "checksum": hashlib.sha256(told.encode()).hexdigest(),
    }


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill; price in paise."""

    trade_id: str
    order_id: str
    exchange_order_id: str
    key: str
    token: int
    product: str
    transaction: str
    quantity: int
    price: int
    at_ms: int
    ordered_ms: int


def trade_row(trade: Trade) -> dict[str, Any]:
    """Return a trade's row in the trade book."""
    at = stamp(trade.at_ms)
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order_id,
        "exchange": trade.key.partition(":")[0],
        "tradingsymbol": trade.key.partition(":")[2],
        "instrument_token": trade.token,
        "product": trade.product,
        "average_price": in_rupees(trade.price),
        "quantity": trade.quantity,
        "exchange_order_id": trade.exchange_order_id,
        "transaction_type": trade.transaction,
        "fill_timestamp": at,
        "order_timestamp": (stamp(trade.ordered_ms) or "")[-8:],
        "exchange_timestamp": at,
    }


def stamp(ms: int | None) -> str | None:
    """Return epoch ms as `YYYY-MM-DD HH:MM:SS`, Asia/Kolkata."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms // 1000, IST).strftime("%Y-%m-%d %H:%M:%S")


def in_rupees(paise: int) -> float | int:
    """Return paise as the JSON number that the broker would write: 0 is a plain 0."""
    return paise / 100 if paise % 100 else paise // 100


def rounded_rupees(paise: int, shares: int) -> float | int:
    """Return an average in rupees to four decimals; 0 without shares."""
    return round(paise / shares / 100, 4) if shares else 0


def plain_number(text: str) -> float | int:
    """Return a decimal's text as a JSON number."""
    number = Decimal(text)
    return int(number) if number == int(number) else float(number)
