"""What is traded: an instrument's price grid, lots and sides.

Prices are integers on the instrument's own grid inside the core; this is where they enter it and
leave it. Rounding happens here, once, and always says toward where. The tick size is the day's
instruments dump's; `tick_size_for_price` is for data that comes without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from fractions import Fraction
from typing import Final, Literal

from agent.errors import SettingRefused

Price = Decimal | Fraction | str | float
Toward = Literal["up", "down", "nearest"]

# A value this near to a grid point is that grid point: what is left of a binary division.
GRID_TOLERANCE_TICKS: Final = Fraction(1, 10**9)


class Side(Enum):
    """The direction of a position. Every formula is written once, with `sign`.

    Plain attributes, set once: each is read many times for every tick, and a property that asks
    which member it is takes twenty times as long as what it answers.

    Attributes
    ----------
    sign : int
        +1 for LONG, -1 for SHORT.
    entry_transaction, exit_transaction : {"BUY", "SELL"}
        The broker's words for the orders that open and close the position.
    opposite : Side
    """

    LONG = "LONG"
    SHORT = "SHORT"

    sign: int
    entry_transaction: Literal["BUY", "SELL"]
    exit_transaction: Literal["BUY", "SELL"]
    opposite: Side


for _side, _sign, _in, _out, _other in (
    (Side.LONG, 1, "BUY", "SELL", Side.SHORT),
    (Side.SHORT, -1, "SELL", "BUY", Side.LONG),
):
    _side.sign, _side.opposite = _sign, _other
    _side.entry_transaction, _side.exit_transaction = _in, _out  # type: ignore[assignment]

# The same two members: Python 3.11 calls a function of its own for every `Side.LONG`.
LONG: Final = Side.LONG
SHORT: Final = Side.SHORT


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable thing, as the broker's instruments dump describes it.

    Parameters
    ----------
    key : str
        Exchange and trading symbol, `NSE:INFY`. Tokens of derivatives are reused; the key is not.
    token : int
        The broker's instrument token, as the ticker sends it.
    tick_size : Decimal, rupees
        The price grid; a whole number of paise.
    lot_size : int, shares
        Quantities are whole lots (1 in the cash market).
    segment, instrument_type : str
        As in the dump: `NSE`/`EQ`, `NFO-FUT`/`FUT`, `NFO-OPT`/`CE`.
    freeze_quantity : int, shares, optional
        The most that one order may carry; None where the dump does not say.
    name : str

    Raises
    ------
    SettingRefused
        If the key has no exchange, or tick, lot or freeze quantity cannot be used.
    """

    key: str
    token: int
    tick_size: Decimal
    lot_size: int = 1
    segment: str = "NSE"
    instrument_type: str = "EQ"
    freeze_quantity: int | None = None
    name: str = ""
    tick_paise: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exchange, _, symbol = self.key.partition(":")
        if not exchange or not symbol:
            raise SettingRefused(
                "instrument.key",
                given=repr(self.key),
                allowed="EXCHANGE:SYMBOL, as NSE:INFY",
                fix="put the exchange in front of the symbol",
            )
        paise = self.tick_size * 100
        if not paise.is_finite() or paise <= 0 or paise != int(paise):
            raise SettingRefused(
                f"{self.key}.tick_size",
                given=self.tick_size,
                allowed="a positive whole number of paise, in rupees (0.05)",
                fix="read tick_size from the day's instruments dump",
            )
        if self.lot_size < 1 or (self.freeze_quantity is not None and self.freeze_quantity < 1):
            raise SettingRefused(
                f"{self.key}.lot_size, freeze_quantity",
                given=f"{self.lot_size}, {self.freeze_quantity}",
                allowed="at least 1",
                fix="read both from the day's instruments dump",
            )
        object.__setattr__(self, "tick_paise", int(paise))

    @property
    def exchange(self) -> str:
        """The part of the key before the colon."""
        return self.key.partition(":")[0]

    @property
    def tradingsymbol(self) -> str:
        """The part of the key after the colon."""
        return self.key.partition(":")[2]

    @property
    def is_derivative(self) -> bool:
        """Whether this is a future or an option."""
        return self.instrument_type in {"FUT", "CE", "PE"}

    def ticks(self, price: Price) -> int:
        """Return the price as a whole number of ticks; it must lie on the grid.

        Parameters
        ----------
        price : Decimal, Fraction, str or float, rupees
            A float is read as the decimal number that it prints as.

        Raises
        ------
        SettingRefused
            If the price is off the grid or no finite number.
        """
        if type(price) is float:  # the ticker's own type, on the way of every tick
            paise = price * 100
            whole = round(paise) if -1e15 < paise < 1e15 else -1
            if abs(paise - whole) <= 1e-7 and whole % self.tick_paise == 0:
                return whole // self.tick_paise
        exact = self._exact_ticks(price)
        nearest = round(exact)
        if abs(exact - nearest) > GRID_TOLERANCE_TICKS:
            raise SettingRefused(
                f"{self.key} price",
                given=price,
                allowed=f"a multiple of {self.tick_size}",
                fix=f"nearest are {self.price(exact.__floor__())} and "
                f"{self.price(exact.__ceil__())}",
            )
        return nearest

    def round_ticks(self, price: Price, toward: Toward) -> int:
        """Return the tick at, above (`up`), below (`down`) or nearest to a price.

        A half rounds up under `nearest`. A value within 1e-9 of a tick of a grid point is that
        point under all three.

        Raises
        ------
        SettingRefused
            If the price is no finite number.
        """
        exact = self._exact_ticks(price)
        nearest = (exact + Fraction(1, 2)).__floor__()
        if toward == "nearest" or abs(exact - nearest) <= GRID_TOLERANCE_TICKS:
            return nearest
        return exact.__ceil__() if toward == "up" else exact.__floor__()

    def price(self, ticks: int) -> Decimal:
        """Return the price of a number of ticks in rupees, with the tick's decimals."""
        return self.tick_size * ticks

    def paise(self, ticks: int) -> int:
        """Return the price of a number of ticks in paise."""
        return self.tick_paise * ticks

    def _exact_ticks(self, price: Price) -> Fraction:
        return exact_rupees(price, subject=f"{self.key} price") * 100 / self.tick_paise


def instrument_of(row: Mapping[str, object]) -> Instrument:
    """Return the instrument of a row of the broker's instruments dump (CSV text or client dict).

    Parameters
    ----------
    row : mapping
        Needs `exchange`, `tradingsymbol`, `instrument_token`, `tick_size`, `lot_size`, `segment`,
        `instrument_type`; `name` and `freeze_quantity` (not in every dump) are taken if there.

    Raises
    ------
    SettingRefused
        If a column is missing or cannot be read.
    """
    where = f"instruments dump, {row.get('exchange')}:{row.get('tradingsymbol')}"
    try:
        freeze = str(row.get("freeze_quantity") or "").strip()
        return Instrument(
            f"{row['exchange']}:{row['tradingsymbol']}",
            int(str(row["instrument_token"])),
            Decimal(str(row["tick_size"])),
            int(str(row["lot_size"])),
            str(row["segment"]),
            str(row["instrument_type"]),
            int(Decimal(freeze)) if freeze else None,
            str(row.get("name") or ""),
        )
    except (KeyError, ValueError, InvalidOperation) as error:
        raise SettingRefused(
            where,
            given=repr(error),
            allowed="the broker's columns, numbers as numbers",
            fix="fetch the day's dump again",
        ) from error


def exact_rupees(price: Price, *, subject: str = "price") -> Fraction:
    """Return a price as an exact rational; a float is the decimal number that it prints as.

    Raises
    ------
    SettingRefused
        If it is no finite number.
    """
    if isinstance(price, Fraction):
        return price
    try:
        return Fraction(Decimal(repr(price)) if isinstance(price, float) else Decimal(price))
    except (InvalidOperation, ValueError, OverflowError):
        raise SettingRefused(
            subject, given=repr(price), allowed="a finite number in rupees", fix="drop the value"
        ) from None


# (upper bound in rupees, whether the bound itself is inside, tick). NSE cash and stock futures
# since 15 Apr 2025; agrees with every row of an instruments dump of 17 Apr 2026.
_TICK_BANDS: Final = (
    (Decimal(250), False, Decimal("0.01")),
    (Decimal(1000), True, Decimal("0.05")),
    (Decimal(5000), True, Decimal("0.10")),
    (Decimal(10000), True, Decimal("0.50")),
    (Decimal(20000), True, Decimal(1)),
)
_TICK_ABOVE: Final = Decimal(5)
TICK_BANDS_SINCE: Final = date(2025, 4, 15)
PENNY_TICK_SINCE: Final = date(2024, 6, 10)  # NSE: 0.01 below 250 rupees, 0.05 else


def tick_size_for_price(price: Decimal, on: date | None = None) -> Decimal:
    """Return the NSE cash tick size of a stock at a price, where no instruments dump says it.

    The exchange sets the size monthly from the last close and keeps it until the next month, so
    a size computed from a price may be a month ahead: live code reads `Instrument.tick_size`.

    Parameters
    ----------
    price : Decimal, rupees, positive
    on : date, optional
        The day of the price; today's table where it is left out. Before 10 June 2024 the grid
        was 0.05 for every stock.

    Raises
    ------
    SettingRefused
        If the price is not a positive finite number.
    """
    if not price.is_finite() or price <= 0:
        raise SettingRefused(
            "price", given=price, allowed="a positive number of rupees", fix="drop the row"
        )
    if on is not None and on < TICK_BANDS_SINCE:
        penny = on >= PENNY_TICK_SINCE and price < 250
        return Decimal("0.01") if penny else Decimal("0.05")
    for bound, inside, tick in _TICK_BANDS:
        if price < bound or (inside and price == bound):
            return tick
    return _TICK_ABOVE
