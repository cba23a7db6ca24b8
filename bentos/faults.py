"""From msgspec's sentence to our problem: which field was it, what was expected, what was found.

msgspec names a place, not always the field: a missing or unknown one is told as its object's
fault, a value under a free key as `[...]`, and what was sent is not told at all. A refused body is
read once more for that; a good one never comes here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bentos.problems import Problem, invalid

# msgspec.DecodeError leaves out bad UTF-8 inside a text and deep nesting in an unknown field.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Terms:
    """What the bodies' types know and msgspec does not say.

    Parameters
    ----------
    values : what the values of an object with free keys must be, by the object's name
    keys : the pattern of such keys, where there is one
    words : for a pattern, what it asks for in words
    enum : the words that the one enumeration takes
    """

    values: Mapping[str, Any]
    keys: str
    words: Mapping[str, str]
    enum: str


def named(said: str, body: bytes, terms: Terms) -> Problem:
    """Return the problem that msgspec's sentence tells: which field, expected what, found what.

    "… - at `$.candles.open[3]`", or "… - at `key` in `$.context`" for a key of an object.
    """
    told, at, where = said.partition(" - at ")
    path = where.rpartition("`$")[2].rstrip("`").lstrip(".") if at else ""
    field, value = _followed(path, body, terms)
    missing, unknown = _MISSING.fullmatch(told), _UNKNOWN.fullmatch(told)
    if missing:
        return invalid(_joined(field, missing[1]), "a value: this field is needed", "nothing")
    if unknown:
        sent = value.get(unknown[1], _ABSENT) if isinstance(value, dict) else _ABSENT
        return invalid(_joined(field, unknown[1][:60]), "no field of this name", _copied(sent))
    if where.startswith("`key` in") and isinstance(value, dict):
        value = next((key for key in value if not re.search(terms.keys, key)), _ABSENT)
    return invalid(field or "body", _expected(told, terms), _copied(value))


def _joined(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _copied(value: Any) -> str | None:
    """Return what was sent as text, for the answer and the log; both cut it."""
    if value is _ABSENT:
        return None
    try:
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    except RecursionError:
        return "a value nested too deeply"


def _followed(path: str, body: bytes, terms: Terms) -> tuple[str, Any]:
    """Return a path with the key that msgspec leaves out, and what stands there."""
    try:
        value = json.loads(body)  # msgspec's own gives up on a number that no double holds
    except (ValueError, RecursionError):
        return path, _ABSENT
    field = name = ""
    for step in _STEP.finditer(path):
        if step[1] is not None:
            name = step[1]
            field = _joined(field, name)
            value = value.get(name, _ABSENT) if isinstance(value, dict) else _ABSENT
        elif step[2] != "...":
            place = int(step[2])
            field += f"[{place}]"
            there = isinstance(value, list) and place < len(value)
            value = value[place] if there else _ABSENT
        else:
            key = _refused_key(value, terms.values.get(name))
            field += "[...]" if key is None else f".{key[:60]}"
            value = _ABSENT if key is None else value[key]
    return field, value


def _refused_key(held: Any, kind: Any) -> str | None:
    """Return the first key of an object whose value is not of a kind."""
    for key, value in held.items() if isinstance(held, dict) else ():
        try:
            msgspec.convert(value, kind)
        except (msgspec.ValidationError, RecursionError):
            return str(key)
        if isinstance(value, float) and math.isinf(value):  # 1e999
            return str(key)
    return None


def _expected(said: str, terms: Terms) -> str:
    if said == "Number out of range":
        return "a number that a double can hold"
    for pattern, words in terms.words.items():
        if repr(pattern) in said:
            return words
    if said.startswith("Invalid enum value"):
        return terms.enum
    return said.removeprefix("Expected ").replace("`", "")[:300]
