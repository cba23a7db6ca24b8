"""What came of it: lots, profit and loss, settlement, the daily report. Pure.

`agent.risk.Book` carries a `Portfolio` and moves it; read it with `statement` and `whole`.
"""

from agent.portfolio.lots import Closed, Fill, Lot, Position, PositionState
from agent.portfolio.pnl import Line, Portfolio, freeze, next_day, statement, unfreeze, whole

__all__ = [
    "Closed",
    "Fill",
    "Line",
    "Lot",
    "Portfolio",
    "Position",
    "PositionState",
    "freeze",
    "next_day",
    "statement",
    "unfreeze",
    "whole",
]
