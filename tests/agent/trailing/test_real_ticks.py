"""Candles and planner against recorded ticks: a sample here, every day in benchmarks/trailing.

T39: a tick result lies inside the band of its candles, and no certain exit fails to happen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.trailing.policy import Policy
from benchmarks.trailing import real_days

pytestmark = pytest.mark.shared
SAMPLE = [("2021-05-10", "INFY"), ("2021-05-14", "TATASTEEL"), ("2021-06-03", "SBIN")]


def sample(folder: Path, on: str, symbol: str) -> list[real_days.Day]:
    pytest.importorskip("pyarrow")
    return list(real_days.days(folder, only=(symbol,), pattern=f"nse_ticks_1s_{on}.parquet"))


@pytest.mark.parametrize(("on", "symbol"), SAMPLE)
def test_t39_every_tick_result_lies_in_the_band_of_its_candles(shared_data, on, symbol) -> None:
    rows = real_days.band_table(sample(shared_data, on, symbol), entries=2)
    assert len(rows) == len(real_days.texts())
    for row in rows:
        assert row["positions"] == 4
        assert (row["inside"], row["failed"]) == (4, 0), row


def test_the_budget_is_never_overspent_on_a_real_day(shared_data) -> None:
    (day,) = sample(shared_data, *SAMPLE[1])
    policy = Policy.parse(real_days.TIGHT)
    for plan, rest in real_days.positions(day, policy, 3):
        for budget in (25, 10, 3):
            line = real_days.over_ticks(plan, rest, modifications=budget).trial
            assert line is not None
            assert line["calls"] <= min(budget - 3, line["unlimited_calls"])
