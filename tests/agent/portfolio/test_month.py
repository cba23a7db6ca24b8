"""A month of random trading at the paper exchange, in our books, and share by share: one result.

Each seed is another month: orders of every kind in shares, intraday and delivery, partial fills,
adding, scaling out, turning round, and what is left is squared off by the broker. After every
day the exchange's books, our portfolio and a recomputation from the trade list agree to the paisa.

One thing is kept out: delivery bought AND sold in one symbol on one day. The broker nets that day
first, our lots go oldest first; the sum of realised and unrealised agrees, the split does not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from agent.market.charges import SQUARE_OFF_FEE_PAISE
from agent.paper.exchange import Exchange
from agent.paper.market import Market
from agent.paper.records import Trade
from agent.paper.refusals import RequestRefused
from agent.portfolio.lots import Fill
from agent.portfolio.pnl import Portfolio, next_day, on_fill, on_mark
from tests.agent.paper.lab import wander
from tests.agent.portfolio.naive import recompute

DAYS, ORDERS_A_DAY, TICKS = 31, 14, 40


@dataclass
class Month:
    """The three accounts side by side."""

    exchange: Exchange
    portfolio: Portfolio
    fills: list[Fill] = field(default_factory=list)
    realised: int = 0
    charges: int = 0
    delivery: dict[tuple[str, object], str] = field(default_factory=dict)
    squared: set[str] = field(default_factory=set)
    nights: int = 0

    def take(self, trades: list[Trade]) -> None:
        """Book the exchange's trades in our portfolio."""
        for trade in trades:
            fill = Fill(
                trade.trade_id, f"{self.exchange.on}-{trade.order_id}", trade.key, trade.product,
                "NSE", "BUY" if trade.transaction == "BUY" else "SELL", trade.quantity,
                trade.price, self.exchange.on, trade.at_ms, "model", "1",
            )  # fmt: skip
            self.fills.append(fill)
            self.portfolio, _ = on_fill(self.portfolio, fill)

    def order(self, draw: random.Random) -> None:
        """Send an order of any kind; the exchange may refuse it."""
        board = draw.choice(list(self.exchange.boards.values()))
        tick = board.instrument.tick_paise
        side, product = draw.choice(["BUY", "SELL"]), draw.choice(["MIS", "MIS", "CNC"])
        if product == "CNC":
            side = self.delivery.setdefault((board.instrument.key, self.exchange.on), side)
        kind = draw.choice(["MARKET", "MARKET", "LIMIT"])
        price = (board.last // tick + draw.randint(-15, 15)) * tick
        params = {
            "transaction_type": side, "order_type": kind, "product": product,
            "quantity": str(draw.randint(1, 900)), "market_protection": "-1", "tag": "t",
        } | ({"price": str(price / 100)} if kind == "LIMIT" else {})  # fmt: skip
        try:
            self.exchange.desk.place(board.instrument.key, params, self.exchange.now_ms)
        except RequestRefused:
            return  # no holdings, no money: nothing was changed

    def night(self, seed: int) -> None:
        """Let the exchange begin its next day (delivery is booked then) and compare all three."""
        last = {key: board.last for key, board in self.exchange.boards.items()}
        for key, price in last.items():
            self.portfolio = on_mark(self.portfolio, key, price)
        due = self.exchange.next_due()
        if due is None:
            return
        self.exchange.move_to(due)
        books, portfolio = self.exchange.books, self.portfolio
        self.realised += portfolio.total.gross
        self.charges += portfolio.total.charges.total
        fees = SQUARE_OFF_FEE_PAISE * len(self.squared)
        assert self.charges + fees == books.charges, seed
        assert self.realised == books.realised, seed
        held = {key: holding.lots for key, holding in books.holdings.items()}
        ours = {
            key: [[lot.quantity, lot.price] for lot in position.lots]
            for (key, product), position in portfolio.positions.items()
        }
        assert {p for _, p in portfolio.positions} <= {"CNC"}, seed  # MIS was squared off
        assert ours == held, seed
        naive = recompute(self.fills)
        assert self.realised == sum(naive.realised.values()), seed
        assert self.charges == naive.charges, seed
        assert portfolio.unrealised == naive.unrealised(last), seed
        self.portfolio = next_day(portfolio, self.exchange.on, last)
        self.nights += 1


def month(seed: int) -> Month:
    """Trade a month; every day's end is compared."""
    draw = random.Random(seed)
    exchange = Exchange(Market(wander(seed, DAYS), ticks_per_day=TICKS), cash=10**9)
    exchange.start()
    found = Month(exchange, Portfolio(exchange.on))
    found.take(exchange.instant().notes.trades)
    while True:
        while not exchange.overnight:
            if draw.random() < ORDERS_A_DAY / (TICKS * 3):
                found.order(draw)
            due = exchange.next_due()
            if due is None:
                break
            found.take(exchange.move_to(due).notes.trades)
            found.squared |= {
                f"{exchange.on}-{r.order_id}"
                for r in exchange.desk.records.values() if r.square_off
            }  # fmt: skip
        if not exchange.overnight:
            return found
        found.night(seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_month_of_random_trading_comes_to_the_same_three_times(seed: int) -> None:
    found = month(seed)
    assert found.nights >= 18
    assert len(found.fills) > 150, "a month that hardly trades proves nothing"
    assert {fill.product for fill in found.fills} == {"MIS", "CNC"}
    assert found.squared, "the broker had something to square off"
