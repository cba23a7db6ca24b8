"""`ratchet`: everything. Imports Typer only; each verb imports what it needs."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Annotated

import typer

from agent.console import run_program

VERBS: tuple[str, ...] = (
    "demo",
    "ingest",
    "monitor",
    "up",
    "release",
    "serve",
    "train",
    "models",
    "status",
    "init",
    "config",
    "doctor",
)

app = typer.Typer(
    name="ratchet",
    help="Train, release, serve, watch and trade your own models.",
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
    importlib.import_module(f"flows.commands.{_verb}").register(app)


def main() -> None:
    """Run the program; the entry point of the wheel."""
    run_program(app, program="ratchet")
