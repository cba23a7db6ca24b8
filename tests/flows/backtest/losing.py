"""A long record of a rule that loses a little on most days."""

from __future__ import annotations

from datetime import date, timedelta

from agent.backtest.results import Day, Result, RoundTrip
from agent.market.instruments import Side

DAYS = 150


def losing() -> tuple[Result, list[date]]:
    days = [date(2025, 1, 1) + timedelta(days=n) for n in range(DAYS)]
    made = tuple(_day(on, 5_000 if n % 3 == 0 else -4_000) for n, on in enumerate(days))
    return Result("recorded", 10_000_000, made), days


def _day(on: date, net: int) -> Day:
    trip = RoundTrip(
        on, 1, "NSE:AAA", Side.LONG, 100, "1", 1.0, 0, 1, 2, 1_000_000, 1_000_000 + net + 1_000,
        net + 1_000, 1_000, "STOP", 5, 1_980, None, 1_990, None, 3, 0, 140, 2, False,
    )  # fmt: skip
    return Day(on, (trip,), net, 1_000, {"max_unprotected_ms": 140}, {}, "", 10, 10)
