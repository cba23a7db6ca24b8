"""`ratchet backtest`: past signals through the agent itself, and what they were worth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit, tell
from agent.errors import SettingRefused
from agent.home import DEFAULT_HOME
from agent.program import date_option
from flows.commands.typed import only_dataset, text_of

PATHS = ("pessimistic", "colour", "drawn")
LINES = 20  # of progress, where stderr is no terminal


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("backtest")(backtest)


def backtest(  # noqa: PLR0913, PLR0917  (one parameter an option)
    model: Annotated[str | None, typer.Option(help="A registered model's signals.")] = None,
    version: Annotated[int | None, typer.Option(help="Its version [default: the latest].")] = None,
    signals: Annotated[
        Path | None, typer.Option(help="A CSV file's signals instead: ts,symbol,side.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="With --signals: trailing policy, TOML [default: the packaged one]."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Candles in the store [default: the home's own].")
    ] = None,
    symbols: Annotated[
        list[str] | None, typer.Option(help="NSE:A,NSE:B; may be repeated [default: all].")
    ] = None,
    first: Annotated[
        str | None, typer.Option(help="First day [default: after the version's training].")
    ] = None,
    last: Annotated[str | None, typer.Option(help="Last day, inclusive.")] = None,
    path: Annotated[
        str, typer.Option(help="Inside a candle: pessimistic, colour, or drawn (proves nothing).")
    ] = "pessimistic",
    latency_ms: Annotated[
        int, typer.Option(help="One way to the broker and back, ms each.", min=0, max=60_000)
    ] = 50,
    seed: Annotated[int, typer.Option(help="Of the depth shown and of resampling.", min=0)] = 1,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Trade past signals with the agent's own decisions against the paper exchange's core.

    Entries, stops, sizes and limits are the agent's, by the settings of this home.

    Example: ratchet backtest --model sample --first 2024-01-01
    """
    from flows.home import Home

    opened = Home.open(home)
    from flows.backtest.ask import Asked
    from flows.backtest.ask import backtest as run

    if (model is None) is (signals is None):
        raise SettingRefused(
            "--model, --signals",
            given="both" if model else "neither",
            allowed="one of them",
            fix="say whose signals are to be traded",
        )
    if policy is not None and signals is None:
        raise SettingRefused(
            "--policy", given="with --model", allowed="with --signals only",
            fix="leave it out: a version trades by its own",
        )  # fmt: skip
    if path not in PATHS:
        raise SettingRefused("--path", given=path, allowed=", ".join(PATHS), fix="choose one")
    asked = Asked(
        dataset or only_dataset(opened),
        model or "",
        version,
        None if signals is None else (text_of(signals, "--signals"), str(signals)),
        "" if policy is None else text_of(policy, "--policy"),
        tuple(s.strip() for text in symbols or () for s in text.split(",") if s.strip()),
        date_option("--first", first),
        date_option("--last", last),
        path,
        latency_ms,
        seed,
    )
    with _progress() as progress:
        document = run(opened, asked, tell, progress)
    emit(document, as_json=as_json, human=lambda: _draw(document))


@contextmanager
def _progress() -> Iterator[Callable[[int, int, date], None]]:
    """Yield what is told of each finished day: a bar on a terminal, else now and then a line."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("days", total=None)

        def told(done: int, total: int, on: date) -> None:
            shown.update(task, completed=done, total=total, description=on.isoformat())

        yield told


def _line(done: int, total: int, on: date) -> None:
    if done % max(1, total // LINES) == 0 or done == total:
        tell(f"{done}/{total} days, last {on}")


def _draw(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    whose = document.get("signals_file") or f"{document['model']} version {document['version']}"
    print(f"{document['signals']:,} signals of {whose}, {document['first']} to {document['last']}")
    print(f"prices: {document['path_told']}")
    if document["in_sample"]:
        print(f"in sample: {document['in_sample']}")
    table = Table(title="by side, rupees")
    for name in ("side", "trades", "hit rate", "gross", "charges", "net"):
        table.add_column(name, justify="left" if name == "side" else "right")
    for side, row in document["sides"].items():
        rate = "-" if row["hit_rate"] is None else f"{row['hit_rate']:.0%}"
        amounts = (f"{row[name]:,.2f}" for name in ("gross", "charges", "net"))
        table.add_row(side, f"{row['trades']:,}", rate, *amounts)
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    figures = document["figures"]
    for name in ("sharpe_a_year", "deflated_sharpe", "drawdown_bp", "turnover", "hit_rate"):
        if name in figures:
            print(f"{name:<16} {figures[name]:,.3f}")
    print(f"{'trials':<16} {figures['trials']:.0f}")
    share = document["ambiguous_share"]
    print(f"{'ambiguous':<16} {'-' if share is None else f'{share:.1%}'}")
    print(f"{'without a stop':<16} {document['unprotected_ms_max']} ms at most")
    told = ", ".join(f"{count} {word}" for word, count in document["refused"].items())
    print(f"{'not entered':<16} {told or 'none'}")
    if document["halted_days"]:
        print(f"stopped itself on {len(document['halted_days'])} days")
    print(f"verdict {document['verdict']}: {document['words']}")
