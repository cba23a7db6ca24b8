"""How a tick looks on the wire: the ticker's binary packets and frames.

Big-endian, prices in paise, times in UTC epoch seconds; a packet's length tells its kind. Note the
order high, low, open in index packets and open, high, low in the others: it is the broker's.
The layout is read back in the tests by the official client's own parser.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["ltp", "quote", "full"]
MODES: Final = ("ltp", "quote", "full")
HEARTBEAT: Final = b"\x00"
DEPTH_LEVELS: Final = 5
U32_MAX: Final = 2**32 - 1

_LTP: Final = struct.Struct(">II")
_INDEX_QUOTE: Final = struct.Struct(">7I")
_INDEX_FULL: Final = struct.Struct(">8I")
_QUOTE: Final = struct.Struct(">11I")
_FULL: Final = struct.Struct(">16I" + "IIHxx" * (2 * DEPTH_LEVELS))
_EMPTY_SIDE: Final = (0, 0, 0) * DEPTH_LEVELS


@dataclass(slots=True)
class Tick:
    """What one instrument shows at an instant; prices in paise, times in epoch seconds.

    `bids` and `asks` hold (paise, shares, orders), best first, at most five; `close` is the
    previous session's.
    """

    token: int
    last: int
    open: int
    high: int
    low: int
    close: int
    is_index: bool = False
    last_quantity: int = 0
    average: int = 0
    volume: int = 0
    buy_quantity: int = 0
    sell_quantity: int = 0
    last_trade_s: int = 0
    exchange_s: int = 0
    bids: tuple[tuple[int, int, int], ...] = ()
    asks: tuple[tuple[int, int, int], ...] = ()


def packet(tick: Tick, mode: Mode) -> bytes:
    """Return the packet of one instrument in a mode: 8, 28, 32, 44 or 184 bytes."""
    if mode == "ltp":
        return _LTP.pack(tick.token, tick.last)
    if tick.is_index:
        change = (tick.last - tick.close) & U32_MAX
        head = (tick.token, tick.last, tick.high, tick.low, tick.open, tick.close, change)
        if mode == "quote":
            return _INDEX_QUOTE.pack(*head)
        return _INDEX_FULL.pack(*head, tick.exchange_s)
    body = (
        tick.token,
        tick.last,
        min(tick.last_quantity, U32_MAX),
        tick.average,
        min(tick.volume, U32_MAX),
        min(tick.buy_quantity, U32_MAX),
        min(tick.sell_quantity, U32_MAX),
        tick.open,
        tick.high,
        tick.low,
        tick.close,
    )
    if mode == "quote":
        return _QUOTE.pack(*body)
    return _FULL.pack(
        *body,
        tick.last_trade_s,
        0,
        0,
        0,
        tick.exchange_s,
        *_side(tick.bids),
        *_side(tick.asks),
    )


def frame(packets: Iterable[bytes]) -> bytes:
    """Return one binary frame: the number of packets, then each behind its length."""
    parts = [b""]
    for body in packets:
        parts.append(len(body).to_bytes(2, "big"))
        parts.append(body)
    parts[0] = (len(parts) // 2).to_bytes(2, "big")
    return b"".join(parts)


def _side(levels: tuple[tuple[int, int, int], ...]) -> tuple[int, ...]:
    if len(levels) == DEPTH_LEVELS:  # nearly always, some thousand times a second
        (p0, q0, n0), (p1, q1, n1), (p2, q2, n2), (p3, q3, n3), (p4, q4, n4) = levels
        return (q0, p0, n0, q1, p1, n1, q2, p2, n2, q3, p3, n3, q4, p4, n4)
    flat = tuple(n for paise, shares, orders in levels for n in (shares, paise, orders))
    return (flat + _EMPTY_SIDE)[: 3 * DEPTH_LEVELS]
