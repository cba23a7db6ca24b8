"""What an order needs and what the account has: the broker's figures, ours where it was not asked.

The broker's answers are inputs (`/user/margins`, `/margins/orders`); nothing here rebuilds them.
Between two of them our own orders count on top (`Book.uncounted`).
Equity shorts exist within the day only: MIS (or a cover order), never CNC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent.market.instruments import Instrument, Side
from agent.portfolio.lots import Paise
from agent.risk.settings import MarginSettings

INTRADAY = frozenset({"MIS", "CO"})


@dataclass(frozen=True, slots=True)
class Margins:
    """The account's margin as the broker gave it, paise."""

    available: int
    utilised: int
    at_ms: int

    @property
    def use_percent(self) -> Decimal:
        """The share of the margin that is in use; 100 where there is none at all."""
        total = self.available + self.utilised
        return Decimal(100) if total <= 0 else Decimal(self.utilised * 100) / total


def fallback_margin(product: str, value: Paise, settings: MarginSettings) -> Paise:
    """Return our own estimate of the margin of a value (of one share: its price), rounded up."""
    percent = settings.fallback_mis if product in INTRADAY else settings.fallback_carry
    numerator, denominator = percent.as_integer_ratio()
    return -(-value * numerator // (100 * denominator))


def product_refusal(instrument: Instrument, side: Side, product: str) -> str | None:
    """Say why a product cannot open this side of this instrument, or None if it can."""
    if instrument.is_derivative:
        if product not in {"NRML", "MIS", "CO"}:
            return f"{product} does not exist for futures and options; NRML or MIS does"
        if side is Side.SHORT and instrument.instrument_type in {"CE", "PE"}:
            return "writing options is not supported: its risk has no stop that bounds it"
        return None
    if product == "NRML":
        return "NRML does not exist for shares; MIS, CNC or MTF does"
    if side is Side.SHORT and product not in INTRADAY:
        return (
            f"shares are sold short within the day only (MIS): {product} SELL needs shares held; "
            "overnight shorts go through futures (NRML)"
        )
    return None
