"""How many shares: four rules, whole lots, exact charges.

Rule 1: a loss is measured to the LIMIT of the stop order, not to its trigger, and both legs'
charges are part of it.
Rule 2: integers: paise and shares. The size is solved for, not searched: charges are linear in
the quantity on either side of the brokerage cap, so the largest quantity is that of one of the
branches, checked once with the rounded charges of real orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from agent.market.charges import GST_PERCENT, PARTS, Rates, rates_for, total_on
from agent.market.instruments import LONG, Instrument, Side
from agent.portfolio.lots import Paise, Position, plain
from agent.risk.settings import MoneySettings

ROUNDING_PAISE: Final = 6  # of the twelve components of two orders: half a paisa each at most
_SCALE: Final = 100 * PARTS  # rates are in `PARTS`, the tax on charges in percent
_CAP_SCALE: Final = (100 + GST_PERCENT) * PARTS
UNBOUNDED: Final = 10**12  # more shares than any company has: "this rule does not bind"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry that somebody wants, with everything known about it at that moment.

    Parameters
    ----------
    instrument : Instrument
    product : {"MIS", "CNC", "NRML", "MTF", "CO"}
    side : Side
    limit : int, ticks
        The entry order's price.
    stop_limit : int, ticks
        The price of the protective order's LIMIT leg: the worst fill it may have.
    on : date
    reference : int, ticks, optional
        The best price or last trade where it is worse for exposure than `limit`.
    band : (int, int), ticks, optional
        The day's circuit limits.
    depth : int, shares, optional
        What the book shows up to the limit.
    daily_sd : int or Fraction, paise, optional
        One standard deviation of a share's move in a day, for `volatility_target`.
    margin : int or Fraction, paise, optional
        The broker's margin of one share; ours stands in without it.
    mis_allowed : bool
        Whether the broker's margin call took this instrument for MIS.
    may_add : bool
        Whether adding to an open position of the same side is wanted.
    """

    instrument: Instrument
    product: str
    side: Side
    limit: int
    stop_limit: int
    on: date
    reference: int | None = None
    band: tuple[int, int] | None = None
    depth: int | None = None
    daily_sd: Paise | None = None
    margin: Paise | None = None
    mis_allowed: bool = True
    may_add: bool = False

    @property
    def slot(self) -> tuple[str, str]:
        """What the broker nets: (key, product)."""
        return (self.instrument.key, self.product)

    @property
    def limit_paise(self) -> int:
        """The entry order's price in paise."""
        return self.limit * self.instrument.tick_paise

    @property
    def stop_paise(self) -> int:
        """The stop's limit in paise."""
        return self.stop_limit * self.instrument.tick_paise

    @property
    def unit_paise(self) -> int:
        """The price that exposure is counted at: a SELL may fill above its limit."""
        if self.side is LONG or self.reference is None:
            return self.limit_paise
        return max(self.limit, self.reference) * self.instrument.tick_paise


def trade_risk(proposal: Proposal, quantity: int) -> int:
    """Return what a trade of this size loses if its stop fills at its limit, paise.

    The charges are those of two orders, rounded as the exchange's and broker's are.
    """
    side, entry, stop = proposal.side, proposal.limit_paise, proposal.stop_paise
    rates = rates_for(proposal.product, proposal.instrument.segment, proposal.on)
    return (
        quantity * side.sign * (entry - stop)
        + total_on(rates, side.entry_transaction, quantity * entry)
        + total_on(rates, side.exit_transaction, quantity * stop)
    )


def risk_at_stop(position: Position, stop: Paise, on: date) -> Paise:
    """Return what an open position loses if its stop fills at a limit price, paise.

    From its average entry, with the exit's charges (the entry's are paid); negative once the
    stop has locked a profit.

    Parameters
    ----------
    stop : int or Fraction, paise
    """
    rates = rates_for(position.product, position.segment, on)
    value = position.quantity * stop
    charges = total_on(rates, position.side.exit_transaction, value)
    return plain(position.side.sign * (position.cost - value) + charges)


def quantity_at_risk(proposal: Proposal, budget: int) -> int:
    """Return the most whole lots whose loss at the stop's limit is within a budget (paise).

    The stop's limit is behind the entry: `limits.flat_refusal` has seen to that.

    Returns
    -------
    int, shares; 0 where not even one lot fits.
    """
    return sized_at_risk(proposal, budget)[0]


def sized_at_risk(proposal: Proposal, budget: int) -> tuple[int, int]:
    """Return `quantity_at_risk` and the `trade_risk` of it: the solution has both."""
    lot = proposal.instrument.lot_size
    rates = rates_for(proposal.product, proposal.instrument.segment, proposal.on)
    quantity = _solve(proposal, rates, budget + ROUNDING_PAISE) // lot * lot
    while quantity > 0:
        loss = trade_risk(proposal, quantity)
        if loss <= budget:
            return quantity, loss
        quantity -= lot
    return quantity, 0


def _solve(proposal: Proposal, rates: Rates, budget: int) -> int:
    """Return the largest quantity with unrounded charges: the best of the brokerage branches."""
    side, entry, stop = proposal.side, proposal.limit_paise, proposal.stop_paise
    bought, sold = (entry, stop) if side is LONG else (stop, entry)
    taxed = (rates.exchange + rates.sebi) * (100 + GST_PERCENT)
    # all in 1/_SCALE paise, and but for the cap, a share
    taxes = bought * (taxed + (rates.stt[0] + rates.stamp) * 100)
    taxes += sold * (taxed + rates.stt[1] * 100)
    fee, cap = rates.brokerage * (100 + GST_PERCENT), rates.brokerage_cap_paise * _CAP_SCALE
    base, money = side.sign * (entry - stop) * _SCALE + taxes, budget * _SCALE
    # brokerage = min(fee, cap) on each leg: a quantity fits if it fits in one of the branches
    return max(
        money // (base + fee * (entry + stop)),
        (money - cap) // (base + fee * min(entry, stop)),
        (money - 2 * cap) // base,
    )


def wanted(proposal: Proposal, settings: MoneySettings) -> tuple[str, int, int]:
    """Return the sizing rule, the shares that it gives before any limit, and their `trade_risk`.

    `volatility_target` gives 0 where the volatility is not known.
    """
    mode, bounds = settings.sizing.mode, settings.bounds
    if mode == "risk_per_trade":
        shares, loss = sized_at_risk(proposal, bounds.risk)
        return mode, shares, loss
    if mode == "fixed_quantity":
        shares = settings.sizing.quantity
    elif mode == "fixed_notional":
        shares = bounds.notional // proposal.limit_paise
    else:
        spread = proposal.daily_sd
        shares = int(bounds.volatility // spread) if spread else 0
    shares -= shares % proposal.instrument.lot_size
    return mode, shares, trade_risk(proposal, shares)


def slices_of(quantity: int, instrument: Instrument) -> tuple[int, ...]:
    """Return the orders that a quantity takes under the freeze quantity, in whole lots."""
    freeze = instrument.freeze_quantity
    if freeze is None or quantity <= freeze:
        return (quantity,)
    most = freeze // instrument.lot_size * instrument.lot_size
    full, rest = divmod(quantity, most)
    return (most,) * full + ((rest,) if rest else ())
