"""What is listed: tokens, price grids and names of the instruments of a market.

From the broker's instruments dump where one is given (`--instruments`), else from the key and the
price: the tokens of well-known names are the broker's, others are derived from the symbol.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from agent.errors import SettingRefused
from agent.market.instruments import Instrument, tick_size_for_price

NSE_SEGMENT: Final = 1  # the low byte of a token
INDEX_SEGMENT: Final = 9
FREEZE_SHARES: Final = 100_000  # what a broker's dump lists for every stock of the cash market

# The ten of the synthetic market first: exchange token, name. Numbers as in the broker's dump.
KNOWN: Final[dict[str, tuple[int, str]]] = {
    "RELIANCE": (2885, "RELIANCE INDUSTRIES"),
    "TCS": (11536, "TATA CONSULTANCY SERV LT"),
    "HDFCBANK": (1333, "HDFC BANK"),
    "INFY": (1594, "INFOSYS"),
    "ICICIBANK": (4963, "ICICI BANK"),
    "SBIN": (3045, "STATE BANK OF INDIA"),
    "ITC": (1660, "ITC"),
    "LT": (11483, "LARSEN & TOUBRO"),
    "AXISBANK": (5900, "AXIS BANK"),
    "TATASTEEL": (3499, "TATA STEEL"),
    "BHARTIARTL": (10604, "BHARTI AIRTEL"),
    "HINDUNILVR": (1394, "HINDUSTAN UNILEVER"),
    "WIPRO": (3787, "WIPRO"),
    "KOTAKBANK": (1922, "KOTAK MAHINDRA BANK"),
    "MARUTI": (10999, "MARUTI SUZUKI INDIA"),
    "BAJFINANCE": (317, "BAJAJ FINANCE"),
}
INDICES: Final[dict[str, int]] = {"NIFTY 50": 1001, "NIFTY BANK": 1016}
_DERIVED_FIRST: Final = 100_000  # above every exchange token of the cash market's dump
_DERIVED_SPAN: Final = 900_000


def is_index(symbol: str) -> bool:
    """Tell whether a symbol names an index, which is shown but not traded."""
    return symbol in INDICES or symbol.startswith(("NIFTY ", "INDIA VIX", "SENSEX"))


def read_dump(path: Path) -> dict[str, Instrument]:
    """Read an instruments dump in the broker's columns, plain or gzipped.

    Returns
    -------
    dict of str to Instrument, by key

    Raises
    ------
    SettingRefused
        If the file cannot be read or a row has no usable token, tick or lot.
    """
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
        return {one.key: one for one in map(_from_row, csv.DictReader(text.splitlines()))}
    except (OSError, KeyError, ValueError, InvalidOperation) as fault:
        raise SettingRefused(
            f"--instruments {path}",
            given=f"{type(fault).__name__}: {fault}",
            allowed="the broker's instruments dump as CSV",
            fix="fetch it from /instruments",
        ) from fault


def derive(key: str, tick_size: Decimal, taken: Iterable[int] = ()) -> Instrument:
    """Return an instrument for a key without a dump.

    Parameters
    ----------
    key : str
    tick_size : Decimal, rupees
    taken : tokens that are given out already
    """
    symbol = key.partition(":")[2]
    index = is_index(symbol)
    number, name = KNOWN.get(symbol, (INDICES.get(symbol, 0), symbol))
    segment = INDEX_SEGMENT if index else NSE_SEGMENT
    if not number:
        number = _DERIVED_FIRST + zlib.crc32(key.encode()) % _DERIVED_SPAN
    given_out = set(taken)
    while number * 256 + segment in given_out:
        number += 1
    return Instrument(
        key,
        number * 256 + segment,
        tick_size,
        segment="INDICES" if index else "NSE",
        instrument_type="EQ",
        freeze_quantity=None if index else FREEZE_SHARES,
        name=name,
    )


def tick_on(price: Decimal, on: date) -> Decimal:
    """Return the price grid of a stock: the finer of the day's table and of today's.

    Old days had 0.05 for every stock: at 28 rupees that is 18 basis points a tick, which today's
    exchange would not have, and at 3,000 today's 0.10 is too coarse for prices of then.
    """
    return min(tick_size_for_price(price), tick_size_for_price(price, on))


def _from_row(row: Mapping[str, str]) -> Instrument:
    freeze = row.get("freeze_quantity") or ""
    return Instrument(
        f"{row['exchange']}:{row['tradingsymbol']}",
        int(row["instrument_token"]),
        Decimal(row["tick_size"]),
        lot_size=int(row["lot_size"]),
        segment=row["segment"],
        instrument_type=row["instrument_type"],
        freeze_quantity=int(float(freeze)) if freeze else FREEZE_SHARES,
        name=row.get("name", ""),
    )
