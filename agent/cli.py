"""`ratchet-agent`: the live process alone. Imports Typer only; each verb imports what it needs."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Annotated

import typer

from agent.console import run_program

VERBS: tuple[str, ...] = (
    "flatten",
    "halt",
    "login",
    "paper",
    "positions",
    "replay",
    "resume",
    "run",
    "status",
    "trades",
)

app = typer.Typer(
    name="ratchet-agent",
    help="Trade a released model through Zerodha Kite, or replay a trailing policy.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("ratchet"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the verb."""


for _verb in VERBS:
    importlib.import_module(f"agent.commands.{_verb}").register(app)


def main() -> None:
    """Run the program; the entry point of the wheel."""
    run_program(app, program="ratchet-agent")
