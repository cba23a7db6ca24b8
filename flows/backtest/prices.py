"""Over which prices: stored candles as the market of a simulation."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np

from agent.backtest.market import BacktestMarket, market_of_candles
from agent.paper.source import Columns
from flows.data.frame import ts_ms


def columns_of(candles: Any) -> Columns:
    """Return a candle frame of one symbol as the market's columns."""
    open_, high, low, close, volume = (
        np.ascontiguousarray(candles[name].to_numpy(dtype=np.float64))
        for name in ("open", "high", "low", "close", "volume")
    )
    return Columns(ts_ms(candles), open_, high, low, close, volume)


def market_between(
    frames: Iterable[tuple[str, Any]], interval: str, days: tuple[date, date], **chosen: Any
) -> BacktestMarket:
    """Return the market of symbols on the days between two.

    Parameters
    ----------
    frames : pairs of key and candle frame; candles before the days are history
    interval : str
    days : first and last, both inclusive
    **chosen
        `path` and `seed`, as `agent.backtest.market.market_of_candles` takes them.

    Raises
    ------
    agent.errors.SettingRefused
        If there is no candle, or none on those days.
    """
    columns = {key: columns_of(frame) for key, frame in frames}
    return market_of_candles(columns, interval, **chosen).between(*days)
