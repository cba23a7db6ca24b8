"""`ratchet demo`: the whole loop once, with a report to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(  # noqa: PLR0913, PLR0917  (one parameter an option)
    home: Annotated[
        Path, typer.Option(help="Folder of the run; emptied first, if a demo made it.")
    ] = Path("var/demo"),
    data: Annotated[
        str | None, typer.Option(help="Glob of candle files (quote it); default: the sample.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the prices inside candles.")] = 7,
    days: Annotated[
        int | None, typer.Option(min=1, max=60, help="Sessions to replay [20; inside days 3].")
    ] = None,
    serve_port: Annotated[int, typer.Option(min=1024, max=65535, help="Served model.")] = 13000,
    control_port: Annotated[int, typer.Option(min=1024, max=65535, help="Agent.")] = 13010,
    paper_port: Annotated[int, typer.Option(min=1024, max=65535, help="Exchange.")] = 13030,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train, release, serve two models, trade one on paper, watch, report. No account needed.

    Example: ratchet demo --data 'candles/*.parquet' --home var/mine
    """
    import signal

    from agent.console import emit
    from flows.demo.run import run_demo
    from flows.demo.settings import DemoSettings

    signal.signal(signal.SIGTERM, _interrupted)
    settings = DemoSettings(
        home=home,
        data=data,
        seed=seed,
        days=days,
        serve_port=serve_port,
        control_port=control_port,
        paper_port=paper_port,
    )
    document = run_demo(settings)
    emit(document, as_json=as_json, human=lambda: _human(document))


def _interrupted(number: int, _frame: object) -> None:
    del number
    raise KeyboardInterrupt


def _human(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    agent, serving, drift = document["agent"], document["serving"], document["drift"]
    table = Table(title="What happened", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    variants = ", ".join(f"{name} {count}" for name, count in serving["variants"].items())
    rows = (
        ("LONG / SHORT trades", f"{agent['long_trades']} / {agent['short_trades']}"),
        ("stop / target moves", f"{agent['stop_moves']} / {agent['target_moves']}"),
        ("net of charges, rupees", f"{agent['net_pnl']:,.2f}"),
        ("gross, charges", f"{agent['gross_pnl']:,.2f}, {agent['charges']:,.2f}"),
        ("longest unprotected, ms", f"{agent['max_unprotected_ms']}"),
        (
            "surplus exits, stops moved back",
            f"{agent['surplus_exits']}, {agent['stops_moved_back']}",
        ),
        ("requests", f"{serving['requests']} ({variants})"),
        ("answer p50 / p99, ms", f"{serving['p50_ms']:.1f} / {serving['p99_ms']:.1f}"),
        ("features that drifted", f"{drift['drifted_features']} of {drift['features']}"),
        ("peak memory, MiB", f"{document['peak_memory_mib']}"),
        ("seconds", f"{document['seconds']['total']:.0f}"),
    )
    for row in rows:
        table.add_row(*row)
    for model in document["models"]:
        table.add_row(
            f"{model['name']}: {model['window']} candles of {model['interval']}",
            f"{model['requests']} requests, p50 / p99 {model['p50_ms']:.1f} / "
            f"{model['p99_ms']:.1f} ms",
        )
    console = Console()
    console.print(table)
    for who, gates in document["training"]["gates"].items():
        for name, gate in gates.items():
            passed = "passed" if gate["passed"] else "not passed"
            console.print(f"{who}, {name} gate {passed}: {gate['why']}", soft_wrap=True)
    _say_second(console, document["models"][1])
    console.print(f"\n{document['banner']}", soft_wrap=True)
    console.print(f"report: {document['files']['report']}", soft_wrap=True)


def _say_second(console: Console, model: Mapping[str, Any]) -> None:
    console.print(f"{model['name']} learned from: {model['notes']}", soft_wrap=True)
    for one in model["versions"]:
        for name, gate in one["gates"].items():
            said = f"{model['name']} {one['version']}, {name} gate {gate['verdict']}"
            console.print(f"{said}: {gate['why']}", soft_wrap=True)
