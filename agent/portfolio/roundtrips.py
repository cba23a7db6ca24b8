"""What has been bought and sold again: one row a round trip, as a tax return asks for it.

Rule 1: pure. A `Deal` (a trade with its orders) goes in, a `RoundTrip` for each day on which some
of it was closed comes out, and what is still `Held`.
Rule 2: whole paise. Values and charges that belong to several rows are shared out by quantity so
that the rows add up to the orders.
Rule 3: charges are an order's, by the schedule of the order's own day. What somebody else closed
has charges that we cannot know; its row says so.
Heads of income, as the Income-tax Act and the Guidance Note on Tax Audit (ICAI) sort them: shares
bought and sold without delivery are a speculative business (turnover: the absolute difference),
delivered ones capital gains (the value sold), futures and options a business that is not
speculative (the absolute difference).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal

from agent.market.charges import NO_CHARGES, Charges, charges_on, dp_charge_paise, rates_for
from agent.market.instruments import Side
from agent.market.sessions import IST, from_epoch_ms
from agent.portfolio.fiscal import FinancialYear
from agent.portfolio.lots import split_charges

Head = Literal["speculative business", "non-speculative business", "capital gains"]
SHARES: Final = frozenset({"NSE", "BSE"})  # the segments in which something can be delivered
DELIVERED: Final = frozenset({"CNC", "MTF"})


@dataclass(frozen=True, slots=True)
class Order:
    """What one order of a trade filled.

    Parameters
    ----------
    quantity : int, shares, > 0
    value : int, paise
    at_ms : int, epoch ms
    ours : bool
        False for what somebody else traded: its charges are not known.
    """

    quantity: int
    value: int
    at_ms: int
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Deal:
    """A trade: what came in, what went out, and who decided it. `entries` and `exits` by time."""

    number: int
    key: str
    product: str
    segment: str
    side: Side
    entries: tuple[Order, ...]
    exits: tuple[Order, ...]
    reason: str = ""
    agent: str = ""
    model: str = ""
    version: str = ""
    variant: str = ""

    @property
    def entered(self) -> int:
        """Shares that came in."""
        return sum(order.quantity for order in self.entries)


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The shares of a trade that were closed on one day.

    Parameters
    ----------
    part : int
        1 unless the trade was closed on more than one day.
    entry_value, exit_value : int, paise
    entry_charges, exit_charges : Charges
    other : int, paise
        The depository's charge of a delivery sale, once a scrip and day.
    last : bool
        Whether nothing of the trade is held after it.
    notes : tuple of str
        What a person has to look up on the contract note.
    """

    deal: Deal
    part: int
    quantity: int
    entry_value: int
    exit_value: int
    opened_ms: int
    closed_ms: int
    entry_charges: Charges
    exit_charges: Charges
    other: int = 0
    last: bool = True
    notes: tuple[str, ...] = ()

    @property
    def opened_on(self) -> date:
        """The day of the entry in India."""
        return day_of(self.opened_ms)

    @property
    def closed_on(self) -> date:
        """The day of the exit in India: the financial year is this day's."""
        return day_of(self.closed_ms)

    @property
    def year(self) -> FinancialYear:
        """The financial year in which it was closed."""
        return FinancialYear.of(self.closed_on)

    @property
    def gross(self) -> int:
        """Profit before charges, paise."""
        return self.deal.side.sign * (self.exit_value - self.entry_value)

    @property
    def charges(self) -> Charges:
        """Both legs' charges by component."""
        return self.entry_charges + self.exit_charges

    @property
    def cost(self) -> int:
        """All charges, paise."""
        return self.charges.total + self.other

    @property
    def net(self) -> int:
        """Profit after all charges, paise."""
        return self.gross - self.cost

    @property
    def buy_value(self) -> int:
        """What was paid, paise."""
        return self.entry_value if self.deal.side is Side.LONG else self.exit_value

    @property
    def sell_value(self) -> int:
        """What was received, paise."""
        return self.exit_value if self.deal.side is Side.LONG else self.entry_value

    @property
    def delivered(self) -> bool:
        """Whether shares changed the depository account: a LONG in shares, held over a night.

        A SHORT in shares that was not bought back is settled in the auction, not delivered.
        """
        shares, long = self.deal.segment in SHARES, self.deal.side is Side.LONG
        return shares and long and self.opened_on < self.closed_on

    @property
    def head(self) -> Head:
        """The head of income."""
        if self.deal.segment not in SHARES:
            return "non-speculative business"
        return "capital gains" if self.delivered else "speculative business"

    @property
    def turnover(self) -> int:
        """The turnover as the head counts it, paise."""
        return self.sell_value if self.delivered else abs(self.gross)

    @property
    def held_days(self) -> int:
        """Days between entry and exit."""
        return (self.closed_on - self.opened_on).days

    @property
    def term(self) -> str:
        """`long` for a capital gain after more than twelve months, else `short`; "" elsewhere."""
        if not self.delivered:
            return ""
        day = self.opened_on
        leap = (day.month, day.day) == (2, 29)
        a_year_on = day.replace(year=day.year + 1, day=28 if leap else day.day)
        return "long" if self.closed_on > a_year_on else "short"


@dataclass(frozen=True, slots=True)
class Held:
    """What of a trade is still open: its shares, what they cost, and the charges of that."""

    deal: Deal
    quantity: int
    value: int
    opened_ms: int
    charges: Charges


def day_of(at_ms: int) -> date:
    """Return the day of an instant in India."""
    return from_epoch_ms(at_ms).astimezone(IST).date()


def order_cost(deal: Deal, order: Order, transaction: str) -> Charges:
    """Return the charges of an order by its own day's schedule; none of what was not ours."""
    if not order.ours:
        return NO_CHARGES
    return charges_on(
        rates_for(deal.product, deal.segment, day_of(order.at_ms)), transaction, order.value
    )


def round_trips(deal: Deal) -> tuple[tuple[RoundTrip, ...], Held | None]:
    """Return a trade's closed parts, one for each day of closing, and what is still held.

    Exits beyond what came in are charged but have no shares of this trade: the last part says so.
    """
    if not deal.entered:
        return (), None
    days: dict[date, list[Order]] = {}
    for order in deal.exits:
        days.setdefault(day_of(order.at_ms), []).append(order)
    left, taken = deal.entered, []
    for orders in days.values():
        quantity = min(sum(order.quantity for order in orders), left)
        left -= quantity
        taken.append(quantity)
    value = sum(order.value for order in deal.entries)
    paid = NO_CHARGES
    for order in deal.entries:
        paid += order_cost(deal, order, deal.side.entry_transaction)
    quantities = [*taken, left]
    values, costs = shared(value, quantities), split_charges(paid, quantities)
    parts = [
        replace(
            _closed(deal, orders, n + 1, taken[n], values[n], costs[n]),
            last=not left and n + 1 == len(days),
        )
        for n, orders in enumerate(days.values())
    ]
    opened = deal.entries[0].at_ms
    held = Held(deal, left, values[-1], opened, costs[-1]) if left else None
    return tuple(part for part in parts if part.quantity or part.exit_charges.total), held


def shared(value: int, quantities: Sequence[int]) -> list[int]:
    """Share paise out in proportion to quantities (their sum > 0); the parts add up."""
    total, seen, given, parts = sum(quantities), 0, 0, []
    for quantity in quantities:
        seen += quantity
        upto = value * seen // total
        parts.append(upto - given)
        given = upto
    return parts


def with_depository(rows: Iterable[RoundTrip]) -> list[RoundTrip]:
    """Return the rows, oldest first, with the depository's charge on the first sale of its day."""
    charged: set[tuple[str, date]] = set()
    found = []
    for row in sorted(rows, key=lambda r: (r.closed_ms, r.deal.number, r.part)):
        sale = (row.deal.key, row.closed_on)
        if row.delivered and row.deal.product in DELIVERED and sale not in charged:
            charged.add(sale)
            found.append(replace(row, other=row.other + dp_charge_paise(row.closed_on)))
        else:
            found.append(row)
    return found


def _closed(
    deal: Deal, orders: Sequence[Order], part: int, quantity: int, entered: int, paid: Charges
) -> RoundTrip:
    """Return what a day's exits closed of what was `entered` for its value and charges."""
    sold = sum(order.quantity for order in orders)
    value = sum(order.value for order in orders)
    cost = NO_CHARGES
    for order in orders:
        cost += order_cost(deal, order, deal.side.exit_transaction)
    row = RoundTrip(
        deal,
        part,
        quantity,
        entered,
        value * quantity // sold,
        deal.entries[0].at_ms,
        max(order.at_ms for order in orders),
        paid,
        cost,
    )
    return replace(row, notes=_notes(row, orders, sold))


def _notes(row: RoundTrip, orders: Sequence[Order], sold: int) -> tuple[str, ...]:
    found, deal = [], row.deal
    adopted = sum(order.quantity for order in deal.entries if not order.ours)
    if adopted:
        found.append(f"{adopted} shares came in without an order of ours: day and charges unknown")
    elsewhere = sum(order.quantity for order in orders if not order.ours)
    if elsewhere:
        found.append(f"{elsewhere} shares were closed by another order: its charges are missing")
    if sold > row.quantity:
        found.append(f"{sold - row.quantity} shares more were traded than were held")
    if deal.product in DELIVERED and deal.segment in SHARES and not row.held_days:
        found.append("bought and sold on one day: the broker charges it as intraday")
    if deal.segment in SHARES and deal.side is Side.SHORT and row.held_days:
        found.append("not bought back on its day: settled in the auction, penalty on its note")
    return tuple(found)
