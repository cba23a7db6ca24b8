"""`ratchet-agent halt`: a word to the running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("halt")(halt)


def halt(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Stop trading: nothing is sent but protection already agreed; the day is still closed flat.

    Example: ratchet-agent halt --home var
    """
    from agent.console import emit
    from agent.shell.control import ask

    document = ask(home, "POST", "/halt")
    emit(
        document,
        as_json=as_json,
        human=lambda: print("asked to halt; ratchet-agent status says what came of it"),
    )
