"""`ratchet-agent run`: trade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("run")(run)


def run(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    live: Annotated[
        bool, typer.Option("--live", help="Trade real money at the broker. Refused without it.")
    ] = False,
    clock: Annotated[
        str, typer.Option(help="system, or exchange: in lock-step with a paper exchange.")
    ] = "system",
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Stop once a paper exchange's data is over and all flat."),
    ] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written once the agent runs: pid, control port.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Trade the served model at the broker, or at a paper exchange on this machine.

    Example: RATCHET_AGENT__BROKER__REST_URL=http://127.0.0.1:13030
    RATCHET_AGENT__BROKER__TICKER_URL=ws://127.0.0.1:13030 ratchet-agent run --clock exchange
    """
    import os

    from agent.console import emit
    from agent.errors import SettingRefused
    from agent.home import open_home
    from agent.secrets import take_secrets
    from agent.shell.run import Options
    from agent.shell.run import run as trade

    if clock not in {"system", "exchange"}:
        raise SettingRefused(
            "--clock", given=repr(clock), allowed="system or exchange", fix="choose one"
        )
    root = open_home(home)
    take_secrets(root, os.environ)
    summary = trade(Options(root, live, clock == "exchange", until_end, ready_file), os.environ)
    emit(summary, as_json=as_json, human=lambda: _human(summary))


def _human(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Run over: {summary['stopped']}")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for side, row in summary["trades"].items():
        table.add_row(f"{side} trades", f"{row['trades']}")
        table.add_row(f"{side} net, rupees", f"{row['net_paise'] / 100:,.2f}")
    for name in ("orders", "fills", "stop_moves", "target_moves"):
        table.add_row(name.replace("_", " "), f"{summary[name]}")
    for name in ("gross", "charges", "net"):
        table.add_row(f"{name}, rupees", f"{summary[name + '_paise'] / 100:,.2f}")
    for reason, count in summary["refusals"].items():
        table.add_row(f"refused: {reason}", f"{count}")
    Console().print(table)
