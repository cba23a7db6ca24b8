"""A sweep's row made the slow way: the step function and the candle replay, one trade at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from agent.market.charges import charges_on, rates_for
from agent.market.instruments import Side
from agent.trailing.bulk.row import Rerun, SweepRow, SweepTrade
from agent.trailing.candles import Bar, replay_bars
from agent.trailing.plan import Plan
from agent.trailing.policy import Policy, plan_for
from agent.trailing.ratchet import EXIT, open_position, step
from tests.agent.backtest.scenes import DAY, A

TICK = Decimal("0.01")
BPS = 3.0


def rerun(
    bars: list[Bar], ts_ms: list[int], entries: list[tuple[int, Side]], policy: str, quantity: int
) -> Rerun:
    """Return the row of some entries over one day's candles, or ticks a second apart."""
    parsed, interval = Policy.parse(policy), ts_ms[1] - ts_ms[0]
    made = _of_candles if interval == 60_000 else _of_ticks
    trades = tuple(
        made(bars, ts_ms, entry, _plan(parsed, side, bars[entry].open, quantity), quantity)
        for entry, side in entries
    )
    row = SweepRow(parsed.sha256, A, "LONG", len(trades), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    length = interval if interval == 60_000 else 0
    last = [len(bars) - 1] * len(bars)
    return Rerun(row, parsed, A, TICK, 1, length, ts_ms, bars, last, trades, BPS, False)


def _plan(policy: Policy, side: Side, entry: int, quantity: int) -> Plan:
    at = Fraction(entry) * Fraction(TICK)
    return plan_for(policy, side=side, entry=at, tick_size=TICK, quantity=quantity, on=DAY)


def _of_candles(
    bars: list[Bar], ts_ms: list[int], entry: int, plan: Plan, quantity: int
) -> SweepTrade:
    left = replay_bars(plan, bars[entry:])
    sign, at = plan.side.sign, int(bars[entry].open)
    low, high = (at + sign * round(pnl / Fraction(TICK)) for pnl in (left.low, left.high))
    exit_, end = round(left.price / Fraction(TICK)), entry + left.index
    net = _net(plan.side, at, exit_, quantity)
    return SweepTrade(
        entry, ts_ms[entry], plan.side, at, quantity, end, ts_ms[end], exit_, left.reason,
        left.ambiguous_candles, low, high, net,
    )  # fmt: skip


def _of_ticks(
    bars: list[Bar], ts_ms: list[int], entry: int, plan: Plan, quantity: int
) -> SweepTrade:
    state, reason, end = open_position(plan), "end", len(bars) - 1
    for n in range(entry + 1, len(bars)):
        state, result = step(plan, state, int(bars[n].close))
        if result.event == EXIT:
            reason, end = str(result.reason), n
            break
    at, exit_ = int(bars[entry].open), int(bars[end].close)
    net = _net(plan.side, at, exit_, quantity)
    return SweepTrade(
        entry, ts_ms[entry], plan.side, at, quantity, end, ts_ms[end], exit_, reason, 0, exit_,
        exit_, net,
    )  # fmt: skip


def _net(side: Side, entry: int, exit_: int, quantity: int) -> int:
    rates = rates_for("MIS", "NSE", DAY)
    came, went = entry * quantity, exit_ * quantity
    charges = (
        charges_on(rates, side.entry_transaction, came).total
        + charges_on(rates, side.exit_transaction, went).total
    )
    return side.sign * (went - came) - charges - int((came + went) * BPS / 1e4)
