"""Money over arrays is the charges room's, to the paisa."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from agent.errors import SettingRefused
from agent.market.charges import charges_on, rates_for
from flows.data.frame import EPOCH
from flows.sweep.money import TURNOVER_MAX, Ledger, Terms


@pytest.mark.parametrize("product", ["MIS", "CNC"])
@pytest.mark.parametrize("segment", ["NSE", "BSE"])
def test_each_trade_is_charged_as_two_orders(segment: str, product: str) -> None:
    draw = np.random.default_rng(3)
    n = 400
    entry = draw.integers(100, 3_000_000, n)
    sign = draw.choice([1, -1], n)
    day = draw.integers((date(2020, 1, 1) - EPOCH).days, (date(2026, 11, 1) - EPOCH).days, n)
    move = draw.integers(-40_000, 40_000, n)
    ledger = Ledger(entry, sign, day, segment, Terms(250_000, 2.5, product))
    money = ledger.settle(move)
    for k in range(n):
        on = EPOCH + timedelta(days=int(day[k]))
        rates = rates_for(product, segment, on)
        quantity = max(1, 25_000_000 // int(entry[k]))
        left = max(int(entry[k]) + int(sign[k]) * int(move[k]), 1)
        words = ("BUY", "SELL") if sign[k] > 0 else ("SELL", "BUY")
        values = (int(entry[k]) * quantity, left * quantity)
        charges = sum(charges_on(rates, w, v).total for w, v in zip(words, values, strict=True))
        slipped = sum((v * 250_000 + 500_000_000) // 1_000_000_000 for v in values)
        assert int(ledger.quantity[k]) == quantity
        assert money.charges[k] == charges
        assert money.slippage[k] == slipped
        assert money.net[k] == int(move[k]) * quantity - charges - slipped


def test_some_trades_are_settled_as_they_are_among_all() -> None:
    entry, day = np.array([10_000, 20_000, 30_000]), np.array([18_000, 18_500, 19_000])
    ledger = Ledger(entry, np.array([1, -1, 1]), day, "NSE", Terms())
    move = np.array([100, -200, 300])
    rows = np.array([2, 0])
    assert ledger.settle(move[rows], rows).net.tolist() == ledger.settle(move).net[rows].tolist()


def test_a_trade_too_large_for_the_arithmetic_is_refused() -> None:
    day, one = np.array([18_000]), np.array([1])
    with pytest.raises(SettingRefused, match="--notional"):
        Ledger(np.array([10_000]), one, day, "NSE", Terms(TURNOVER_MAX))
