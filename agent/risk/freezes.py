"""The most that one order may carry, where the broker's instruments dump does not say.

Kite's dump has no such column: there an order above the exchange's freeze quantity is refused as a
whole. A two-column CSV text lists it (the exchange publishes it by underlying); reading the file is
the shell's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.errors import SettingRefused
from agent.market.by_symbol import parse_by_symbol
from agent.market.instruments import Instrument


def parse_freezes(text: str, *, source: str = "freezes") -> dict[str, int]:
    """Return freeze quantities by key from CSV text, `symbol` and `freeze_quantity`.

    Raises
    ------
    SettingRefused
        As `parse_by_symbol`, and for a quantity that is no whole number above 0.
    """
    found: dict[str, int] = {}
    for key, shares in parse_by_symbol(text, "freeze_quantity", source=source).items():
        if not (shares.isascii() and shares.isdigit()) or int(shares) < 1:
            raise SettingRefused(
                f"{source}, {key}",
                given=repr(shares),
                allowed="a whole number of shares, at least 1",
                fix="write the quantity without separators, or remove the line",
            )
        found[key] = int(shares)
    return found


def with_freeze(instrument: Instrument, freezes: Mapping[str, int]) -> Instrument:
    """Return the instrument with its freeze quantity of the list: its own, or its underlying's.

    A contract's underlying is looked up in the contract's exchange (`NFO:NIFTY`). What the list
    does not name stays as the dump had it.
    """
    freeze = freezes.get(instrument.key)
    if freeze is None and instrument.is_derivative:
        freeze = freezes.get(f"{instrument.exchange}:{instrument.name}")
    return instrument if freeze is None else replace(instrument, freeze_quantity=freeze)
