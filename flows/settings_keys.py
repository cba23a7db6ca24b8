"""The keys of ratchet.toml, found in the settings models themselves: no second list of them.

A key is dotted (`agent.risk.max_open_positions`); its variable is `RATCHET_` and the key in
capitals, `__` for each dot. A wrong key is answered with the nearest right one.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

PREFIX = "RATCHET_"
MANY: frozenset[type] = frozenset({list, tuple, dict, set, frozenset})
HIDDEN = frozenset({"agent.notices.urls"})  # their addresses hold tokens


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be set.

    Parameters
    ----------
    name : str
        Dotted, the section first.
    field : FieldInfo
        With its sentence and its default.
    secret : bool
        Kept out of ratchet.toml, and masked wherever it is shown.
    many : bool
        A list or a table: in a variable it is written as JSON, a list also with commas.
    """

    name: str
    field: FieldInfo
    secret: bool
    many: bool

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        own = self.field.json_schema_extra
        if isinstance(own, dict) and "variable" in own:
            return str(own["variable"])
        return PREFIX + self.name.replace(".", "__").upper()

    @property
    def default(self) -> Any:
        """Its default, None if it has none."""
        return (
            None if self.field.is_required() else self.field.get_default(call_default_factory=True)
        )

    def parsed(self, text: str) -> Any:
        """Return the value that a variable or an option spells out."""
        if not self.many:
            return text
        if text.lstrip().startswith(("[", "{")):
            return json.loads(text)
        return [item.strip() for item in text.split(",") if item.strip()]


def keys_of(section: str, model: type[BaseModel]) -> Iterator[Key]:
    """Yield the keys of a settings model, those of the models inside it too."""
    for table, part in tables(section, model):
        for name, field in part.model_fields.items():
            # what has a name of its own from elsewhere is not set here
            if field.validation_alias is None and _inner(field) is None:
                full = f"{table}.{name}"
                types_in = set(_types_in(field.annotation))
                secret = SecretStr in types_in or full in HIDDEN
                yield Key(full, field, secret, bool(types_in & MANY))


def tables(section: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield a settings model and those inside it, each with its table's name in ratchet.toml."""
    yield section, model
    for name, field in model.model_fields.items():
        if (inner := _inner(field)) is not None:
            yield from tables(f"{section}.{name}", inner)


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    types_in = set(_types_in(field.annotation))
    if types_in & MANY:
        return None
    models = [t for t in types_in if isinstance(t, type) and issubclass(t, BaseModel)]
    return models[0] if models else None


def nearest(wrong: str, right: Iterable[str]) -> str:
    """Return the right key that a wrong one most likely means, for a message."""
    known = list(right)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    if not close:  # the last part alone, in another table
        last = wrong.rpartition(".")[2]
        close = [key for key in known if key.rpartition(".")[2] == last][:1]
    return f"did you mean {close[0]}?" if close else "see `ratchet config check` for all keys"


def flattened(table: Mapping[str, Any], known: Iterable[str], above: str = "") -> dict[str, Any]:
    """Return a TOML document as dotted keys; a table that is a value stays one."""
    names = list(known)
    found: dict[str, Any] = {}
    for part, value in table.items():
        name = f"{above}{part}"
        if isinstance(value, Mapping) and name not in names:
            found |= flattened(value, names, f"{name}.") if value else {}
        else:
            found[name] = value
    return found


def nested(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the dotted keys of one section as the tables that its model takes."""
    root: dict[str, Any] = {}
    for name, value in values.items():
        first, *rest = name.split(".")
        if first != section:
            continue
        table = root
        for part in rest[:-1]:
            table = table.setdefault(part, {})
        table[rest[-1]] = value
    return root


def _types_in(annotation: Any) -> Iterator[Any]:
    """Yield the types an annotation is made of: `Annotated[int | None, …]` is int and None."""
    origin = typing.get_origin(annotation)
    if origin is None:
        yield annotation
        return
    if origin is typing.Annotated:
        yield from _types_in(typing.get_args(annotation)[0])
        return
    if origin not in {typing.Union, types.UnionType, typing.Literal}:
        yield origin
    if origin is not typing.Literal:
        for inner in typing.get_args(annotation):
            yield from _types_in(inner)
