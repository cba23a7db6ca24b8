"""`ratchet config check`: the settings in force, and where each came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.console import emit
from agent.home import DEFAULT_HOME, at


def register(app: typer.Typer) -> None:
    """Add the verb."""
    config = typer.Typer(help="Look at the settings.", no_args_is_help=True)
    config.callback()(_config)
    config.command("check")(check)
    app.add_typer(config, name="config")


def _config() -> None:
    """Look at the settings."""


def check(
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print every setting in force, secrets masked, and where it came from; refuse a wrong one.

    Order: option, environment, secrets file, ratchet.toml, default.
    Example: ratchet config check --home var
    """
    from flows.settings import read_settings

    given = read_settings(at(home))
    document: dict[str, Any] = {
        "settings": {
            name: {"value": given.told(name), "from": value.origin}
            for name, value in given.values.items()
        }
    }
    emit(document, as_json=as_json, human=lambda: _draw(document["settings"]))


def _draw(settings: dict[str, Any]) -> None:
    table = ""
    for name, told in settings.items():
        above, _, key = name.rpartition(".")
        if above != table:
            table = above
            print(f"[{table}]")
        value = "(not set)" if told["value"] is None else json.dumps(told["value"])
        print(f"  {key} = {value}    # {told['from']}")
