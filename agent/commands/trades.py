"""`ratchet-agent trades`: what the journal says of past and open trades."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("trades")(trades)


def trades(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    day: Annotated[str | None, typer.Option(help="One trading day, YYYY-MM-DD.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Refused signals instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List trades with their result, or the signals that were refused and why.

    Reads the journal only: an agent may run or not.

    Example: ratchet-agent trades --home var --day 2025-11-03
    """
    from agent.console import emit
    from agent.shell.history import read_refusals, read_trades

    rows = read_refusals(home, day, limit) if refused else read_trades(home, day, limit)
    document = {"refused" if refused else "trades": rows}
    emit(document, as_json=as_json, human=lambda: _human(rows))


def _human(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    shown = [_short(row) for row in rows]
    for column in shown[0] if shown else ():
        words = column in {"key", "reason", "words"}
        table.add_column(column, justify="left" if words else "right")
    for row in shown:
        table.add_row(*row.values())
    Console().print(table)


def _short(row: dict[str, Any]) -> dict[str, str]:
    """Return what fits on a line; `--json` has everything."""
    if "words" in row:
        return {"at": str(row["at"])[:19], "key": row["key"], "words": row["words"]}
    return {
        "day": row["day"],
        "key": row["key"],
        "side": row["side"],
        "shares": str(row["shares"]),
        "entry": _price(row["entry"]),
        "exit": _price(row["exit"]),
        "reason": row["reason"],
        "net": f"{row['net_paise'] / 100:,.2f}",
    }


def _price(price: float | None) -> str:
    return "" if price is None else f"{price:.2f}"
