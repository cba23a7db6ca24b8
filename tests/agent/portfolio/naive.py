"""The portfolio once more, from the trade list alone and as plainly as can be.

Share by share, charges by order at the end, nothing kept running: what the real one must equal.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from agent.market.charges import order_charges
from agent.portfolio.lots import Fill


@dataclass
class Naive:
    held: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    realised: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    round_trips: int = 0
    charges: int = 0

    def unrealised(self, marks: dict[str, int]) -> int:
        return sum(
            sign * (marks[key] - price)
            for (key, _), shares in self.held.items()
            for sign, price in shares
        )


def recompute(fills: list[Fill]) -> Naive:
    """Replay trades share by share: (sign, price) of each share held, oldest first."""
    book = Naive()
    for fill in fills:
        sign = 1 if fill.transaction == "BUY" else -1
        shares = book.held.setdefault((fill.key, fill.product), [])
        for _ in range(fill.quantity):
            if shares and shares[0][0] == -sign:
                side, price = shares.pop(0)
                book.realised["LONG" if side > 0 else "SHORT"] += side * (int(fill.price) - price)
                book.round_trips += not shares
            else:
                shares.append((sign, int(fill.price)))
    orders: dict[str, list[Fill]] = defaultdict(list)
    for fill in fills:
        orders[fill.order_id].append(fill)
    for trades in orders.values():
        quantity = sum(t.quantity for t in trades)
        value = sum(t.quantity * int(t.price) for t in trades)
        first = trades[0]
        book.charges += order_charges(
            product=first.product,
            segment=first.segment,
            transaction=first.transaction,
            quantity=1,
            price=Decimal(value) / 100,  # one share at the whole value: the same turnover
            on=first.on,
        ).total
        assert quantity > 0
    return book
