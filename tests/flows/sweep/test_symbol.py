"""A sweep's trades, done again one by one by the step's own candle rule and the charges room."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from agent.errors import SettingRefused
from agent.market.charges import charges_on, rates_for
from agent.market.instruments import Side
from agent.trailing.bulk.row import Rerun, SweepRow
from agent.trailing.candles import replay_bars
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import open_position, step
from flows.data.frame import EPOCH
from flows.sweep.entries import EntryRules
from flows.sweep.grid import read_grid
from flows.sweep.rerun import _bars, _trades
from flows.sweep.series import of_candles, of_ticks
from flows.sweep.symbol import Bench
from tests.flows.sweep.prices import GRID, bench, walk_frame, walk_series

TRIALS = [trial.policy for trial in read_grid(GRID).trials] + [
    Policy.parse(text)
    for text in (
        'mode = "atr"\nstop = "3atr"\nmultiple = 2\ntarget = "4atr"\n',
        'mode = "fixed"\nstop = "0.6%"\nstep = "0.2%"\nmove = "0.2%"\ntarget = "1%"\nfollow = 1\n',
        'mode = "percent"\nstop = "0.5%"\nshare = 1\nactivation = "1atr"\n',
    )
]


def plan_of(made: Bench, policy: Policy, n: int):
    series, entries = made.series, made.entries
    tick = Fraction(series.tick_paise, 100)
    return plan_for(
        policy,
        side=Side.LONG if entries.sign[n] > 0 else Side.SHORT,
        entry=Fraction(int(entries.entry[n]), series.scale) * tick,
        tick_size=series.tick_size,
        quantity=int(made.ledger.quantity[n]),
        on=EPOCH + timedelta(days=int(series.day[entries.at[n]])),
        atr=Fraction(int(entries.atr[n]), 1000) * tick if entries.atr[n] else None,
    )  # fmt: skip


@pytest.mark.parametrize("off_grid", [False, True])
@pytest.mark.parametrize("policy", TRIALS, ids=range(len(TRIALS)))
def test_every_trade_is_the_one_that_the_candle_rule_gives(policy: Policy, off_grid: bool) -> None:
    frame = walk_frame("NSE:AAA", days=3, bars=90)
    if off_grid:
        frame["high"] = frame["high"] + 0.02
    made = bench(of_candles(frame, 60_000, Decimal("0.05")), EntryRules(every=20))
    exits, bars = made.exits(policy), _bars(made.series)
    money = made.ledger.settle(exits.move * (made.series.tick_paise // made.series.scale))
    compared = 0
    for n in range(len(made.entries)):
        try:
            plan = plan_of(made, policy, n)
        except SettingRefused:
            assert not exits.fits[n]
            continue
        assert exits.fits[n]
        first, last = int(made.entries.first[n]), int(made.entries.last[n])
        wanted = replay_bars(plan, bars[first:last])
        tick = Fraction(made.series.tick_paise, 100)
        moved = (wanted.price - plan.entry) * int(made.entries.sign[n])
        assert int(exits.index[n]) == first + wanted.index
        assert Fraction(int(exits.move[n]), made.series.scale) * tick == moved == wanted.low
        assert Fraction(int(exits.best_move[n]), made.series.scale) * tick == wanted.high
        assert int(exits.ambiguous[n]) == wanted.ambiguous_candles
        rates = rates_for("MIS", "NSE", EPOCH + timedelta(days=int(made.day[n])))
        words = (plan.side.entry_transaction, plan.side.exit_transaction)
        values = [p * 100 * int(made.ledger.quantity[n]) for p in (plan.entry, wanted.price)]
        charged = sum(
            charges_on(rates, w, int(v)).total for w, v in zip(words, values, strict=True)
        )
        assert int(money.charges[n]) == charged
        assert int(money.gross[n]) == moved * 100 * int(made.ledger.quantity[n])
        compared += 1
    assert compared > 10


@pytest.mark.parametrize("policy", TRIALS, ids=range(len(TRIALS)))
def test_every_trade_on_ticks_is_the_one_that_the_step_gives(policy: Policy) -> None:
    draw = np.random.default_rng(5)
    stamps = 1_620_618_900_000 + np.cumsum(draw.integers(0, 4_000, 2_000))
    ticks = 20_000 + np.cumsum(draw.integers(-6, 7, 2_000))
    series = of_ticks("NSE:AAA", stamps, np.round(ticks * 0.05, 2))
    made = bench(series, EntryRules(every=150))
    exits = made.exits(policy)
    atr = dict(zip(series.atr_at.tolist(), series.atr_value.tolist(), strict=True))
    for n in range(len(made.entries)):
        if not exits.fits[n]:
            with pytest.raises(SettingRefused):
                plan_of(made, policy, n)
            continue
        plan = plan_of(made, policy, n)
        state, where = open_position(plan), int(made.entries.last[n]) - 1
        for k in range(int(made.entries.first[n]), int(made.entries.last[n])):
            now = Fraction(atr[k], 1000) if k in atr else None
            state, result = step(plan, state, int(series.prices[0][k]), now)
            if result.event == "exit":
                where = k
                break
        assert int(exits.index[n]) == where
        assert (
            exits.move[n]
            == (series.prices[0][where] - made.entries.entry[n]) * made.entries.sign[n]
        )
    assert not exits.ambiguous.any()


def test_rows_add_up_by_side_reason_and_day() -> None:
    made = bench(walk_series())
    rows, daily = made.rows(TRIALS[0])
    assert [row.side for row in rows] == ["LONG", "SHORT"]
    for row in rows:
        assert isinstance(row, SweepRow)
        assert row.entries + row.refused == len(made.entries) // 2
        assert row.stops + row.targets + row.square_offs == row.entries
        assert row.net_paise == row.gross_paise - row.charges_paise - row.slippage_paise
        assert row.low_paise == row.net_paise <= row.high_paise
    assert sum(row.ambiguous for row in rows) > 0
    assert int(daily.sum()) == sum(row.net_paise for row in rows)
    assert len(daily) == len(made.days) == 12


def test_a_policy_too_fine_for_64_bits_stops_only_itself() -> None:
    fine = 'mode = "percent"\nstop = "1.123456789123456789%"\nshare = 0.5\n'
    made = bench(walk_series(days=4))
    rows, daily = made.rows(Policy.parse(fine))
    assert sum(row.refused for row in rows) == len(made.entries) > 0
    assert not any(row.entries or row.net_paise or row.ambiguous for row in rows)
    assert not daily.any()
    assert made.rows(TRIALS[0])[0][0].entries


def test_a_rerun_s_trades_are_the_row_s() -> None:
    made = bench(walk_series(days=4))
    rows, _ = made.rows(TRIALS[1])
    for row in rows:
        trades = _trades(made, TRIALS[1], row.side)
        assert len(trades) == row.entries
        assert sum(trade.net_paise for trade in trades) == row.net_paise
        assert sum(trade.ambiguous > 0 for trade in trades) == row.ambiguous
        assert [t.entry_index for t in trades] == sorted(t.entry_index for t in trades)
        assert all(t.side.sign * (t.high - t.low) >= 0 for t in trades)
    assert Rerun.__slots__  # what the backtest reads: row.py
