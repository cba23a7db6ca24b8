"""`ratchet init`: a commented settings file with safe defaults, and an empty secrets file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from agent.console import emit
from agent.errors import EnvironmentRefused, Refused
from agent.home import DEFAULT_HOME


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("init")(init)


def init(
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    home: Annotated[Path, typer.Option(help="Folder of all state.")] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write HOME/ratchet.toml with every key, explained, and HOME/secrets.env (mode 0600).

    Example: ratchet init --home var
    """
    from agent.home import open_home
    from agent.secrets import SECRETS
    from flows.settings import TOML, all_keys, titles
    from flows.settings_text import secrets_text, toml

    root = open_home(home)
    keys = list(all_keys().values())
    texts = {root / TOML: toml(keys, titles()), root / SECRETS: secrets_text(keys)}
    there = [str(path) for path in texts if path.exists()]
    if there and not force:
        raise Refused(
            f"{' and '.join(there)} would be overwritten; edit it, or give --force to start over"
        )
    for path, text in texts.items():
        _write(path, text, mode=0o600 if path.name == SECRETS else 0o644)
    document = {"written": [str(path) for path in texts]}
    emit(document, as_json=as_json, human=lambda: _draw(texts))


def _write(path: Path, text: str, *, mode: int) -> None:
    """Write whole or not at all; with its mode from the first byte on."""
    if path.is_dir():
        raise EnvironmentRefused(
            str(path), given="a folder", allowed="a file of settings", fix="move it away"
        )
    passing = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    passing.replace(path)


def _draw(texts: dict[Path, str]) -> None:
    for path in texts:
        print(f"wrote {path}")
    print("then: `ratchet config check`, `ratchet doctor`, `ratchet up`")
