"""One trade from its intent to flat: the entry, the one exit order, the levels, the reason.

Rule 1: what is open is derived from fills, never stored.
Rule 2: what the entry was decided by is pinned: signal agent, model, version, variant, policy.
Rule 3: exits are a list only because an order can die; at most one of them is live, and where a
late order makes it two, drive.py withdraws one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from agent.core.values import Reason
from agent.market.instruments import Instrument, Side
from agent.orders.leg import Leg
from agent.orders.lifecycle import FINAL, OrderState
from agent.trailing.plan import Plan
from agent.trailing.planner import Budget, PlacedStop
from agent.trailing.ratchet import TrailState


@dataclass(frozen=True, slots=True)
class Pin:
    """Who decided a trade, and by what it is run until flat."""

    agent: str
    policy_toml: str
    model: str = ""
    version: str = ""
    variant: str = ""
    request_id: str = ""
    words: str = ""
    strength: float = 0.0


@dataclass(frozen=True, slots=True)
class Levels:
    """Where the trade ends: its plan, the trail's state, the placed stop and its budget.

    `quantity` and `on` are what the plan was made for: with them it can be made again.
    """

    plan: Plan
    trail: TrailState
    average: Fraction
    quantity: int
    on: date
    budget: Budget
    placed: PlacedStop | None = None
    wake_ms: int = 0
    stop_moves: int = 0
    target_moves: int = 0

    @property
    def stop(self) -> int:
        """The desired stop, ticks."""
        return self.trail.stop

    @property
    def target(self) -> int | None:
        """The target, ticks."""
        return self.trail.target


@dataclass(frozen=True, slots=True)
class Closing:
    """Why and how far a position is on its way out; `rung` -1: nothing has been sent yet."""

    reason: Reason
    since_ms: int
    rung: int = -1
    rung_ms: int = 0


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade.

    Parameters
    ----------
    number : int
        Unique in this home for good.
    reserved : bool
        Whether the money's book still counts the unfilled entry.
    adopted_shares, adopted_paise : int
        What was there without an entry of ours, and its value.
    external_shares : int
        What somebody else closed.
    book_call : int
        Number of the last full book (orders and positions) that was taken in.
    naked_ms : int
        Since when shares are open without a live exit, 0 while they are not.
    hit_ms : int
        When a tick crossed the placed stop: the exchange's trigger is about to be seen.
    refusals : int
        Changes of the exit that the broker refused in a row.
    retry_ms : int
        Nothing is sent before: the broker pushed back.
    """

    number: int
    instrument: Instrument
    side: Side
    product: str
    pin: Pin
    opened_ms: int
    entry: Leg | None
    exits: tuple[Leg, ...] = ()
    levels: Levels | None = None
    closing: Closing | None = None
    reserved: bool = False
    adopted_shares: int = 0
    adopted_paise: int = 0
    external_shares: int = 0
    external_paise: int = 0
    book_call: int = 0
    naked_ms: int = 0
    naked_ms_max: int = 0
    filled_ms: int = 0
    closed_ms: int = 0
    hit_ms: int = 0
    frozen: str = ""
    refusals: int = 0
    retry_ms: int = 0
    timer_ms: int = 0

    @property
    def key(self) -> str:
        """The instrument's key."""
        return self.instrument.key

    @property
    def slot(self) -> tuple[str, str]:
        """What the broker nets."""
        return (self.instrument.key, self.product)

    @property
    def intent(self) -> str:
        """The entry's name in the money's book."""
        return f"T{self.number}"

    @property
    def entered(self) -> int:
        """Shares that came in."""
        return self.adopted_shares + (0 if self.entry is None else self.entry.filled)

    @property
    def entered_paise(self) -> int:
        """What they cost (a SHORT: brought)."""
        return self.adopted_paise + (0 if self.entry is None else self.entry.value_paise)

    @property
    def left(self) -> int:
        """Shares that went out."""
        return self.external_shares + sum(leg.filled for leg in self.exits)

    @property
    def left_paise(self) -> int:
        """What they brought (a SHORT: cost)."""
        return self.external_paise + sum(leg.value_paise for leg in self.exits)

    @property
    def open(self) -> int:
        """Shares held now; below 0 our own exits closed more than there was."""
        held = self.adopted_shares - self.external_shares
        if self.entry is not None:
            held += self.entry.filled
        for leg in self.exits:
            held -= leg.filled
        return held

    @property
    def average(self) -> Fraction:
        """The average entry price in rupees; only with something entered."""
        return Fraction(self.entered_paise, 100 * self.entered)

    def averages(self, price: Fraction) -> bool:
        """Tell whether `average` is this price, without working it out."""
        return self.entered_paise * price.denominator == price.numerator * 100 * self.entered

    @property
    def entry_live(self) -> bool:
        """Whether the entry may still fill."""
        return self.entry is not None and not self.entry.final

    @property
    def live_exits(self) -> tuple[Leg, ...]:
        """Exits that may still trade."""
        return tuple([leg for leg in self.exits if leg.state not in FINAL])

    @property
    def exit(self) -> Leg | None:
        """The live exit; should there be two, the later one that stands: its stop is tighter."""
        lives = self.live_exits
        if len(lives) < 2:
            return lives[0] if lives else None
        return max(lives, key=lambda leg: (leg.at_exchange, leg.sent_call))

    @property
    def reason(self) -> Reason | None:
        """Why it was closed; a stop that the exchange released by itself is a stop."""
        if self.closing is not None:
            return self.closing.reason
        return Reason.STOP if self.left else None

    @property
    def done(self) -> bool:
        """Whether it is over: nothing held, nothing that could trade."""
        return self.closed_ms > 0

    @property
    def protected(self) -> bool:
        """Whether an exit stands, or its placing or change is in flight."""
        return any(leg.state is not OrderState.CANCEL_SENT for leg in self.live_exits)


def last_exit(trade: Trade) -> Leg | None:
    """Return the latest exit order, live or not."""
    return trade.exits[-1] if trade.exits else None
