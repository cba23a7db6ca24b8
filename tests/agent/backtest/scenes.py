"""Small markets, policies and signals for the tests of the backtest."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time

import numpy as np

from agent.backtest import Settings, SignalRow
from agent.backtest.market import BacktestMarket
from agent.core.rules import EntryRules, Rules, WatchRules
from agent.market.instruments import Side
from agent.market.sessions import IST, epoch_ms
from agent.paper.source import CandleSet, Columns
from agent.risk.settings import CapitalSettings, MoneySettings, RiskSettings, SizingSettings

DAY, NEXT = date(2025, 11, 3), date(2025, 11, 4)  # Monday, Tuesday
A, B = "NSE:AAA", "NSE:BBB"
# Distances in rupees, so that a mirrored market has mirrored levels. Prices stay between 5,000 and
# 10,000 ticks, where the depth shown has a spread of one.
POLICY = """\
mode = "percent"
stop = "0.40"
target = "0.60"
share = 0.6
follow = 0.5
[planner]
quiet_ms = 1500
[overtrading]
max_round_trips = 50
"""


def at(clock: str, on: date = DAY) -> int:
    return epoch_ms(datetime.combine(on, time.fromisoformat(clock), tzinfo=IST))


def candles_of(steps: np.ndarray, *, on: date = DAY, middle: int = 7_000) -> Columns:
    """Return minute candles from the open on of a walk in ticks of 0.01 around a price."""
    close = middle + np.cumsum(steps[0])
    open_ = np.concatenate(([middle], close[:-1]))
    high = np.maximum(open_, close) + steps[1]
    low = np.minimum(open_, close) - steps[2]
    ts = at("09:15", on) + 60_000 * np.arange(close.size, dtype=np.int64)
    rupees = [column * 0.01 for column in (open_, high, low, close)]
    return Columns(ts, *rupees, np.full(close.size, 50_000.0))


def walk(seed: int, minutes: int = 75) -> np.ndarray:
    """Return (3, minutes): each candle's close less its open (never 0), and its wicks, ticks."""
    rng = np.random.default_rng(seed)
    moves = rng.integers(1, 25, minutes) * rng.choice([-1, 1], minutes)
    return np.stack([moves, rng.integers(0, 12, minutes), rng.integers(0, 12, minutes)])


def mirrored(steps: np.ndarray) -> np.ndarray:
    """Return the walk of the mirror market: down for up, the lower wick for the upper."""
    return np.stack([-steps[0], steps[2], steps[1]])


def joined(*parts: Columns) -> Columns:
    names = ("ts_ms", "open", "high", "low", "close", "volume")
    return Columns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def market(candles: dict[str, Columns], *, path: str = "pessimistic") -> BacktestMarket:
    return BacktestMarket(CandleSet("minute", candles), path=path, seed=3, ticks_per_day=3_000)


def settings(**changes: object) -> Settings:
    rules = Rules(
        instance="bktt",
        entry=EntryRules(spread_bp_max=50),
        watch=WatchRules(stale_ms=60_000),
        money=MoneySettings(
            CapitalSettings(total=1_000_000),
            SizingSettings(mode="fixed_quantity", quantity=100),
            RiskSettings(max_trades=500, max_round_trips=200),
        ),
    )
    return replace(Settings(rules=rules, policy=POLICY), **changes)  # type: ignore[arg-type]


def signals(seed: int, key: str = A, *, on: date = DAY, count: int = 6) -> list[SignalRow]:
    """Return signals at the closes of some candles of the first hour."""
    rng = np.random.default_rng(seed + 1_000)
    minutes = np.sort(rng.choice(np.arange(6, 70), count, replace=False)).tolist()
    sides = [Side.LONG if up else Side.SHORT for up in rng.random(count) < 0.5]
    return [
        SignalRow(at("09:15", on) + minute * 60_000, key, side, 1.0, 0, "v1")
        for minute, side in zip(minutes, sides, strict=True)
    ]
