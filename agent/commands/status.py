"""`ratchet-agent status`: ask the running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("status")(status)


def status(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what the running agent does, and why it does not do more.

    Example: ratchet-agent status --home var
    """
    from agent.console import emit
    from agent.shell.control import ask

    document = ask(home, "GET", "/status")
    emit(document, as_json=as_json, human=lambda: _human(document))


def _human(document: dict[str, Any]) -> None:
    print(f"{document['at']}  {document['mode']}  (operator: {document['operator']})")
    for name, guard in document["guards"].items():
        print(f"  {guard['mode']}  {name}: {guard['words']}; lifted by {guard['lifted_by']}")
    print(f"session {document['session']}, ticker {document['feed']}")
    print(f"model {document['model'] or 'none'}, {document['universe']} symbols")
    print(f"open trades {document['open_trades']}, day net {document['day_net_paise'] / 100:,.2f}")
    for waiting in document["waiting"]:
        print(f"  {waiting['side']} {waiting['key']} waits: {waiting['waits']}")
    cuts = document.get("freeze_cuts", [])
    if cuts is None:
        print("the journal cannot be read: entries cut to the freeze quantity are not known")
        return
    for cut in cuts:
        print(f"  cut to the freeze quantity: {cut['key']} {cut['words']}")
