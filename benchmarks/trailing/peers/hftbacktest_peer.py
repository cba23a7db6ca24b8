"""hftbacktest: its compiled event loop over trade events; the trail is the user's own code there.

No order is sent, which favours the peer: its matching would only add to the time.
"""

import time

import hftbacktest
import numpy as np
from contract import finish, start
from hftbacktest import (
    BUY_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

prices, tick = start()
events = np.zeros(len(prices), event_dtype)
events["ev"] = TRADE_EVENT | BUY_EVENT | EXCH_EVENT | LOCAL_EVENT
events["exch_ts"] = events["local_ts"] = (np.arange(len(prices)) + 1) * 1_000_000_000
events["px"], events["qty"] = prices, 1.0


@njit
def trail(hbt, tick, out):
    held, count, index, entered = False, 0, -1, 0
    best = away = 0
    while True:
        if hbt.wait_next_feed(False, 10_000_000_000) == 1:
            return count
        last = hbt.last_trades(0)
        if len(last) == 0:
            continue
        price = int(round(last[-1].px / tick))  # noqa: RUF046  (a float in compiled code)
        hbt.clear_last_trades(0)
        index += 1
        if not held:
            held, entered, best, away = True, index, price, price // 100
        elif price <= best - away:
            out[count, 0], out[count, 1] = entered, index
            count += 1
            held = False
        elif price > best:
            best = price


def run(out):
    asset = (
        BacktestAsset()
        .data(events)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(tick)
        .lot_size(1)
        .last_trades_capacity(16)
    )
    hbt = HashMapMarketDepthBacktest([asset])
    began = time.process_time()
    count = trail(hbt, tick, out)
    took = time.process_time() - began
    hbt.close()
    return count, took


out = np.zeros((len(prices), 2), np.int64)
count, compiled_s = run(out)
rates = [len(prices) / run(out)[1] for _ in range(5)]
finish(hftbacktest.__version__, out[:count], rates, compiled_s)
