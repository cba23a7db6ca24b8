"""A sweep's trades, run again: the same exits, nets within the slippage, every difference named."""

from __future__ import annotations

import numpy as np
import pytest

from agent.backtest.reconcile import SAME, reconcile
from agent.market.instruments import Side
from agent.trailing.bulk.row import Rerun
from agent.trailing.candles import Bar
from tests.agent.backtest import scenes, swept

POLICY = scenes.POLICY.replace("quiet_ms = 1500", "quiet_ms = 1000")
CAUSES = {
    SAME, "not filled", "fewer shares", "ambiguous candle", "square-off", "planner buffer",
    "entry slippage", "latency", "spread",
}  # fmt: skip


def candles(seed: int, policy: str = POLICY, quantity: int = 100) -> Rerun:
    columns = scenes.candles_of(scenes.walk(seed))
    rows = [columns.open, columns.high, columns.low, columns.close]
    bars = [Bar(*(round(price * 100) for price in row)) for row in zip(*rows, strict=True)]
    entries = [(n, Side.LONG if n % 2 else Side.SHORT) for n in range(7, 70, 9)]
    return swept.rerun(bars, columns.ts_ms.tolist(), entries, policy, quantity)


def ticks(seed: int) -> Rerun:
    rng = np.random.default_rng(seed)
    prices = (7_000 + np.cumsum(rng.integers(-3, 4, 2_400))).tolist()
    bars = [Bar(price, price, price, price) for price in prices]
    start = scenes.at("09:15")
    stamps = [start + 1_000 * n for n in range(len(bars))]
    entries = [(n, Side.LONG if n % 2 else Side.SHORT) for n in range(301, 2_000, 307)]
    return swept.rerun(bars, stamps, entries, POLICY, 100)


@pytest.mark.parametrize("made", [candles(3), ticks(3)], ids=["candles", "ticks"])
def test_most_trades_end_in_the_same_place_for_the_same_reason(made: Rerun) -> None:
    found = reconcile(made)
    document = found.document()
    told = [(p.cause, p.swept, p.traded) for p in found.pairs if p.cause != SAME]
    assert document["trades"] == document["run_again"] == len(made.trades) >= 6
    assert set(found.causes) <= CAUSES, told
    assert document["same_exit"] >= 0.6 * document["run_again"], told
    assert document["within_slippage"] >= document["same_exit"]
    assert sum(found.causes.values()) == len(found.pairs)
    assert found.told().startswith("NSE:AAA LONG: ")


def test_of_many_trades_some_are_chosen_evenly() -> None:
    made, heard = candles(3), []
    found = reconcile(made, trades_max=3, progress=lambda done, of: heard.append((done, of)))
    assert (found.of, len(found.pairs)) == (7, 3)
    assert [pair.swept.entry_index for pair in found.pairs] == [7, 34, 61]
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_more_shares_than_the_book_shows_is_a_difference_with_its_name() -> None:
    found = reconcile(candles(3, quantity=50_000), trades_max=2)
    assert found.causes == {"fewer shares": 2}
    assert found.document()["same_exit"] == 0
