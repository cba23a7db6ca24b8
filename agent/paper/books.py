"""The account: positions, holdings, charges, margins and what is free.

Everything is whole paise. Realised profit is first in, first out, so that it is exact; charges
are those of agent/market/charges.py, an executed order at a time. Margin: 20 % of the value for
MIS, all of it for CNC and MTF, blocked for what is open and for what pending orders would open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Protocol

from agent.market.charges import charges_on, rates_for
from agent.paper.records import INTRADAY, Record, in_rupees, rounded_rupees
from agent.paper.shorts import Owed, owed_at_close

OPENING_CASH: Final = 100_000_000  # paise: ten lakh rupees
MARGIN_PERCENT: Final = {"MIS": 20, "CO": 20, "CNC": 100, "MTF": 100}


class Claim(Protocol):
    """An order that may still trade, as the margin counts it; `limit` in paise."""

    @property
    def key(self) -> str:
        """What it is for."""

    @property
    def product(self) -> str:
        """Its product."""

    @property
    def side(self) -> int:
        """+1 for BUY, -1 for SELL."""

    @property
    def committed(self) -> int:
        """Shares that may still trade."""

    @property
    def limit(self) -> int:
        """The worst price."""


@dataclass(slots=True)
class Position:
    """What is open in one symbol and product; values in paise.

    `lots` are what is open, oldest first, [signed shares, paise]; `overnight` those of them that
    were there at the open.
    """

    key: str
    product: str
    token: int
    lots: list[list[int]] = field(default_factory=list)
    overnight: int = 0
    overnight_value: int = 0  # at cost, not signed
    bought: int = 0  # today
    bought_value: int = 0
    sold: int = 0
    sold_value: int = 0
    realised: int = 0  # today

    @property
    def net(self) -> int:
        """Signed open shares."""
        return self.overnight + self.bought - self.sold

    @property
    def cost(self) -> int:
        """Value of what is open at cost, not signed."""
        return sum(abs(shares) * price for shares, price in self.lots)

    def fill(self, side: int, quantity: int, price: int) -> int:
        """Trade; return what that realised."""
        if side > 0:
            self.bought, self.bought_value = (
                self.bought + quantity,
                (self.bought_value + quantity * price),
            )
        else:
            self.sold, self.sold_value = self.sold + quantity, self.sold_value + quantity * price
        realised = 0
        while quantity and self.lots and self.lots[0][0] * side < 0:
            lot = self.lots[0]
            matched = min(quantity, abs(lot[0]))
            realised += -side * matched * (price - lot[1])
            lot[0] += side * matched
            quantity -= matched
            if not lot[0]:
                self.lots.pop(0)
        if quantity:
            self.lots.append([side * quantity, price])
        self.realised += realised
        return realised

    def last_lots(self, quantity: int) -> list[tuple[int, int]]:
        """Return the newest open shares as (shares, price), shares not signed."""
        lots: list[tuple[int, int]] = []
        for shares, price in reversed(self.lots):
            taken = min(quantity, abs(shares))
            if taken:
                lots.append((taken, price))
            quantity -= taken
        return lots

    def take(self, quantity: int) -> list[tuple[int, int]]:
        """Take the newest open shares out, as if they had never been traded here."""
        side = 1 if self.net > 0 else -1
        taken = self.last_lots(quantity)
        for shares, price in taken:
            lot = self.lots[-1]
            lot[0] -= side * shares
            if not lot[0]:
                self.lots.pop()
            self._add(side, -shares, price)
        return taken

    def put(self, side: int, lots: list[tuple[int, int]]) -> None:
        """Add shares that were traded elsewhere, at their prices."""
        for shares, price in lots:
            self._add(side, shares, price)
            self.lots.append([side * shares, price])

    def _add(self, side: int, shares: int, price: int) -> None:
        value = shares * price
        if side > 0:
            self.bought, self.bought_value = self.bought + shares, self.bought_value + value
        else:
            self.sold, self.sold_value = self.sold + shares, self.sold_value + value


@dataclass(slots=True)
class Holding:
    """Delivered shares; cost in paise."""

    token: int
    lots: list[list[int]] = field(default_factory=list)
    t1: int = 0  # bought yesterday, not settled
    authorised_on: str = ""  # the day on which the user let the broker debit them

    @property
    def quantity(self) -> int:
        """Shares held."""
        return sum(shares for shares, _ in self.lots)

    @property
    def cost(self) -> int:
        """What they were bought for."""
        return sum(shares * price for shares, price in self.lots)


class Books:
    """One account.

    Parameters
    ----------
    cash : int, paise
        What it starts with.
    """

    def __init__(self, cash: int = OPENING_CASH) -> None:
        self.opening = cash
        self.positions: dict[tuple[str, str], Position] = {}
        self.holdings: dict[str, Holding] = {}
        self.owed: list[Owed] = []  # short deliveries that the exchange has not settled
        self.realised = 0
        self.charges = 0
        self.touched: set[tuple[str, str]] = set()  # positions, since they were last kept
        self._held: dict[tuple[str, str], int] = {}  # paise that each position alone blocks

    def fill(self, record: Record, quantity: int, price: int, on: date, segment: str) -> int:
        """Book a fill that the record already counts; return what it adds to the charges.

        Parameters
        ----------
        record : Record
        quantity : int
        price : int, paise
        on : date
        segment : str
        """
        at = (record.key, record.product)
        position = self.positions.setdefault(at, Position(record.key, record.product, record.token))
        self.realised += position.fill(record.side, quantity, price)
        self.touch(at)
        rates = rates_for(record.product, segment, on)
        charged = charges_on(rates, record.transaction, record.value).total - record.charges
        record.charges += charged
        self.charges += charged
        return charged

    def take(self, key: str, product: str, quantity: int) -> list[tuple[int, int]]:
        """Take shares out of a position, as (shares, price), newest first."""
        lots = self.positions[key, product].take(quantity)
        self.touch((key, product))
        return lots

    def touch(self, at: tuple[str, str]) -> None:
        """Note that a position was changed."""
        self.touched.add(at)
        self._held[at] = self._blocked_at(at, [])

    def charge(self, paise: int) -> None:
        """Charge a fee on an order beside its trades."""
        self.charges += paise

    def sellable(self, key: str) -> int:
        """Return the shares that a CNC sell may sell: held, and bought today."""
        held = self.holdings[key].quantity if key in self.holdings else 0
        position = self.positions.get((key, "CNC"))
        return held + (position.net if position else 0)

    def settled(self, key: str) -> int:
        """Return the shares held that were bought before yesterday and not sold today."""
        holding, position = self.holdings.get(key), self.positions.get((key, "CNC"))
        if holding is None:
            return 0
        return max(holding.quantity - holding.t1 + min(position.net if position else 0, 0), 0)

    def funds(self) -> int:
        """Return cash and what was realised, less charges and what holdings cost."""
        tied = sum(holding.cost for holding in self.holdings.values())
        return self.opening + self.realised - self.charges - tied

    def put(
        self, key: str, product: str, token: int, side: int, lots: list[tuple[int, int]]
    ) -> None:
        """Add shares to a position of another product than the one they were traded in."""
        position = self.positions.setdefault((key, product), Position(key, product, token))
        if position.net * side >= 0:
            position.put(side, lots)
        else:
            for shares, price in lots:  # it stands the other way: they meet
                self.realised += position.fill(side, shares, price)
        self.touch((key, product))

    def settle(self, owed: Owed, price: int) -> None:
        """Settle a short delivery at a price."""
        self.owed.remove(owed)
        self.realised += owed.proceeds - owed.quantity * price

    @staticmethod
    def percent(product: str) -> int:
        """Return the share of a value that a product blocks, percent."""
        return MARGIN_PERCENT[product]

    def blocked(self, pending: Iterable[Claim]) -> int:
        """Return the margin that positions, pending orders and short deliveries take."""
        waiting: dict[tuple[str, str], list[Claim]] = {}
        for record in pending:
            waiting.setdefault((record.key, record.product), []).append(record)
        alone = sum(self._held.values()) + sum(one.blocked for one in self.owed)
        more = (
            self._blocked_at(at, claims) - self._held.get(at, 0) for at, claims in waiting.items()
        )
        return alone + sum(more)

    def _blocked_at(self, at: tuple[str, str], waiting: list[Claim]) -> int:
        position = self.positions.get(at)
        net = position.net if position else 0
        delivery = at[1] not in INTRADAY
        cost = position.cost if position and not (delivery and net < 0) else 0
        opening = max(_opening(net, waiting, 1), 0 if delivery else _opening(net, waiting, -1))
        return (cost + opening) * MARGIN_PERCENT[at[1]] // 100

    def roll(self, prices: Mapping[str, tuple[int, int]]) -> None:
        """Close the day: what is long becomes holdings, an intraday short owes its delivery.

        Parameters
        ----------
        prices : mapping of str to (close, high) of the day, paise
        """
        bought: dict[str, int] = {}
        for position in self.positions.values():
            if position.product in INTRADAY and position.net < 0:
                close, high = prices.get(position.key, (0, 0))
                at = (position.key, position.product, position.token)
                self.owed.append(owed_at_close(at, -position.net, position.cost, close, high))
            elif position.net:
                self._deliver(position)
                bought[position.key] = bought.get(position.key, 0) + max(position.net, 0)
        for key, holding in self.holdings.items():
            holding.t1 = min(bought.get(key, 0), holding.quantity)
        self.holdings = {key: one for key, one in self.holdings.items() if one.quantity}
        self.positions, self._held = {}, {}
        self.touched.clear()

    def _deliver(self, position: Position) -> None:
        holding = self.holdings.setdefault(position.key, Holding(position.token))
        for shares, price in position.lots:
            if shares > 0:
                holding.lots.append([shares, price])
                continue
            left = -shares  # sold from what was held: first in, first out
            while left and holding.lots:
                lot = holding.lots[0]
                matched = min(left, lot[0])
                self.realised += matched * (price - lot[1])
                lot[0] -= matched
                left -= matched
                if not lot[0]:
                    holding.lots.pop(0)


def position_row(position: Position, last: int, close: int) -> dict[str, Any]:
    """Return a row of the positions; `last` and the previous `close` in paise."""
    long_before = max(position.overnight, 0)
    short_before = max(-position.overnight, 0)
    before = position.overnight_value
    buys, sells = position.bought + long_before, position.sold + short_before
    buy_value = position.bought_value + (before if long_before else 0)
    sell_value = position.sold_value + (before if short_before else 0)
    buy_m2m = position.bought_value + long_before * close
    sell_m2m = position.sold_value + short_before * close
    net = position.net
    pnl = sell_value - buy_value + net * last
    average = (buy_value, buys) if net > 0 else (sell_value, sells)
    return {
        "tradingsymbol": position.key.partition(":")[2],
        "exchange": position.key.partition(":")[0],
        "instrument_token": position.token,
        "product": position.product,
        "quantity": net,
        "overnight_quantity": position.overnight,
        "multiplier": 1,
        "average_price": rounded_rupees(*average) if net else 0,
        "close_price": in_rupees(close) if position.overnight else 0,
        "last_price": in_rupees(last),
        "value": in_rupees(sell_value - buy_value),
        "pnl": in_rupees(pnl),
        "m2m": in_rupees(sell_m2m - buy_m2m + net * last),
        "unrealised": in_rupees(pnl - position.realised),
        "realised": in_rupees(position.realised),
        "buy_quantity": buys,
        "buy_price": rounded_rupees(buy_value, buys),
        "buy_value": in_rupees(buy_value),
        "buy_m2m": in_rupees(buy_m2m),
        "sell_quantity": sells,
        "sell_price": rounded_rupees(sell_value, sells),
        "sell_value": in_rupees(sell_value),
        "sell_m2m": in_rupees(sell_m2m),
        "day_buy_quantity": position.bought,
        "day_buy_price": rounded_rupees(position.bought_value, position.bought),
        "day_buy_value": in_rupees(position.bought_value),
        "day_sell_quantity": position.sold,
        "day_sell_price": rounded_rupees(position.sold_value, position.sold),
        "day_sell_value": in_rupees(position.sold_value),
    }


def _opening(net: int, waiting: list[Claim], side: int) -> int:
    """Return the value that one side's pending orders would open beyond closing what is open."""
    closes = max(-side * net, 0)
    value = 0
    for record in waiting:
        if record.side == side:
            opens = max(record.committed - closes, 0)
            closes = max(closes - record.committed, 0)
            value += opens * record.limit
    return value
