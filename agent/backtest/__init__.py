"""The core against the paper exchange's matching core on a virtual clock: `simulate`."""

from agent.backtest.run import simulate
from agent.backtest.settings import Latency, Settings
from agent.backtest.signals import SignalRow

__all__ = ["Latency", "Settings", "SignalRow", "simulate"]
