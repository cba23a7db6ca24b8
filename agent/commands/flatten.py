"""`ratchet-agent flatten`: a word to the running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("flatten")(flatten)


def flatten(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Close everything through the exit ladder, then halt.

    Example: ratchet-agent flatten --home var
    """
    from agent.console import emit
    from agent.shell.control import ask

    document = ask(home, "POST", "/flatten")
    emit(
        document,
        as_json=as_json,
        human=lambda: print("asked to flatten; ratchet-agent positions says what is left"),
    )
