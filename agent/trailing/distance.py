"""How far is "1.00", "1%" or "2atr"? One distance of a policy, exact from text to ticks.

Pure: text and exact numbers in, exact numbers out; no float ever. A percentage is of the ENTRY
price: of the best price, mirrored paths would not give mirrored levels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from agent.errors import SettingRefused

ABSOLUTE, PERCENT, ATR = "", "%", "atr"
_FORM = re.compile(
    r"\s*(?P<amount>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>%|atr)?\s*"
)
_FORMS = 'a distance: "1.00", a number, "1%" (of the entry) or "2atr"'
_EXPONENT_MAX = 30  # 1e999999999 would be legal TOML and would not fit into this machine


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance as the policy gives it; what it is in rupees depends on the entry and the ATR.

    Parameters
    ----------
    text : str
        As the person wrote it, for messages.
    amount : Fraction
        Rupees, a share of the entry price (0.01 for "1%"), or a multiple of the ATR.
    unit : str
        `ABSOLUTE`, `PERCENT` or `ATR`.
    """

    text: str
    amount: Fraction
    unit: str

    @property
    def needs_atr(self) -> bool:
        """Whether its size is a multiple of an average true range."""
        return self.unit == ATR

    def over(self, entry: Fraction, atr: Fraction | None) -> Fraction | None:
        """Return it in the unit of `entry` and `atr` (rupees, or ticks); None: ATR not known."""
        if self.unit == PERCENT:
            return self.amount * entry
        if self.unit == ATR:
            return None if atr is None else self.amount * atr
        return self.amount


def exact(value: Decimal | int) -> Fraction | None:
    """Return a TOML number exactly, or None if it is not finite or beyond 1e30."""
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _EXPONENT_MAX:
            return None
        return Fraction(value)
    return Fraction(value) if abs(value) < 10**_EXPONENT_MAX else None


def parse_distance(subject: str, value: Any) -> Distance:
    """Read one distance of a policy file.

    Parameters
    ----------
    subject : str
        The key, for messages.
    value : str, int or Decimal
        The TOML value (floats parsed as `Decimal`).

    Raises
    ------
    SettingRefused
        If it has none of the three forms, or is negative.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise SettingRefused(subject, given=repr(value), allowed=_FORMS, fix="write one of these")
    if isinstance(value, str):
        form = _FORM.fullmatch(value)
        amount = exact(Decimal(form["amount"])) if form else None
        unit = (form["unit"] or ABSOLUTE) if form else ABSOLUTE
    else:
        amount, unit = exact(value), ABSOLUTE
    if amount is None:
        raise SettingRefused(subject, given=repr(value), allowed=_FORMS, fix="write one of these")
    if amount < 0:
        raise SettingRefused(
            subject,
            given=str(value),
            allowed="a distance of at least 0",
            fix="distances have no sign; the side gives it",
        )
    if unit == PERCENT:
        amount /= 100
    return Distance(str(value), amount, unit)
