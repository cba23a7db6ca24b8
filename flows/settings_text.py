"""The settings as text: the file that `ratchet init` writes, and values as a person sees them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, SecretStr

from flows.settings_keys import Key

MASK = "********"
WIDTH = 96


def plainly(value: Any) -> Any:
    """Return a value as JSON can hold it, secrets masked."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, Mapping):
        return {str(key): plainly(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plainly(item) for item in value]
    if isinstance(value, BaseModel):
        return plainly(value.model_dump())
    return str(value)


def toml(keys: Iterable[Key], titles: Mapping[str, str]) -> str:
    """Return a commented ratchet.toml that sets every key to its default.

    Parameters
    ----------
    keys : iterable of Key
        Secrets are left out.
    titles : mapping of str to str
        A sentence for each table.
    """
    lines = [
        "# Settings of Ratchet. Every key is at its default; remove what you do not change.",
        "# A variable of the environment wins: RATCHET_, the key in capitals, two underscores for",
        "# each dot: RATCHET_STACK__SERVE_PORT=13000. Secrets are never written here.",
        "# `ratchet config check` prints what is in force and where each value came from.",
    ]
    table = ""
    for key in keys:
        if key.secret:
            continue
        above, _, name = key.name.rpartition(".")
        if above != table:
            table = above
            lines += ["", *_comment(titles.get(table, "")), f"[{table}]"]
        lines += _comment(key.field.description or "")
        value = key.default
        lines.append(f"# {name} =" if value is None else f"{name} = {_toml_value(plainly(value))}")
    return "\n".join(lines) + "\n"


def secrets_text(keys: Iterable[Key]) -> str:
    """Return a secrets file that names every secret and holds none."""
    lines = ["# Secrets of Ratchet: mode 0600, never in ratchet.toml, never in a log."]
    for key in keys:
        if key.secret:
            form = '["…", "…"]' if key.many else ""
            lines += ["", *_comment(key.field.description or ""), f"# {key.variable}={form}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH)]


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(str(k))} = {_toml_value(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
