"""What both command lines share: how a program is put together, and options of one meaning.

A leaf above console.py: imports Typer and each verb's own file, nothing heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from typing import Annotated

import typer

from agent.errors import SettingRefused


def program(name: str, summary: str, *, commands: str, verbs: Sequence[str]) -> typer.Typer:
    """Put a program together from its verbs.

    Parameters
    ----------
    name, summary : str
        As its help shows them.
    commands : str
        Package of the verbs; each is a module with `register(app)`.
    verbs : sequence of str
        In the order of the help.
    """
    app = typer.Typer(
        name=name,
        help=summary,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
    )
    app.callback()(_root)
    for verb in verbs:
        importlib.import_module(f"{commands}.{verb}").register(app)
    return app


def date_option(option: str, text: str | None) -> date | None:
    """Read a date as a person types it; None where the option was not given.

    Raises
    ------
    SettingRefused
        If it is not an ISO date.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingRefused(
            option, given=repr(text), allowed="a date YYYY-MM-DD", fix="write it like 2025-03-31"
        ) from None


def _version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("ratchet"))
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the verb."""
