"""`ratchet up`: the whole stack in the foreground."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import INTERRUPTED, emit
from agent.home import DEFAULT_HOME

LIBRARIES = ("prefect", "mlflow", "bentoml", "numpy")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("up")(up)


def up(
    without: Annotated[
        str, typer.Option(help="Parts to leave out, commas between: agent,paper.")
    ] = "",
    paper_clock: Annotated[
        str,
        typer.Option(
            help="wall: the paper exchange trades in NSE's hours; exchange: at any hour, one day "
            "in minutes. [default: stack.paper_clock]"
        ),
    ] = "",
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document at the end.")
    ] = False,
) -> None:
    """Run registry, schedules, served model, paper exchange and agent until Ctrl-C.

    Logs of all parts go to stderr with a prefix and, rotated, to HOME/logs.
    Example: ratchet up --home var --without agent
    """
    from flows.home import Home

    for library in LIBRARIES:  # each part would say so, again and again
        if importlib.util.find_spec(library) is None:
            raise ModuleNotFoundError(library, name=library)
    opened = Home.open(home)
    from flows.settings import read_settings
    from flows.stack.parts import stack
    from flows.stack.up import run

    left_out = [part.strip() for part in without.split(",") if part.strip()]
    options: dict[str, Any] = {"stack.without": left_out} if left_out else {}
    options |= {"stack.paper_clock": paper_clock} if paper_clock else {}
    given = read_settings(opened.root, options)
    document = run(opened, stack(opened, given))
    emit(document, as_json=as_json, human=lambda: _draw(document))
    if not document["orderly"]:
        raise typer.Exit(INTERRUPTED)


def _draw(document: dict[str, Any]) -> None:
    for name, part in document["parts"].items():
        again = f", restarted {part['restarts']} times" if part["restarts"] else ""
        print(f"{name}: {part['state']}{again}")
