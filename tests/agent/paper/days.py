"""Exchanges over several scripted days, for what outlives one: GTTs, AMOs, deliveries, auctions."""

from __future__ import annotations

from datetime import date

import numpy as np

from agent.paper.exchange import Exchange
from agent.paper.market import Market
from agent.paper.records import Record
from agent.paper.source import CandleSet, Columns
from tests.agent.paper.lab import minute_columns, run_to

KEY = "NSE:A"
FIRST, SECOND = date(2025, 11, 3), date(2025, 11, 4)  # Monday, Tuesday
AUCTION_DAY, AFTER_AUCTION = date(2026, 8, 4), date(2026, 8, 5)
MINUTES = 375
AUCTION_MINUTES = 360  # none between 15:15 and 15:30


def days_of(
    prices: dict[date, list[float]], key: str = KEY, cash: int = 100_000_000, seed: int = 1
) -> Exchange:
    """Return an exchange at the open of the first of several scripted days."""
    days = [minute_columns(row, on=on) for on, row in prices.items()]
    joined = Columns(*(np.concatenate(column) for column in zip(*map(_columns, days), strict=True)))
    exchange = Exchange(Market(CandleSet("minute", {key: joined}), seed=seed), cash=cash)
    exchange.start()
    exchange.instant()
    return exchange


def _columns(one: Columns) -> tuple[np.ndarray, ...]:
    return (one.ts_ms, one.open, one.high, one.low, one.close, one.volume)


def ask(
    exchange: Exchange,
    side: str,
    quantity: int,
    kind: str = "LIMIT",
    *,
    variety: str = "regular",
    key: str = KEY,
    **fields: object,
) -> Record:
    """Place an order; MIS, and protected by the broker's own bands, unless told otherwise."""
    params = {"transaction_type": side, "order_type": kind, "product": "MIS",
              "quantity": str(quantity)}  # fmt: skip
    if kind in {"MARKET", "SL-M"}:
        params["market_protection"] = "-1"
    params |= {name: str(value) for name, value in fields.items()}
    return exchange.desk.place(key, params, exchange.now_ms, variety)


def wait(exchange: Exchange, ms: int = 40) -> list[dict[str, object]]:
    """Let so much virtual time pass; return the updates that were pushed."""
    return run_to(exchange, exchange.now_ms + ms)


def to_day(exchange: Exchange, number: int) -> None:
    """Move to the morning of a day, counted from 0."""
    while exchange.day < number:
        due = exchange.next_due()
        assert due is not None
        exchange.move_to(due)


def flat(price: float = 100.0, minutes: int = MINUTES) -> list[float]:
    """Return a day that stands still."""
    return [price] * minutes
