"""The one question at an entry: how many shares, or why none.

Order: rules and counts that forbid any size; the sizing rule; then every cap in paise and shares,
each rounded down to whole lots. The smallest decides, and the answer says which it was.
The margin of one share is the broker's where the proposal brings it, ours where not.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from typing import Final

from agent.portfolio.lots import Paise
from agent.portfolio.pnl import rupees
from agent.risk.book import Book, Reserve
from agent.risk.limits import (
    Refusal,
    Room,
    flat_refusal,
    margin_room,
    refusal,
    risk_left,
    risk_room,
    rooms,
)
from agent.risk.margin import checked_margin, fallback_margin
from agent.risk.settings import MoneySettings
from agent.risk.sizing import (
    UNBOUNDED,
    Proposal,
    quantity_at_risk,
    slices_of,
    trade_risk,
    wanted,
)

FREEZE: Final = "freeze"  # what bound a size that the exchange's freeze quantity has cut
_SHARES: Final = itemgetter(1)  # of a cap


@dataclass(frozen=True, slots=True)
class Sized:
    """An entry that may leave.

    Parameters
    ----------
    quantity : int, shares
    bound : str
        What decided the size: a sizing mode, a limit's key, `margin`, `depth` or `freeze`.
    caps : tuple of (str, int)
        What each of them would have allowed, shares.
    unit : int, paise
        The price that exposure is counted at.
    risk : int, paise
        The loss if the stop fills at its limit, charges of both legs included.
    margin_per_share : int or Fraction, paise
    slices : tuple of int, shares
        The orders to send.
    proposal : Proposal
    note : str
        What was odd about the broker's margin; empty where nothing was.
    """

    quantity: int
    bound: str
    caps: tuple[tuple[str, int], ...]
    unit: int
    risk: int
    margin_per_share: Paise
    slices: tuple[int, ...]
    proposal: Proposal
    note: str = ""

    @property
    def held_back(self) -> int:
        """Shares that all other limits would have let in and the freeze quantity does not."""
        if self.bound != FREEZE:
            return 0
        return min(shares for name, shares in self.caps if name != FREEZE) - self.quantity

    @property
    def words(self) -> str:
        """The decision in one sentence, for the journal."""
        instrument, back = self.proposal.instrument, ""
        if self.held_back:
            back = (
                f"; {self.held_back} of {self.quantity + self.held_back} shares stay out: an order "
                f"carries at most the exchange's freeze quantity of {instrument.freeze_quantity}"
            )
        return (
            f"{self.proposal.side.value} {self.quantity} {instrument.key} at "
            f"{instrument.price(self.proposal.limit)}: decided by {self.bound}; exposure "
            f"{rupees(self.quantity * self.unit)}, at risk {rupees(self.risk)} to the stop's "
            f"limit {instrument.price(self.proposal.stop_limit)}, charges included"
            f"{back}{'; ' if self.note else ''}{self.note}"
        )

    def reserve(self, intent: str) -> Reserve:
        """Return the entry in flight that this decision becomes under an intent's name."""
        return Reserve(
            intent,
            self.proposal.slot,
            self.proposal.side,
            self.quantity,
            self.unit,
            Fraction(self.risk, self.quantity),
            self.margin_per_share,
        )


def decide_entry(book: Book, proposal: Proposal, settings: MoneySettings) -> Sized | Refusal:
    """Return the size of an entry, or the refusal of the limit that leaves no room for a lot.

    Parameters
    ----------
    book : Book
        Positions, orders in flight, margin, the day's counts.
    proposal : Proposal
    settings : MoneySettings
        Those in force now: a change acts on the next call.
    """
    refused = flat_refusal(book, proposal, settings)
    if refused is not None:
        return refused
    mode, shares, planned = wanted(proposal, settings)
    if shares < 1:
        return _too_small(proposal, settings, mode)
    unit, note = proposal.unit_paise, ""
    if proposal.margin is None:
        margin = fallback_margin(proposal.product, unit, settings.margin)
    else:
        product = proposal.product
        margin, note = checked_margin(proposal.instrument, product, unit, proposal.margin)
    limits, free = rooms(book, proposal, settings), margin_room(book, settings)
    lot = proposal.instrument.lot_size
    caps = [(mode, shares)]
    for limit, allowed, figure in limits:
        left = allowed - figure
        caps.append((limit, left // unit // lot * lot if left > 0 else 0))
    caps.append((free.limit, _lots(free.left, margin, lot)))
    budget = risk_left(book, settings)
    within = shares if planned <= budget else quantity_at_risk(proposal, budget)
    caps.append(("max_daily_loss", within))
    _add_shown(caps, proposal, settings)
    bound, quantity = min(caps, key=_SHARES)
    if quantity < 1:
        measured: list[tuple[Room, Paise]] = [(Room(*limit), unit) for limit in limits]
        measured.append((free, margin))
        day = risk_room(book, settings)
        measured.append((day, Fraction(trade_risk(proposal, lot), lot)))
        return _no_room(bound, measured, proposal)
    return Sized(
        quantity,
        bound,
        tuple(caps),
        unit,
        planned if quantity == shares else trade_risk(proposal, quantity),
        margin,
        slices_of(quantity, proposal.instrument),
        proposal,
        note,
    )


def _lots(left: Paise, each: Paise, lot: int) -> int:
    if each <= 0:
        return UNBOUNDED
    return left // each // lot * lot


def _add_shown(caps: list[tuple[str, int]], proposal: Proposal, settings: MoneySettings) -> None:
    instrument = proposal.instrument
    lot, freeze = instrument.lot_size, instrument.freeze_quantity
    if proposal.depth is not None:
        caps.append(("depth", proposal.depth // lot * lot))
    if freeze is not None:
        caps.append((FREEZE, freeze // lot * lot * settings.sizing.slices))


def _too_small(proposal: Proposal, settings: MoneySettings, mode: str) -> Refusal:
    lot = proposal.instrument.lot_size
    if mode == "volatility_target" and not proposal.daily_sd:
        words = "volatility_target: the daily volatility of the instrument is not known"
        return Refusal(mode, "unknown", "a volatility", "none", words)
    if mode == "risk_per_trade":
        budget = settings.bounds.risk
        least = trade_risk(proposal, lot)
        what = f"the loss of {lot} at the stop's limit, charges included,"
        return refusal(mode, what, rupees(least), rupees(budget), "none")
    return refusal(mode, "the size", 0, f"at least one lot of {lot}", "none")


def _no_room(bound: str, measured: list[tuple[Room, Paise]], proposal: Proposal) -> Refusal:
    lot, freeze = proposal.instrument.lot_size, proposal.instrument.freeze_quantity
    for room, each in measured:
        if room.limit == bound:
            what = f"one lot takes {rupees(each * lot)}; the figure"
            return refusal(
                bound, what, rupees(room.figure), rupees(room.allowed), rupees(room.left)
            )
    if bound == FREEZE:
        what = "the exchange's freeze quantity, the most that an order carries,"
        return refusal(bound, what, freeze, f"at least one lot of {lot}", "none")
    return refusal(bound, "shares to be had", 0, f"at least one lot of {lot}", "none")
