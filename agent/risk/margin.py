"""What an order needs and what the account has: the broker's figures, ours where it was not asked.

The broker's answers are inputs (`/user/margins`, `/margins/orders`); nothing here rebuilds them.
Between two of them our own orders count on top (`Book.uncounted`). What they say of one share is
checked against the least that the rules of the market allow: a broker's answer below it is a
misunderstanding, and sizing by it would end in a call for margin.
Equity shorts exist within the day only: MIS (or a cover order), never CNC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agent.market.instruments import Instrument, Side
from agent.portfolio.lots import Paise
from agent.portfolio.pnl import rupees
from agent.risk.settings import MarginSettings

INTRADAY = frozenset({"MIS", "CO"})
LEAST_PERCENT: Final = {"MIS": 20, "CO": 20, "MTF": 20, "CNC": 100}  # shares: at most 5 times


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
    part, whole = settings.mis_parts if product in INTRADAY else settings.carry_parts
    return -(-value * part // whole)


def checked_margin(
    instrument: Instrument, product: str, unit: int, broker: Paise
) -> tuple[Paise, str]:
    """Return the margin of one share to count, and words where it is not the broker's.

    Parameters
    ----------
    unit : int, paise
        The price of the share.
    broker : int or Fraction, paise
        The broker's figure. In shares it cannot be under 20 % (intraday, funded) or 100 %
        (delivery) of the price; for contracts it is taken as it is.
    """
    if instrument.is_derivative or product not in LEAST_PERCENT:
        return broker, ""
    least = -(-unit * LEAST_PERCENT[product] // 100)
    if broker >= least:
        return broker, ""
    return least, (
        f"the broker's margin of {rupees(broker)} a share is under {LEAST_PERCENT[product]} % of "
        f"{rupees(unit)}: counted as {rupees(least)}"
    )


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
