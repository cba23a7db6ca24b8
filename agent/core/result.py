"""What a trade came to: gross, charges and net in paise, from the values of its orders."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.trade import Trade
from agent.market.charges import charges_on, rates_for
from agent.market.sessions import from_epoch_ms
from agent.orders.fills import legs_of


@dataclass(frozen=True, slots=True)
class Result:
    """Paise; `gross` counts what has been closed only."""

    gross: int
    charges: int

    @property
    def net(self) -> int:
        """After the charges of every order."""
        return self.gross - self.charges


def result_of(trade: Trade) -> Result:
    """Return the result of a trade so far.

    Charges are an order's (brokerage is capped once an order); what somebody else closed is
    counted in the gross at the price that his order shows, its charges are not ours to know.
    """
    on = from_epoch_ms(trade.opened_ms).date()
    rates = rates_for(trade.product, trade.instrument.segment, on)
    charges = sum(
        charges_on(rates, leg.transaction, leg.value_paise).total
        for leg in legs_of(trade)
        if leg.filled
    )
    closed = min(trade.left, trade.entered)
    cost = trade.entered_paise * closed // trade.entered if trade.entered else 0
    return Result(trade.side.sign * (trade.left_paise - cost) if closed else 0, charges)
