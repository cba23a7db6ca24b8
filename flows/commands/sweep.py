"""`ratchet sweep`: a grid of trailing policies over many prices, and what its best is worth."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.console import emit, tell
from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME
from flows.commands.typed import text_of

if TYPE_CHECKING:
    from flows.home import Home
    from flows.sweep.run import Rules
    from flows.sweep.source import Asked

SIDES = {"both": (1, -1), "long": (1,), "short": (-1,)}
LINES = 20  # of progress, where stderr is no terminal


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("sweep")(sweep)


def sweep(  # noqa: PLR0913, PLR0917  (one parameter an option)
    grid: Annotated[
        Path, typer.Option(help="A policy in TOML in which keys may hold lists of values.")
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Dataset in the store [default: the home's own].")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Files instead: candles or ticks, .parquet or .csv (quote the pattern)."),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="With --data: which candle files to take.")
    ] = None,
    symbols: Annotated[
        list[str] | None, typer.Option(help="NSE:A,NSE:B; may be repeated [default: all].")
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Enter every so many candles [default: by interval].", min=1)
    ] = None,
    side: Annotated[str, typer.Option(help="both, long or short.")] = "both",
    signals: Annotated[
        Path | None, typer.Option(help="Enter where this CSV (ts,symbol,side) says instead.")
    ] = None,
    entry_from: Annotated[str, typer.Option(help="First entry of a day, HH:MM.")] = "09:20",
    entry_until: Annotated[str, typer.Option(help="Last entry of a day, HH:MM.")] = "14:45",
    square_off: Annotated[str, typer.Option(help="All flat by then, HH:MM.")] = "15:05",
    notional: Annotated[int, typer.Option(help="Value of a trade, rupees.", min=1)] = 100_000,
    slippage_bps: Annotated[
        float, typer.Option(help="Lost on each order, basis points.", min=0, max=1000)
    ] = 1.5,
    tick_size: Annotated[
        str | None, typer.Option(help="Tick, rupees [default: the coarsest that fits the prices].")
    ] = None,
    heat: Annotated[
        str | None, typer.Option("--map", help="Two keys of the heat map [default: the longest].")
    ] = None,
    top: Annotated[int, typer.Option(help="Policies shown.", min=1)] = 10,
    jobs: Annotated[
        int | None, typer.Option(help="Processes [default: one a core].", min=1)
    ] = None,
    verify: Annotated[
        int,
        typer.Option(help="Run trades of the best so many again through the agent itself.", min=0),
    ] = 0,
    # about a minute: a day of 1-second ticks takes the agent a third of a second
    verify_trades: Annotated[
        int, typer.Option(help="How many trades --verify runs at most.", min=1)
    ] = 120,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Try every policy of a grid on every symbol, after charges, and say what luck explains.

    Finished parts are kept: the same command goes on where it was stopped, also after kill -9.

    Example: ratchet sweep --grid grid.toml --data 'candles/*.parquet'
    """
    from flows.home import Home

    opened = Home.open(home)
    asked = _asked(dataset, data, interval, symbols, tick_size)
    times = (entry_from, entry_until, square_off)
    rules = _rules(every, side, signals, times, notional, slippage_bps)
    keys = tuple(key.strip() for key in (heat or "").split(",") if key.strip())
    show = _Show(keys, top, jobs or os.cpu_count() or 1, verify, verify_trades)
    told = _swept(opened, asked, rules, grid, show)
    emit(told, as_json=as_json, human=lambda: _draw(told))


@dataclass(frozen=True, slots=True)
class _Show:
    """What decides no figure of a sweep: how much is shown, and by how many processes."""

    keys: tuple[str, ...]
    top: int
    jobs: int
    verify: int
    verify_trades: int


def _swept(home: Home, asked: Asked, rules: Rules, grid: Path, show: _Show) -> dict[str, Any]:
    """Run, judge and write a sweep; return its document."""
    from flows.sweep import picture, results, run, source
    from flows.sweep.grid import read_grid

    policies = read_grid(text_of(grid, "--grid"), source=str(grid))
    if show.keys:
        picture.axes_of({"axes": [{"key": a.key, "values": a.values} for a in policies.axes]},
                        show.keys)  # fmt: skip
    with source.opened(home, asked) as found:
        for line in _announced(found, policies):
            tell(line)
        with _progress() as progress:
            folder = run.run(home, policies, found, rules, jobs=show.jobs, progress=progress)
        outcome = results.collect(folder)
        told = results.document(outcome, top=show.top)
        for line in _unfit(outcome):
            tell(line)
        if show.verify:
            from flows.sweep.verify import verified

            told["verified"] = verified(
                outcome, found, rules,
                policies=show.verify, trades=show.verify_trades, tell=tell,
            )  # fmt: skip
    results.write_page(folder, picture.page(outcome.described, outcome.worth, show.keys, told))
    told |= {"results": str(folder / results.RESULTS), "map": str(folder / results.PAGE)}
    results.write_summary(folder, told)
    return told


def _asked(
    dataset: str | None,
    data: str | None,
    interval: str | None,
    symbols: list[str] | None,
    tick_size: str | None,
) -> Asked:
    from flows.sweep.source import Asked

    if data is not None and dataset is not None:
        raise SettingRefused(
            "--dataset, --data", given="both", allowed="one of them", fix="leave one out"
        )
    named = tuple(s.strip() for text in symbols or () for s in text.split(",") if s.strip())
    return Asked(dataset, data, interval, named, _tick(tick_size))


def _rules(
    every: int | None,
    side: str,
    signals: Path | None,
    times: tuple[str, str, str],
    notional: int,
    slippage_bps: float,
) -> Rules:
    from flows.sweep.entries import EntryRules, minutes
    from flows.sweep.money import Terms
    from flows.sweep.run import Rules
    from flows.sweep.signals import read_signals

    if side not in SIDES:
        raise SettingRefused("--side", given=side, allowed=", ".join(SIDES), fix="choose one")
    if signals is not None and every is not None:
        raise SettingRefused(
            "--every, --signals", given="both", allowed="one of them", fix="leave one out"
        )
    entries = EntryRules(every, SIDES[side], *times)
    for name in ("entry_from", "entry_until", "square_off"):
        minutes(entries, name)
    read = None if signals is None else read_signals(text_of(signals, "--signals"), str(signals))
    return Rules(entries, Terms(notional, slippage_bps), read)


def _tick(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise SettingRefused(
            "--tick-size", given=text, allowed="rupees above 0, like 0.05", fix="mend it"
        )
    return value


def _announced(found: Any, policies: Any) -> Iterator[str]:
    from flows.sweep.results import SIMULATED

    for line in found.skipped:
        yield f"skipped {line}"
    if found.simulated_path:
        yield SIMULATED
    if policies.left_out:
        yield f"left out {policies.left_out} combinations, the first: {policies.why_left_out}"
    yield (
        f"{len(policies.trials):,} policies over {len(found.symbols)} symbols of {found.label} "
        f"({found.interval})"
    )


def _unfit(outcome: Any) -> Iterator[str]:
    sums = outcome.worth.sums
    unfit = ((sums["entries"] == 0) & (sums["refused"] > 0)).nonzero()[0].tolist()
    if unfit:
        first = outcome.described["policies"][unfit[0]]
        yield (
            f"{len(unfit):,} policies fit at no entry (a stop under two ticks, no ATR, decimals "
            f"too fine for 64 bits), the first: {first['sha256'][:8]} {', '.join(first['values'])}"
        )


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """Yield what is told of each finished part: a bar on a terminal, else now and then a line."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("parts", total=None)

        def told(done: int, total: int, symbol: str) -> None:
            shown.update(task, completed=done, total=total, description=symbol or "parts")

        yield told


def _line(done: int, total: int, symbol: str) -> None:
    if not symbol:
        if done:
            tell(f"{done}/{total} parts are there from before")
    elif done % max(1, total // LINES) == 0 or done == total:
        tell(f"{done}/{total} parts, last {symbol}")


def _draw(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from flows.sweep.picture import shown
    from flows.sweep.results import SIMULATED

    table = Table(title="best by net result, rupees a trade after charges and slippage")
    keys = list(told["top"][0]["values"]) if told["top"] else []
    heads = ("trades", "net", "band", "unsure", "gross", "charges", "Sharpe/yr", "deflated")
    for name in ("#", *keys, *heads):
        table.add_column(name, justify="right")
    for row in told["top"]:
        table.add_row(
            str(row["rank"]), *row["values"].values(), f"{row['trades']:,}",
            shown(row["net_a_trade"]),
            f"{shown(row['low_a_trade'])} … {shown(row['high_a_trade'])}",
            f"{row['ambiguous'] / row['trades']:.0%}" if row["trades"] else "-",
            shown(row["gross_a_trade"]), shown(row["charges_a_trade"]),
            shown(row["sharpe_a_year"]), shown(row["deflated_sharpe"]),
        )  # fmt: skip
    if told["simulated_path"]:
        print(SIMULATED)
    print(
        f"{told['policies']:,} policies, {told['symbols']} symbols of {told['data']} "
        f"({told['interval']}), {told['first']} to {told['last']}, {told['days']} days"
    )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for again in told.get("verified", ()):
        print(f"again by the agent: policy {again['policy_sha256'][:8]}: {again['told']}")
    tried = f"{told['trials']:,} trials on these data so far"
    over = told["overfitting_probability"]
    print(tried + ("" if over is None else f"; probability of overfitting {over:.0%}"))
    print(told["warning"].removeprefix(SIMULATED).strip())
    print(f"results {told['results']}\nmap     {told['map']}")
