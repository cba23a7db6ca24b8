"""`ratchet-agent resume`: a word to the running agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("resume")(resume)


def resume(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Trade again after a halt, a flatten or a guard that waits for a person.

    Example: ratchet-agent resume --home var
    """
    from agent.console import emit
    from agent.shell.control import ask

    document = ask(home, "POST", "/resume")
    emit(
        document,
        as_json=as_json,
        human=lambda: print("asked to resume; ratchet-agent status says what came of it"),
    )
