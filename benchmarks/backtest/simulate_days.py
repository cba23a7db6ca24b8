"""How fast is `simulate`? Events a second and seconds a symbol-day, in process time.

    python benchmarks/backtest/simulate_days.py candles.parquet NSE:WIPRO [days]
    python benchmarks/backtest/simulate_days.py ticks.parquet NSE:INFY --ticks

Four signals a day, one policy. Process time, not wall time: other work on the machine inflates it
less. What a day costs is mostly how long something is open: ticks that nobody looks at are cheap.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from datetime import time as clock

import numpy as np

from agent.backtest import Settings, SignalRow, simulate
from agent.backtest.market import BacktestMarket, Ticks, market_of_candles, market_of_ticks
from agent.market.instruments import Side
from agent.market.sessions import IST, epoch_ms
from agent.paper.source import read_candles

POLICY = 'mode = "percent"\nstop = "0.8%"\ntarget = "1.6%"\nshare = 0.6\nfollow = 0.5\n'
AT = (clock(9, 45), clock(11, 0), clock(12, 15), clock(13, 30))


def main() -> None:
    path, key = sys.argv[1], sys.argv[2]
    market = of_ticks(path, key) if "--ticks" in sys.argv else of_candles(path, key)
    rows = [
        SignalRow(epoch_ms(datetime.combine(on, at, tzinfo=IST)), key, side)
        for on in market.days
        for at, side in zip(AT, (Side.LONG, Side.SHORT) * 2, strict=True)
    ]
    times, result = [], None
    for _ in range(3):
        began = time.process_time()
        result = simulate(market, rows, Settings(policy=POLICY))
        times.append(time.process_time() - began)
    assert result is not None
    seconds, days = sorted(times)[1], len(result.days)
    ticks = sum(len(market.tape(key, on).times) for on in market.days)
    events = sum(day.events for day in result.days)
    print(
        f"{result.path}: {days} symbol-days, {ticks:,} ticks, {len(result.trips)} trades: "
        f"{seconds / days:.3f} s a symbol-day, {ticks / seconds:,.0f} ticks/s, "
        f"{events / seconds:,.0f} events/s (median of 3, process time)"
    )


def of_candles(path: str, key: str) -> BacktestMarket:
    days = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    source = read_candles(path)
    market = market_of_candles({key: source.candles[key]}, source.interval)
    return market.between(market.days[20], market.days[19 + days])


def of_ticks(path: str, key: str) -> BacktestMarket:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    table = table.filter(pc.equal(table["symbol"], key.partition(":")[2]))
    ts = table["ts"].cast("int64").to_numpy() // 1_000  # stamps in microseconds
    paise, volume = (table[name].to_numpy().astype(np.int64) for name in ("ltp_paise", "volume"))
    on = datetime.fromtimestamp(int(ts[0]) / 1000, IST).date()
    return market_of_ticks({(key, on): Ticks(ts, paise, volume)})


if __name__ == "__main__":
    main()
