"""The trail over recorded tick days: the tables of docs/trailing.md.

    python benchmarks/trailing/real_days.py DATA [band|budget|follow|all] [--entries N]
    python benchmarks/trailing/real_days.py DATA csv --symbol INFY --on 2021-05-10 > ticks.csv

DATA is a folder of `nse_ticks_1s_*.parquet` (symbol, ts, ltp_paise). Positions are entered at the
open of evenly spaced minutes, both sides, and run to their exit or the end of the day. Prints
Markdown. Needs pyarrow (the paper extra).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

from agent.market.instruments import Side
from agent.trailing.atr import Wilder
from agent.trailing.candles import PATHS, Bar, Choice, examine, for_candles, open_walk
from agent.trailing.plan import Plan
from agent.trailing.policy import Policy, plan_for
from agent.trailing.presets import PRESETS
from agent.trailing.ratchet import open_position, step
from agent.trailing.replay import BudgetTrial

TICK = Decimal("0.05")  # NSE's grid for every one of these stocks in 2021
MINUTE_MS = 60_000
SCALED_EXAMPLE = 'mode = "fixed"\nstop = "0.4%"\ntarget = "0.8%"\nstep = "0.4%"\nmove = "0.4%"\n'
TIGHT = (
    'mode = "hybrid"\nstop = "0.4%"\ntarget = "0.8%"\nshare = 0.6\nmin_distance = "0.1%"\n'
    'follow = 0.5\nmax_distance = "0.4%"\n'
)


@dataclass(frozen=True)
class Minute:
    """One minute of a day: its ticks as (time, price), and the ATR known when it begins."""

    ticks: list[tuple[int, int]]
    atr_before: Fraction | None

    @property
    def bar(self) -> tuple[int, int, int, int]:
        prices = [price for _, price in self.ticks]
        return prices[0], max(prices), min(prices), prices[-1]


@dataclass(frozen=True)
class Day:
    """One symbol on one day, in whole ticks."""

    symbol: str
    on: date
    minutes: list[Minute]


def days(
    folder: Path, *, only: tuple[str, ...] = (), pattern: str = "nse_ticks_1s_*.parquet"
) -> Iterator[Day]:
    """Yield each symbol (or `only` these) of each tick file; nobody trades the indices."""
    parquet: Any = __import__("pyarrow.parquet").parquet
    for file in sorted(folder.glob(pattern)):
        table = parquet.read_table(file, filters=[("symbol", "in", only)] if only else None)
        names = table.column("symbol").to_pylist()
        times = table.column("ts").cast("int64").to_pylist()
        paise = table.column("ltp_paise").to_pylist()
        on = date.fromisoformat(file.stem[-10:])
        starts = [i for i in range(len(names)) if i == 0 or names[i] != names[i - 1]]
        wanted = [i for i in starts if not names[i].startswith("NIFTY")]
        ends = dict(zip(starts, [*starts[1:], len(names)], strict=True))
        for start in wanted:
            rows = range(start, ends[start])
            ticks = [(times[i] // 1000, paise[i] // 5) for i in rows]
            yield Day(names[start], on, list(_minutes(ticks)))


def _minutes(ticks: list[tuple[int, int]]) -> Iterator[Minute]:
    wilder, known, held = Wilder(14), None, list[tuple[int, int]]()
    for tick in ticks:
        if held and tick[0] // MINUTE_MS != held[0][0] // MINUTE_MS:
            minute = Minute(held, known)
            yield minute
            _, high, low, close = minute.bar
            known = wilder.add(high, low, close) or known
            held = []
        held.append(tick)
    yield Minute(held, known)


def positions(day: Day, policy: Policy, entries: int) -> Iterator[tuple[Plan, list[Minute]]]:
    """Yield plans entered at the first tick of evenly spaced minutes, both sides."""
    first, last = 15, len(day.minutes) - 5
    for n in range(entries):
        minute = first + (last - first) * n // entries
        rest = day.minutes[minute:]
        for side in Side:
            entry = TICK * rest[0].ticks[0][1]
            atr = rest[0].atr_before
            yield (
                plan_for(
                    policy,
                    side=side,
                    entry=entry,
                    tick_size=TICK,
                    quantity=100,
                    on=day.on,
                    atr=None if atr is None else atr * Fraction(TICK),
                ),
                rest,
            )


@dataclass(frozen=True)
class TickResult:
    """How the ticks ended: P&L in ticks a share, the minute of the exit, its reason."""

    pnl: Fraction
    minute: int
    reason: str
    trial: dict[str, object] | None = None


def over_ticks(plan: Plan, rest: list[Minute], *, modifications: int | None = None) -> TickResult:
    """Run one position over the ticks."""
    state, entry = open_position(plan), plan.entry / Fraction(TICK)
    trial = None if modifications is None else BudgetTrial(plan, modifications)
    price, number, reason, stop = rest[0].ticks[0][1], 0, "end", plan.stop
    stream = ((n, ts_ms, p) for n, minute in enumerate(rest) for ts_ms, p in minute.ticks)
    for number, ts_ms, price in stream:
        if trial is not None:
            trial.before(ts_ms)
        state, result = step(plan, state, price, rest[number].atr_before)
        if result.event == "exit":
            reason = result.reason or ""
            break
        if trial is not None and state.stop != stop:
            stop = state.stop
            trial.follow(stop, ts_ms)
    line = None
    if trial is not None:
        if reason != "end":
            trial.exit(price, reason == "stop", (p for _, _, p in stream))
        line = trial.line(price * Fraction(TICK)).fields
    return TickResult(plan.side.sign * (price - entry), number, reason, line)


def texts(*, tight: bool = True) -> dict[str, str]:
    """The policies of the tables: the presets without tick-only rules, and a tight one."""
    found = {}
    for name in PRESETS[1:]:
        text = (resources.files("agent.trailing.presets") / f"{name}.toml").read_text()
        found[name] = text.split("[whipsaw]")[0]
    found["user_example, 0.4 %, follow 1"] = SCALED_EXAMPLE + "follow = 1\n"
    if tight:
        found["tight hybrid"] = TIGHT
    return found


# ---------------------------------------------------------------------------- band


def band_of(plan: Plan, rest: list[Minute]) -> tuple[Choice, dict[str, Fraction], int | None]:
    """Return the band, each path's P&L in ticks, and the minute of the first certain exit."""
    plan = for_candles(plan)
    choices = {path: Choice(plan, path) for path in PATHS}
    walk, certain, bar = open_walk(plan), None, None
    for number, minute in enumerate(rest):
        after = rest[number + 1].atr_before if number + 1 < len(rest) else None
        bar = Bar(*minute.bar, after)
        candle = examine(plan, walk, bar)
        for choice in choices.values():
            choice.see(walk, bar, candle)
        if candle.certain:
            certain = number
            break
        walk = candle.after
    if certain is None and bar is not None:
        for choice in choices.values():
            choice.end(walk, bar)
    tick = Fraction(TICK)
    pnl = {
        path: plan.side.sign * (choice.result().price - plan.entry) / tick
        for path, choice in choices.items()
    }
    return choices["pessimistic"], pnl, certain


def band_table(every: list[Day], entries: int) -> list[dict[str, Any]]:
    """Compare every tick result with the band of its candles, a row a policy."""
    rows = []
    for name, text in texts().items():
        policy = Policy.parse(text, source=name)
        row = dict.fromkeys(
            (
                "positions",
                "inside",
                "unsure",
                "failed",
                "width",
                "pessimistic",
                "optimistic",
                "colour",
            ),
            0.0,
        )
        for day in every:
            for plan, rest in positions(day, policy, entries):
                ticks = over_ticks(plan, rest)
                choice, pnl, certain = band_of(plan, rest)
                result, bp = choice.result(), float(10_000 * Fraction(TICK) / plan.entry)
                low, high = result.low / Fraction(TICK), result.high / Fraction(TICK)
                row["positions"] += 1
                row["inside"] += low <= ticks.pnl <= high
                row["unsure"] += result.ambiguous
                happened = ticks.reason != "end" and ticks.minute <= (certain or 0)
                row["failed"] += certain is not None and not happened
                row["width"] += float(high - low) * bp
                for path, value in pnl.items():
                    row[path] += float(value - ticks.pnl) * bp
        rows.append({"policy": name, **row})
    return rows


def print_band(rows: list[dict[str, Any]]) -> None:
    print(
        "| policy | positions | tick result inside the band | certain exits that did not happen |"
        " with an ambiguous candle | mean band, bp | pessimistic - ticks, bp |"
        " colour - ticks, bp | optimistic - ticks, bp |"
    )
    print("| --- |" + " ---: |" * 8)
    for row in rows:
        n = row["positions"]
        print(
            f"| {row['policy']} | {n:,.0f} | {row['inside']:,.0f} | {row['failed']:.0f} | "
            f"{100 * row['unsure'] / n:.1f} % | {row['width'] / n:.2f} | "
            f"{row['pessimistic'] / n:+.2f} | {row['colour'] / n:+.2f} | "
            f"{row['optimistic'] / n:+.2f} |"
        )


# ---------------------------------------------------------------------------- budget


def print_budget(every: list[Day], entries: int) -> None:
    print(
        "| policy | budget | positions | moves of the desired stop, mean (max) |"
        " calls, mean (max) | P&L against unlimited, bp a trade | worst trade, bp |"
    )
    print("| --- |" + " ---: |" * 6)
    for name, text in texts().items():
        policy = Policy.parse(text, source=name)
        for budget in (25, 10, 3):
            count, calls, moves, cost, worst = 0, [], [], 0.0, 0.0
            for day in every:
                for plan, rest in positions(day, policy, entries):
                    line = over_ticks(plan, rest, modifications=budget).trial or {}
                    lost = float((line["pnl"] - line["unlimited_pnl"]) / plan.entry) * 10_000  # type: ignore[operator]
                    count, cost, worst = count + 1, cost + lost, min(worst, lost)
                    calls.append(line["calls"])
                    moves.append(line["unlimited_calls"])
            print(
                f"| {name} | {budget} | {count:,} | {sum(moves) / count:.1f} ({max(moves)}) | "
                f"{sum(calls) / count:.1f} ({max(calls)}) | {cost / count:+.3f} | {worst:+.1f} |"
            )


# ---------------------------------------------------------------------------- follow


def print_follow(every: list[Day], entries: int) -> None:
    """The user's example scaled: risk 0.4 %, reward 0.8 %; how often is the target reached?"""
    print("| follow | trades | target reached | stopped | open at the day's end | mean P&L, bp |")
    print("| ---: |" + " ---: |" * 5)
    for follow in ("1", "0.5", "0"):
        policy = Policy.parse(SCALED_EXAMPLE + f"follow = {follow}\n")
        ended, total = {"target": 0, "stop": 0, "end": 0}, 0.0
        for day in every:
            for plan, rest in positions(day, policy, entries):
                result = over_ticks(plan, rest)
                ended[result.reason] += 1
                total += float(result.pnl * Fraction(TICK) / plan.entry) * 10_000
        count = sum(ended.values())
        print(
            f"| {follow} | {count:,} | {ended['target']:,} | {ended['stop']:,} | "
            f"{ended['end']:,} | {total / count:+.2f} |"
        )


def print_csv(folder: Path, symbol: str, on: str, after: str) -> None:
    """Print a day as `replay --ticks` reads it."""
    (day,) = days(folder, only=(symbol,), pattern=f"nse_ticks_1s_{on}.parquet")
    begin = datetime.fromisoformat(f"{on}T{after}:00+05:30").timestamp() * 1000
    print("ts,price")
    for minute in day.minutes:
        for ts_ms, price in minute.ticks:
            if ts_ms >= begin:
                print(f"{ts_ms},{price * TICK}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "table", nargs="?", default="all", choices=["band", "budget", "follow", "all", "csv"]
    )
    parser.add_argument(
        "--entries", type=int, default=5, help="entries a symbol and day, each on both sides"
    )
    parser.add_argument("--symbol", default="INFY", help="csv: which")
    parser.add_argument("--on", default="2021-05-10", help="csv: which day")
    parser.add_argument("--after", default="09:15", help="csv: from this minute on")
    asked = parser.parse_args()
    if asked.table == "csv":
        print_csv(asked.data, asked.symbol, asked.on, asked.after)
        return
    every = list(days(asked.data))
    if asked.table in ("follow", "all"):
        print_follow(every, asked.entries)
    if asked.table in ("band", "all"):
        print_band(band_table(every, asked.entries))
    if asked.table in ("budget", "all"):
        print_budget(every, asked.entries)


if __name__ == "__main__":
    main()
