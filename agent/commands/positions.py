"""`ratchet-agent positions`: ask the running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("positions")(positions)


def positions(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the open trades of the running agent with their stops and targets.

    Example: ratchet-agent positions --home var
    """
    from agent.console import emit
    from agent.shell.control import ask

    document = ask(home, "GET", "/positions")
    emit(document, as_json=as_json, human=lambda: _human(document))


def _human(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Open trades at {document['at']}")
    columns = ("trade", "key", "side", "open", "entry", "last", "stop", "target", "placed_stop")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "key" else "right")
    for row in document["positions"]:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    Console().print(table)
