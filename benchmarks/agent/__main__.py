"""`python -m benchmarks.agent`: decisions, money, and the paper exchange under load.

Prints a table and writes HOME/bench/agent.json; `against` is the bound that the design sets.
Decisions are by the CPU time of the process, the exchange's figures by the wall's clock: on a
loaded machine the former hold, the latter are upper bounds. `--autogroup -10` (root) puts exchange
and clients ahead of other work.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.risk import decide_entry
from benchmarks import money
from benchmarks.agent.exchange import served
from benchmarks.agent.load import lockstep_day, orders
from benchmarks.figures import Figure, figure, keep
from benchmarks.trailing.decide_events import EVENTS_BAR, preset, scenes

CALLS = 20_000
INSTRUMENTS, CONNECTIONS, ORDERS_A_SECOND, SECONDS = 500, 3, 50, 15
REST_P99_MS, DAY_S, DECISION_P99_US, STEPS_S = 20.0, 60.0, 50.0, 60.0
POLICY = "hybrid_intraday"


def decisions(data: Path | None, ticks: int) -> Iterator[Figure]:
    """Events a second through `decide`, with open trades and without."""
    for name, told in scenes(preset(POLICY), data, ticks):
        yield figure(f"decide, {name}", told["events_a_second"], "events/s", EVENTS_BAR)


def amounts() -> Iterator[Figure]:
    """Sizing and every limit for one entry, beside 200 open positions."""
    book, new = money.full_book(), money.wish(250, money.Side.LONG)
    gc.collect()
    took = []
    for _ in range(CALLS):
        begin = time.thread_time_ns()
        decide_entry(book, new, money.RULES)
        took.append((time.thread_time_ns() - begin) / 1000)
    took = sorted(took[CALLS // 10 :])  # the first ones warm up
    name = f"sizing and limits, {money.HELD} positions"
    yield figure(f"{name}, p50 (CPU)", took[len(took) // 2], "us")
    yield figure(f"{name}, p99 (CPU)", took[len(took) * 99 // 100], "us", DECISION_P99_US)
    steps = f"{money.STEPS:,} random steps, every limit checked after each (CPU)"
    yield figure(steps, money.random_steps(money.STEPS), "s", STEPS_S)


def prefer(pid: int | str, autogroup: int) -> None:
    """Set a process's scheduling group's nice value: `nice` alone works only within a session."""
    if autogroup:
        Path(f"/proc/{pid}/autogroup").write_text(str(autogroup))


def under_load(seconds: float, autogroup: int) -> Iterator[Figure]:
    """REST latencies at 50 orders a second beside 1,000 ticks a second to 3 tickers."""
    with tempfile.TemporaryDirectory() as folder:
        minutes = int(2 * (seconds + 60) // 60) + 2
        with served(Path(folder), INSTRUMENTS, minutes, "--speed", "2") as exchange:
            prefer(exchange.pid, autogroup)
            before = exchange.cpu_s()
            told = orders(exchange.port, tickers=CONNECTIONS, rate=ORDERS_A_SECOND, seconds=seconds)
            took, heard, spent = asyncio.run(told)
            busy = (exchange.cpu_s() - before) / spent
    took.sort()
    name = f"exchange, {INSTRUMENTS} full at 2/s to {CONNECTIONS}, {ORDERS_A_SECOND} orders/s"
    yield figure(f"{name}: order p50", took[len(took) // 2], "ms")
    yield figure(f"{name}: order p99", took[len(took) * 99 // 100], "ms", REST_P99_MS)
    yield figure(f"{name}: orders answered", len(took), "orders", ORDERS_A_SECOND * seconds)
    wanted = 2.0 * INSTRUMENTS * CONNECTIONS
    yield figure(f"{name}: packets received", heard.packets / spent, "packets/s", wanted)
    yield figure(f"{name}: of its core", busy, "share", 1.0)


def a_day(autogroup: int) -> Iterator[Figure]:
    """A lock-step day of ten instruments at a tick a second, one client."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), 10, 375, "--lockstep") as exchange,
    ):
        prefer(exchange.pid, autogroup)
        before = exchange.cpu_s()
        instants, heard, spent = asyncio.run(lockstep_day(exchange.port))
        cpu = exchange.cpu_s() - before
    yield figure("lock-step day, 10 instruments at 1/s, one client", spent, "s", DAY_S)
    yield figure("lock-step day: the exchange's CPU", cpu, "s")
    yield figure("lock-step day: instants", instants, "instants")
    yield figure("lock-step day: packets received", heard.packets, "packets", 10 * 22_500)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent")
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the orders' load")
    parser.add_argument("--ticks", type=int, default=40_000, help="of each decide scene")
    parser.add_argument("--data", type=Path, help="folder with nse_ticks_1s_*.parquet")
    parser.add_argument(
        "--autogroup", type=int, default=0, help="-10: ahead of other work (needs root)"
    )
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    figures = [*decisions(options.data, options.ticks), *amounts()]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.autogroup:
        prefer("self", options.autogroup)
    figures += [*under_load(options.seconds, options.autogroup), *a_day(options.autogroup)]
    keep("agent", figures, options.home)


if __name__ == "__main__":
    main()
