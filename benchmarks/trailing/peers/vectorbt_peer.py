"""vectorbt's own trailing stop (`sl_trail`), its distance set to the rule's whole ticks.

It trails a share of the peak, so `adjust_sl_func_nb` says which share the rule's distance is; half
a tick is taken off, so that floats compare as the ticks do. An exit is at the tick's price, the
next entry at the next tick: signals are always on, and a column holds one position.
"""

import time

import numpy as np
import vectorbt as vbt
from contract import finish, rule_ticks, start
from numba import njit
from vectorbt.portfolio.enums import StopExitPrice

prices, tick = start()


@njit
def share_of_peak(c, tick):
    away = np.floor(c.init_price / tick * 0.01 + 1e-9)
    return (away - 0.5) * tick / c.curr_price, True


def run():
    return vbt.Portfolio.from_signals(
        prices, entries=True, exits=False, open=prices, high=prices, low=prices,
        sl_stop=0.01, sl_trail=True, adjust_sl_func_nb=share_of_peak, adjust_sl_args=(tick,),
        stop_exit_price=StopExitPrice.Close, size=1.0, init_cash=1e12, fees=0.0, freq="1s",
    )  # fmt: skip


began = time.process_time()
portfolio = run()
compiled_s = time.process_time() - began
rates = []
for _ in range(5):
    began = time.process_time()
    run()
    rates.append(len(prices) / (time.process_time() - began))
trades = portfolio.trades.records
closed = trades[trades["status"] == 1]
rows = np.stack([closed["entry_idx"], closed["exit_idx"]], axis=1)
finish(vbt.__version__, rows, rates, compiled_s)
assert rule_ticks(20_000) == 200
