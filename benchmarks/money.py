"""How long a money decision takes with 200 open positions, and 100,000 steps of its property.

    PYTHONPATH=. .venv/bin/python -m benchmarks.money

One process, one thread, the garbage collector on, after a warm-up; CPU time of the thread, so that
other work on the machine does not count; the machine is named in the output. The targets: 50 us
at p99 for a whole decision (rules, sizing, every limit, margin), and 60 s for 100,000 random steps
(signals, fills in part, rejects, marks, changed settings) with every limit checked after each.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal

from agent.market.instruments import Instrument, Side
from agent.portfolio import Fill
from agent.risk import (
    Book,
    CapitalSettings,
    MoneySettings,
    Proposal,
    RiskSettings,
    Sized,
    decide_entry,
    guards,
    on_fill,
    on_mark,
    open_book,
    release,
    reserve,
)
from tests.agent.risk.test_never_exceeds import hold, long_day

ON = date(2026, 11, 25)
HELD, CALLS, STEPS = 200, 20_000, 100_000
RULES = MoneySettings(
    capital=CapitalSettings(total=Decimal(100_000_000)),
    risk=RiskSettings(max_open_positions=500, max_trades=1000, max_sector="30%"),
)
STOCKS = [Instrument(f"NSE:S{n}", n, Decimal("0.05"), freeze_quantity=100_000) for n in range(300)]


def wish(n: int, side: Side) -> Proposal:
    at = 20_000 + n * 20
    stop = at - side.sign * 250
    return Proposal(STOCKS[n], "MIS", side, at, stop, ON, band=(15_000, 30_000), depth=5_000)


def trade(n: int, side: Side, quantity: int) -> Fill:
    paise = STOCKS[n].paise(20_000 + n * 20)
    return Fill(f"t{n}", f"o{n}", STOCKS[n].key, "MIS", "NSE", side.entry_transaction, quantity,
                paise, ON, 0)  # fmt: skip


def full_book() -> Book:
    book = open_book(ON, {f"NSE:S{n}": f"sector {n % 12}" for n in range(300)})
    for n in range(HELD):
        side = Side.LONG if n % 2 else Side.SHORT
        answer = decide_entry(book, wish(n, side), RULES)
        assert isinstance(answer, Sized), answer
        book = reserve(book, answer.reserve(f"i{n}"))
        book, _ = on_fill(book, trade(n, side, min(answer.quantity, 100)), f"i{n}")
        book = release(book, f"i{n}")
    return book


def timed(call: Callable[[], object]) -> tuple[float, float]:
    for _ in range(CALLS // 10):
        call()
    taken = []
    for _ in range(CALLS):
        start = time.thread_time_ns()
        call()
        taken.append(time.thread_time_ns() - start)
    taken.sort()
    return taken[CALLS // 2] / 1000, taken[CALLS * 99 // 100] / 1000


def random_steps(count: int) -> float:
    """Return the CPU seconds of at least so many steps of the limits property, ledger included."""
    done, seed, start = 0, 0, time.process_time()
    while done < count:
        rules, events = long_day(seed)
        hold(rules, events)
        done, seed = done + len(events), seed + 1
    return time.process_time() - start


def main() -> None:
    book = full_book()
    new = wish(250, Side.LONG)
    answer = decide_entry(book, new, RULES)
    assert isinstance(answer, Sized)
    flying = reserve(book, answer.reserve("x"))
    prices = [100_500, 100_505]

    def mark() -> Book:
        prices.reverse()
        return on_mark(book, "NSE:S7", prices[0])

    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"{len(book.portfolio.positions)} positions, {CALLS} calls")  # fmt: skip
    for name, call in (
        ("entry decision", lambda: decide_entry(book, new, RULES)),
        ("reserve", lambda: reserve(book, answer.reserve("x"))),
        ("fill", lambda: on_fill(flying, trade(250, Side.LONG, 100), "x")),
        ("mark", mark),
        ("guards", lambda: guards(book, RULES)),
    ):
        p50, p99 = timed(call)
        print(f"{name:15} p50 {p50:6.1f} us   p99 {p99:6.1f} us")
    print(f"{STEPS:,} random steps, limits checked after each: {random_steps(STEPS):.1f} s of CPU")


if __name__ == "__main__":
    main()
