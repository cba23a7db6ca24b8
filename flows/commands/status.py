"""`ratchet status`: what of the stack is up, and what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit
from agent.home import DEFAULT_HOME, at


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("status")(status)


def status(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell what is up, since when and where, and what is wrong; ends with 0 whatever it finds.

    Example: ratchet status --json
    """
    from flows.stack.status import status as look

    document = look(at(home))
    emit(document, as_json=as_json, human=lambda: _draw(document))


def _draw(document: dict[str, Any]) -> None:
    if document["running"]:
        print(f"up since {document['since']}, process {document['pid']}, home {document['home']}")
    for name, part in document["parts"].items():
        again = f"  restarted {part['restarts']}x" if part["restarts"] else ""
        why = f"  {part['why']}" if part["why"] else ""
        print(f"  {name:<12}{part['state']:<9}{part['since']}  {part['address']}{again}{why}")
        if part["last_fault"]:
            print(f"  {'':<12}last fault {part['last_fault']['at']}: {part['last_fault']['why']}")
    for name, address in document["elsewhere"].items():
        print(f"  {name:<12}elsewhere: {address}")
    for run in document["flow_runs"]:
        print(f"  flow run {run['name']}: {run['state']} since {run['since']}")
    for sentence in document["wrong"]:
        print(f"wrong: {sentence}")
    if document["ok"]:
        print("nothing is wrong")
