"""backtesting.py: a strategy that moves `trade.sl` at every bar, as its TrailingStrategy does.

Its strategies first see bar 1 and fill at the next open, so the first price stands three times at
the start: the first entry is then at the path's first tick.
"""

import time

import backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from contract import finish, start

prices, tick = start()
LEAD = 2
prices = np.concatenate([prices[:1]] * LEAD + [prices])
frame = pd.DataFrame({"Open": prices, "High": prices, "Low": prices, "Close": prices})
frame.index = pd.date_range("2026-01-01", periods=len(prices), freq="s")


class Trail(Strategy):
    def init(self):
        self.held = None

    def next(self):
        price = self.data.Close[-1]
        if not self.trades:
            self.buy(size=1)
            self.held = None
            return
        trade = self.trades[0]
        if self.held is not trade:
            self.held = trade
            self.away = int(trade.entry_price / tick * 0.01 + 1e-9) * tick
            self.best = trade.entry_price
        self.best = max(self.best, price)
        # half a tick up: floats then compare as ticks do
        trade.sl = self.best - self.away + tick / 2


def run():
    return Backtest(frame, Trail, cash=1e9, commission=0.0).run()


rates = []
for _ in range(3):
    began = time.process_time()
    found = run()
    rates.append((len(prices) - LEAD) / (time.process_time() - began))
trades = found["_trades"]
# the trade still open at the end is closed by the end of the data, not by the rule
closed = trades[trades["ExitBar"] < len(prices) - 1]
rows = np.stack([closed["EntryBar"], closed["ExitBar"]], axis=1) - LEAD
finish(backtesting.__version__, rows, rates)
